//! Reports of phones: what they say becomes updates, which are durable before the answer leaves.

use std::borrow::Cow;

use super::access::Asker;
use super::asked::Asked;
use super::friends;
use super::question::JSON;
use super::route::App;
use crate::config::CLOCK_LEAD_SUGGESTED;
use crate::frontend::keys::PhoneKeys;
use crate::logging::Escaped;
use crate::member::metrics::Event;
use crate::os::random;
use crate::proto::http::form;
use crate::proto::http::phones::encrypted::{Key, Unreadable};
use crate::proto::http::phones::owntracks::{self, Whose};
use crate::proto::http::phones::{NotUnderstood, Taken, Useless, gpslogger, overland, traccar};
use crate::proto::http::reports::{Reports, Taking};
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;
use crate::proto::model::time::Moment;

/// After so many seconds a phone may try again.
const RETRY_AFTER_SECONDS: &str = "5";

/// Takes a report. 200 means that it is durable, or of no use; 400 that it was not understood, which an app must not
/// take for a success; and 503 that it must be sent again.
pub(super) fn take(asked: &Asked<'_, '_>, asker: &Asker, app: &App<'_>) -> Response {
    let request = asked.request;
    let _permit = asked.shared.member.turn_permits.large(request.body.len());
    let (app, taken) = match read(request, app, asker, asked.received) {
        (app, Ok(taken)) => (app, taken),
        (_, Err(NotUnderstood(why))) => return Response::problem(400, why),
    };
    let keys = asked.shared.keys.map(PhoneKeys::current);
    let key = keys.as_ref().and_then(|keys| keys.key_of(taken.sender()?));
    let is_sealed = taken.sealed.is_some();
    let taken = match &taken.sealed {
        None => taken,
        Some(data) => match opened(asked, key, data, &Whose::of(taken.sender())) {
            Ok(opened) => opened,
            Err(refused) => return refused,
        },
    };
    if let Some(user) = asker.user()
        && let Some(point) = taken.points.iter().find(|point| !asker.may_report(&point.client))
    {
        let (user, client) = (&user.id, &point.client);
        let why =
            format!("{user} may not report as {client}, only as {user}/DEVICE and what `devices` lists");
        return Response::problem(403, &why);
    }
    let member = asked.shared.member;
    let lead = member.me.clock_lead_max.unwrap_or(CLOCK_LEAD_SUGGESTED);
    let taking = Taking {
        server: &member.me.name,
        received: asked.received,
        latest: asked.received.after(lead),
        client_name_bytes_max: member.me.client_name_bytes_max,
    };
    let (mut reports, mut left_out, mut why) = (Reports::new(taking), taken.left_out, taken.why);
    let mut bad_names = 0;
    for point in &taken.points {
        if let Err(useless) = reports.push(point) {
            bad_names += usize::from(useless == Useless::BadName);
            left_out += 1;
            why = why.or(Some(useless));
        }
    }
    if let Some(why) = why {
        member.metrics.points_left_out.add(left_out as u64);
        let client = taken.points.first().map_or("", |point| &point.client);
        log::debug!(
            "{}: {left_out} points of {} are left out: {why}",
            asked.remote,
            Escaped(client.as_bytes())
        );
    }
    // Nothing under such a name is ever kept, which its user must learn.
    if reports.is_empty() && bad_names > 0 {
        let most = member.me.client_name_bytes_max;
        let why =
            format!("the client's name has more than {most} bytes, or white space: give it a shorter one");
        return Response::problem(400, &why);
    }
    if !reports.is_empty() {
        if let Err(why) = member.report(&mut reports, asked.remote) {
            return retry_later(&format!("reports {why}"));
        }
        if reports.rejected.is_some() {
            return retry_later("no more clients are taken at the moment");
        }
    }
    match app {
        App::OwnTracks(_) => {
            let friends = || friends::answer(asked, asker, taken.sender());
            match (key, is_sealed) {
                (Some(key), true) => sealed(key, &friends()),
                // Friends go in plain text to no phone that could have them encrypted. An array, or the app sends the
                // point again.
                (Some(_), false) => Response::new(200, JSON, "[]"),
                (None, _) => Response::new(200, JSON, friends()),
            }
        }
        App::Any | App::Traccar | App::Overland | App::GpsLogger => understood(&app),
    }
}

/// What an encrypted message says, read as if it had come in plain text.
///
/// # Errors
/// The answer, if it cannot be read. For want of the right key that is 503, because the operator can mend it, and the
/// phone must keep the point until then: an iPhone deletes one that gets any 4xx.
fn opened(
    asked: &Asked<'_, '_>,
    key: Option<&Key>,
    data: &str,
    whose: &Whose<'_>,
) -> Result<Taken, Response> {
    let why = match key.map(|key| key.open(data)) {
        Some(Ok(message)) => {
            return match owntracks::read(&message, whose) {
                Ok(Taken { sealed: Some(_), .. }) => Err(Response::problem(400, "it is encrypted twice")),
                Ok(taken) => Ok(taken),
                Err(NotUnderstood(why)) => Err(Response::problem(400, why)),
            };
        }
        Some(Err(why @ Unreadable::Malformed)) => return Err(Response::problem(400, &why.to_string())),
        Some(Err(why @ Unreadable::WrongKey)) => why.to_string(),
        None => "the message is encrypted, and no key of this client is known here: see --owntracks-keys"
            .to_owned(),
    };
    let (metrics, remote) = (&asked.shared.member.metrics, asked.remote);
    metrics.count_and_warn(Event::PhoneKey, remote.from, format_args!("{remote}: {why}"));
    Err(retry_later(&why))
}

/// An answer that is encrypted as the report was.
fn sealed(key: &Key, answer: &[u8]) -> Response {
    match random::bytes() {
        Ok(nonce) => Response::new(200, JSON, key.seal(nonce, answer)),
        // The report is durable, and who has no random numbers has no nonce.
        Err(_) => Response::new(200, JSON, "[]"),
    }
}

/// What an app takes for a success.
fn understood(app: &App<'_>) -> Response {
    match app {
        App::Overland => Response::new(200, "application/json", r#"{"result":"ok"}"#),
        App::Any | App::OwnTracks(_) | App::Traccar => Response::new(200, "text/plain", ""),
        App::GpsLogger => Response::new(200, "text/plain", "ok"),
    }
}

fn retry_later(why: &str) -> Response {
    Response::problem(503, why).with("Retry-After", RETRY_AFTER_SECONDS)
}

/// Reads a report in the shape of an app, and says of which.
fn read<'a, 'r>(
    request: &Request<'r>,
    app: &App<'a>,
    asker: &Asker,
    now: Moment,
) -> (App<'a>, Result<Taken, NotUnderstood>) {
    let query = request.query_pairs();
    let user = || asker.user().map(|user| user.id.clone()).or_else(|| user(request));
    let value = |field: Option<&'r [u8]>, key: &str| {
        let in_query = || query.iter().find(|pair| pair.0 == key).map(|pair| pair.1.clone().into());
        field.map(form::decode).or_else(in_query)
    };
    let whose = || Whose {
        user: value(request.header(Name::XLimitU), "u").or_else(|| user().map(Cow::from)),
        device: value(request.header(Name::XLimitD), "d"),
    };
    match app {
        App::Any => {
            // An empty body is what its app sends when a friend was deleted.
            if request.body.is_empty() && request.header(Name::XLimitU).is_some() {
                return read(request, &App::OwnTracks(None), asker, now);
            }
            if let Some(message) = owntracks::Message::of(request.body) {
                return (App::OwnTracks(None), message.read(&whose()));
            }
            let app = if overland::is_batch(request.body) { App::Overland } else { App::Traccar };
            read(request, &app, asker, now)
        }
        App::Traccar => {
            let body = request.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(request.body).trim_ascii_start();
            let is_json = body.starts_with(b"{") || body.starts_with(b"[");
            let is_form = body.is_empty() || traccar::is_report(&form::pairs(body));
            let taken = match is_json {
                // A body that says nothing must not be taken for a sign of life: its points would be lost.
                false if !is_form => {
                    Err(NotUnderstood("the body is in no shape of an app that is known here"))
                }
                true => traccar::read_json(body, &query, now),
                false => traccar::read_pairs(&form::pairs(body), &query, now),
            };
            (App::Traccar, taken)
        }
        App::OwnTracks(place) => {
            let whose = match place {
                Some((user, device)) => {
                    Whose { user: Some(Cow::from(&**user)), device: Some(Cow::from(&**device)) }
                }
                None => whose(),
            };
            (App::OwnTracks(None), owntracks::read(request.body, &whose))
        }
        App::Overland => (App::Overland, overland::read(request.body, user().as_deref())),
        App::GpsLogger => {
            let pairs = [form::pairs(request.body), query].concat();
            (App::GpsLogger, gpslogger::read(&pairs, user().as_deref(), now))
        }
    }
}

/// The user of a login by `Basic`. Without an access file there are no users, so the password is not looked at.
fn user(request: &Request<'_>) -> Option<String> {
    let login = std::str::from_utf8(request.header(Name::Authorization)?).ok()?;
    let (scheme, credentials) = login.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = form::base64(credentials.trim())?;
    let user = decoded.split(|&byte| byte == b':').next()?;
    std::str::from_utf8(user).ok().filter(|user| !user.is_empty()).map(str::to_owned)
}
