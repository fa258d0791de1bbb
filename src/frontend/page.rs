//! The static files: the page of the map, that of the herd, and what they are made of. They hold no data, so they are
//! for everybody; whatever they show is asked for with the reader's own token.

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::MapOptions;
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;

/// A file, as it is and compressed.
struct File {
    name: &'static str,
    media_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

macro_rules! file {
    ($name:literal, $media_type:expr) => {
        File {
            name: $name,
            media_type: $media_type,
            plain: include_bytes!(concat!("page/", $name)),
            // `build.rs` has made it.
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [File; 13] = [
    file!("index.html", HTML),
    file!("herd.html", HTML),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    file!("land.bin", "application/octet-stream"),
    file!("map.js", SCRIPT),
    file!("herd.js", SCRIPT),
    file!("server.js", SCRIPT),
    file!("clients.js", SCRIPT),
    file!("view.js", SCRIPT),
    file!("draw.js", SCRIPT),
    file!("ground.js", SCRIPT),
    file!("panel.js", SCRIPT),
];

/// What the operator has chosen for the map: the one file that is not the same everywhere.
const SETTINGS: &str = "settings.json";

/// The files, with what the operator has chosen for them.
#[derive(Debug)]
pub struct Pages {
    /// The content security policy.
    policy: String,
    settings: String,
}

impl Pages {
    /// For these choices; whether there are users, so that a page knows whether to ask for a token; and whether there
    /// are tracks of clients.
    pub fn new(map: &MapOptions, has_users: bool, has_tracks: bool) -> Pages {
        let tiles = map.tiles.as_ref();
        let images = tiles.map_or_else(String::new, |tiles| format!(" {}", tiles.origin()));
        // Nothing is loaded from elsewhere but tiles, nothing in a page is run but our own files, no text becomes
        // markup, and no page of others shows ours in a frame.
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'{images}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'"
        );
        let settings = json!({
            "has_users": has_users,
            "has_tracks": has_tracks,
            "tiles": tiles.map(|tiles| tiles.template()),
            "tiles_credit": map.tiles_credit,
        });
        Pages { policy, settings: settings.to_string() }
    }

    /// The page at the root.
    pub fn index(&self, request: &Request<'_>) -> Response {
        // The files that it names are beside it only if its own address is that of a folder.
        match request.whole_path().rsplit(|&byte| byte == b'/').next() {
            None | Some([]) => self.file("index.html", request),
            Some(name) => {
                Response::new(308, "", "").with("Location", format!("{}/", String::from_utf8_lossy(name)))
            }
        }
    }

    /// A file.
    pub fn file(&self, name: &str, request: &Request<'_>) -> Response {
        if name == SETTINGS {
            return self.sent(request, "application/json", self.settings.as_bytes(), "");
        }
        match FILES.iter().find(|file| file.name == name) {
            None => Response::problem(404, "there is nothing at this path"),
            Some(file) if accepts_gzip(request.headers(Name::AcceptEncoding)) => {
                self.sent(request, file.media_type, file.gzip, "-gzip").with("Content-Encoding", "gzip")
            }
            Some(file) => self.sent(request, file.media_type, file.plain, ""),
        }
    }

    /// Content, or that the browser has it. It asks each time, because a server of another version has other files.
    fn sent(&self, request: &Request<'_>, media_type: &'static str, body: &[u8], coding: &str) -> Response {
        let tag = format!("\"{:016x}{coding}\"", xxh3_64(body));
        let is_known = request.headers(Name::IfNoneMatch).any(|tags| has_tag(tags, tag.as_bytes()));
        let response =
            if is_known { Response::new(304, "", "") } else { Response::new(200, media_type, body) };
        response
            .with("ETag", tag)
            .with("Cache-Control", "no-cache")
            .with("Vary", "Accept-Encoding")
            .with("Content-Security-Policy", self.policy.as_str())
            .with("Referrer-Policy", "no-referrer")
    }
}

/// Whether the values of `Accept-Encoding` take gzip.
fn accepts_gzip<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut named, mut any) = (None, None);
    for coding in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let mut parts = coding.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        // A weight of nothing is a no, and one that is no number is none.
        let is_taken = parts
            .find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")))
            .is_none_or(|weight| weight.iter().any(|digit| matches!(digit, b'1'..=b'9')));
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            named = Some(is_taken || named == Some(true));
        } else if name == b"*" {
            any = Some(is_taken);
        }
    }
    named.or(any).unwrap_or(false)
}

/// Whether one of the tags of an `If-None-Match` is this one.
pub(super) fn has_tag(tags: &[u8], tag: &[u8]) -> bool {
    let same = |it: &[u8]| it == b"*" || it.strip_prefix(b"W/").unwrap_or(it) == tag;
    tags.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).any(same)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn compressed_files_are_the_files() {
        for file in &FILES {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut plain).unwrap();
            assert!(plain == file.plain, "{}", file.name);
            assert!(file.gzip.len() < file.plain.len(), "{}", file.name);
        }
    }

    #[test]
    fn pages_name_only_files_that_are_there_and_nothing_elsewhere() {
        for file in FILES.iter().filter(|file| file.media_type != "application/octet-stream") {
            let text = std::str::from_utf8(file.plain).unwrap();
            let is_script = |name: &str| name.ends_with(".js");
            let names = text.split('"').filter_map(|quoted| {
                quoted.strip_prefix("page/").or_else(|| quoted.strip_prefix("./").filter(|it| is_script(it)))
            });
            for name in names {
                assert!(name == SETTINGS || FILES.iter().any(|file| file.name == name), "{name}");
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("://"), "{}", file.name);
            assert!(text.lines().count() <= 400, "{}", file.name);
        }
    }

    #[test]
    fn weights_of_codings_count() {
        for (value, is_taken) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.2, *;q=0", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("gzipped", false),
            ("", false),
            ("gzip;q=0.001", true),
        ] {
            assert_eq!(accepts_gzip([value.as_bytes()].into_iter()), is_taken, "{value}");
        }
        assert!(accepts_gzip([&b"br"[..], b"gzip"].into_iter()) && !accepts_gzip(std::iter::empty()));
    }

    #[test]
    fn tags_are_found_in_lists() {
        assert!(
            has_tag(b"\"a\", W/\"b\"", b"\"b\"") && has_tag(b"*", b"\"b\"") && !has_tag(b"\"a\"", b"\"b\"")
        );
    }
}
