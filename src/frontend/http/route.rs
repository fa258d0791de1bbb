//! Which path is what, and with which methods.

use std::borrow::Cow;

use crate::proto::http::form;
use crate::proto::http::request::Request;

/// The most bytes of a body that is no report.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a report, which may be a batch (Overland sends up to a thousand points of 600 bytes), and of a
/// part of a backup.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The most parts of a path that leads anywhere, with the slash that people write behind it.
const PARTS_MAX: usize = 5;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// What this server is.
    Root,
    /// A report in the shape of an app.
    Report(App<'a>),
    /// Which clients are in a box, or near a place.
    Clients,
    /// Where a client is.
    Client(Cow<'a, str>),
    /// What is near a client.
    Nearby(Cow<'a, str>),
    /// Where a client was.
    Track(Cow<'a, str>),
    /// What becomes of clients from now on.
    Events,
    /// Links that let others see a client.
    Shares,
    /// How the servers and their links are.
    Herd,
    /// How the server is.
    Status,
    /// Whether it can take reports.
    Health,
    /// What it has counted.
    Metrics,
    /// A file of the page.
    File(Cow<'a, str>),
    /// All that is stored.
    Export,
    /// To take what was exported.
    Import,
    /// To take no more connections, and stop.
    Drain,
    /// Nothing.
    Unknown,
}

/// Whose shape a report has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum App<'a> {
    /// That of the body or the parameters.
    Any,
    /// OwnTracks, with the user and the device of the path, if it names them.
    OwnTracks(Option<(Cow<'a, str>, Cow<'a, str>)>),
    /// Traccar Client or OsmAnd.
    Traccar,
    /// Overland.
    Overland,
    /// GPSLogger, as Home Assistant has it configured.
    GpsLogger,
}

impl<'a> Route<'a> {
    /// The route of a path.
    pub(super) fn of(path: &'a [u8]) -> Route<'a> {
        // Nearly every request is a report of OwnTracks.
        if path == b"/pub" {
            return Route::Report(App::OwnTracks(None));
        }
        let mut parts = [const { Cow::Borrowed("") }; PARTS_MAX];
        let mut count = 0;
        for part in without_token(path).split(|&byte| byte == b'/').skip(1) {
            let Some(place) = parts.get_mut(count) else { return Route::Unknown };
            *place = form::decode(part);
            count += 1;
        }
        let names = parts.each_ref().map(|part| &**part);
        // People write a slash behind a path, too.
        let names = match &names[..count] {
            [rest @ .., ""] if !rest.is_empty() => rest,
            all => all,
        };
        match *names {
            [""] => Route::Root,
            ["pub" | "owntracks"] | ["api", "v1", "owntracks", "points"] => {
                Route::Report(App::OwnTracks(None))
            }
            ["owntracks", user, device] if !user.is_empty() && !device.is_empty() => {
                Route::Report(App::OwnTracks(Some((parts[1].clone(), parts[2].clone()))))
            }
            ["traccar" | "osmand"] => Route::Report(App::Traccar),
            ["overland"] | ["api", "v1", "overland", "batches"] => Route::Report(App::Overland),
            ["gpslogger" | "ha"] => Route::Report(App::GpsLogger),
            ["v1", "events"] => Route::Events,
            ["v1", "shares"] => Route::Shares,
            ["v1", "herd"] => Route::Herd,
            ["v1", "status"] => Route::Status,
            ["v1", "export"] => Route::Export,
            ["v1", "import"] => Route::Import,
            ["v1", "drain"] => Route::Drain,
            ["v1", "clients"] => Route::Clients,
            ["v1", "clients", name] if !name.is_empty() => Route::Client(parts[2].clone()),
            ["v1", "clients", name, "nearby"] if !name.is_empty() => Route::Nearby(parts[2].clone()),
            ["v1", "clients", name, "track"] if !name.is_empty() => Route::Track(parts[2].clone()),
            ["health"] => Route::Health,
            ["metrics"] => Route::Metrics,
            ["herd"] => Route::File("herd.html".into()),
            ["favicon.ico"] => Route::File("icon.svg".into()),
            ["page", name] if !name.is_empty() => Route::File(parts[1].clone()),
            _ => Route::Unknown,
        }
    }

    /// The most bytes that the body of a request may have.
    pub(super) fn body_bytes_max(request: &Request<'_>) -> usize {
        match Route::of(request.path()) {
            Route::Root | Route::Report(_) | Route::Import => BATCH_BYTES_MAX,
            Route::Clients
            | Route::Client(_)
            | Route::Nearby(_)
            | Route::Track(_)
            | Route::Events
            | Route::Shares
            | Route::Herd
            | Route::Status
            | Route::Health
            | Route::Metrics
            | Route::File(_)
            | Route::Export
            | Route::Drain
            | Route::Unknown => BODY_BYTES_MAX,
        }
    }

    /// The methods with which it may be asked for, for the field `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Route::Client(_) => "GET, HEAD, DELETE",
            Route::Report(App::OwnTracks(_) | App::Overland)
            | Route::Shares
            | Route::Import
            | Route::Drain => "POST",
            Route::Report(_) => "GET, POST, PUT",
            Route::Root => "GET, HEAD, POST, PUT",
            Route::Clients
            | Route::Nearby(_)
            | Route::Track(_)
            | Route::Events
            | Route::Herd
            | Route::Status
            | Route::Health
            | Route::Metrics
            | Route::File(_)
            | Route::Export => "GET, HEAD",
            Route::Unknown => "",
        }
    }

    /// Whether it may be asked for with this method.
    pub(super) fn allows(&self, method: &[u8]) -> bool {
        // Most paths that are reported to have but one.
        let methods = self.methods();
        !method.is_empty()
            && (methods.as_bytes() == method
                || methods.split(',').any(|allowed| allowed.trim_ascii_start().as_bytes() == method))
    }
}

/// What stands before a token in a path, for apps that can send no header.
const TOKEN_PART: &[u8] = b"/t/";

/// The token of a path such as `/t/TOKEN/pub`, if it has one.
pub(super) fn token(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(TOKEN_PART)?;
    rest.split(|&byte| byte == b'/').next()
}

/// A path without its token: what may be logged, and what is asked for.
pub(super) fn without_token(path: &[u8]) -> &[u8] {
    match token(path) {
        None => path,
        Some(token) => match &path[TOKEN_PART.len() + token.len()..] {
            [] => b"/",
            rest => rest,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        let owntracks = |user: &'static str, device: &'static str| {
            Route::Report(App::OwnTracks(Some((user.into(), device.into()))))
        };
        for (path, route) in [
            ("/", Route::Root),
            ("/pub", Route::Report(App::OwnTracks(None))),
            ("/owntracks/jane/my%20phone", owntracks("jane", "my phone")),
            ("/owntracks/jane", Route::Unknown),
            ("/v1/clients/jane%2Fphone", Route::Client("jane/phone".into())),
            ("/v1/clients/jane/phone", Route::Unknown),
            ("/v1/clients/a/nearby", Route::Nearby("a".into())),
            ("/v1/clients", Route::Clients),
            ("/v1/clients/", Route::Clients),
            ("/v1/clients//", Route::Unknown),
            ("/pub/", Route::Report(App::OwnTracks(None))),
            ("//", Route::Root),
            ("///", Route::Unknown),
            ("", Route::Unknown),
            ("*", Route::Unknown),
            ("/HEALTH", Route::Unknown),
            ("/t/s3cret/pub", Route::Report(App::OwnTracks(None))),
            ("/t/s3cret", Route::Root),
            ("/page/map.js", Route::File("map.js".into())),
            ("/t/s3cret/page/map.js", Route::File("map.js".into())),
            ("/page/", Route::Unknown),
            ("/page/a/b", Route::Unknown),
            ("/herd", Route::File("herd.html".into())),
            ("/t/s3cret/", Route::Root),
            ("/t", Route::Unknown),
            ("/t/a/t/b/pub", Route::Unknown),
        ] {
            assert_eq!(Route::of(path.as_bytes()), route, "{path}");
        }
        assert!(
            Route::Status.allows(b"HEAD") && !Route::Status.allows(b"POST") && !Route::Unknown.allows(b"")
        );
    }
}
