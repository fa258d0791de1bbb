//! The static files over real sockets: what is sent, in which coding, and to whom.

use std::io::Read as _;
use std::net::SocketAddr;

use flate2::read::GzDecoder;
use ureq::Agent;

use super::harness::Talk;
use super::http::{ask, get, server};
use crate::config::{Access, Config, MapOptions};

/// A page, with these header fields: its status, a lookup of its own fields, and its body.
fn page(http: SocketAddr, path: &str, fields: &[(&str, &str)]) -> (u16, impl Fn(&str) -> String, Vec<u8>) {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).accept_encoding("").build().into();
    let mut request = agent.get(format!("http://{http}{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut answer = request.call().unwrap();
    let body = answer.body_mut().read_to_vec().unwrap();
    let head = answer.headers().clone();
    let field = move |name: &str| head.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), field, body)
}

#[test]
fn files_are_sent_compressed_to_those_who_take_that_and_once() {
    let (server, http) = server(|config| config);
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/herd", "text/html; charset=utf-8"),
        ("/page/map.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/land.bin", "application/octet-stream"),
        ("/favicon.ico", "image/svg+xml"),
        ("/?utm_source=x", "text/html; charset=utf-8"),
    ] {
        let (status, plain, body) = page(http, path, &[]);
        assert_eq!(
            (status, plain("content-type"), plain("content-encoding")),
            (200, media_type.into(), "".into())
        );
        let (status, gzip, compressed) = page(http, path, &[("Accept-Encoding", "br, gzip;q=0.5")]);
        assert_eq!((status, gzip("content-encoding")), (200, "gzip".to_owned()), "{path}");
        let mut read = Vec::new();
        GzDecoder::new(&compressed[..]).read_to_end(&mut read).unwrap();
        assert!(read == body && compressed.len() < body.len(), "{path}");
        assert_ne!(plain("etag"), gzip("etag"), "two codings are two things");
        for (field, taken) in [(&plain, ""), (&gzip, "gzip")] {
            assert_eq!(field("vary"), "Accept-Encoding");
            assert_eq!(field("cache-control"), "no-cache");
            assert_eq!(field("x-content-type-options"), "nosniff");
            assert_eq!(field("referrer-policy"), "no-referrer");
            assert!(field("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
            assert!(field("etag").starts_with('"'), "a strong tag");
            let known = [("If-None-Match", &*field("etag")), ("Accept-Encoding", taken)];
            let (status, again, body) = page(http, path, &known);
            assert_eq!((status, body.len(), again("etag")), (304, 0, field("etag")), "{path}");
        }
        let refused = [("Accept-Encoding", "gzip;q=0"), ("If-None-Match", &*gzip("etag"))];
        let (status, field, again) = page(http, path, &refused);
        assert!(status == 200 && field("content-encoding").is_empty() && again == body, "{path}");
    }
    for path in ["/page/secret", "/page/../Cargo.toml", "/page/%2e%2e", "/page/index.html.gz", "/herd.html"] {
        assert_eq!(page(http, path, &[]).0, 404, "{path}");
    }
    let mut talk = Talk::with(http);
    talk.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while talk.line() != "\r" {}
    assert_eq!(talk.line(), "HTTP/1.1 200 OK\r", "nothing but the head");
    drop(server);
}

#[test]
fn root_is_a_report_or_the_page() {
    let (server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    assert_eq!(get(&mut talk, "/?id=a&lat=1&lon=2&timestamp=1700000000").body, "");
    assert_eq!(get(&mut talk, "/?deviceid=b&lat=1&lon=2&timestamp=1700000000").body, "");
    assert_eq!(server.clients_known(), 2);
    assert!(get(&mut talk, "/").body.starts_with("<!doctype html>"));
    assert_eq!(ask(&mut talk, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 400);
    assert_eq!(ask(&mut talk, "POST /herd HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 405);
}

#[test]
fn files_are_for_everybody_and_data_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.toml");
    std::fs::write(&path, format!("[users.jane]\ntokens = ['{}']\n", crate::config::TokenHash::of(b"t")))
        .unwrap();
    let access = Some(Access::load(&path).unwrap());
    let tiles = Some("https://tile.example:8080/{z}/{x}/{y}.png?key=1".parse().unwrap());
    let map = MapOptions { tiles, tiles_credit: Some("\"Tiles\" by <us>".to_owned()) };
    let (_server, http) = server(|config| Config { access, map, ..config });
    for path in ["/", "/herd", "/page/map.js", "/page/settings.json", "/favicon.ico"] {
        let (status, field, _) = page(http, path, &[("Host", "herd.example"), ("Via", "1.1 proxy")]);
        assert_eq!(status, 200, "{path}");
        assert!(field("content-security-policy").contains("img-src 'self' https://tile.example:8080; "));
    }
    assert_eq!(page(http, "/v1/clients/jane%2Fphone", &[]).0, 401);
    let settings: serde_json::Value =
        serde_json::from_slice(&page(http, "/page/settings.json", &[]).2).unwrap();
    assert_eq!(settings["has_users"], true);
    assert_eq!(settings["tiles"], "https://tile.example:8080/{z}/{x}/{y}.png?key=1");
    assert_eq!(settings["tiles_credit"], "\"Tiles\" by <us>");
    // A token in the path is for the files that a page names, too, which are beside it.
    assert_eq!(page(http, "/t/t/page/map.js", &[]).0, 200);
    let mut talk = Talk::with(http);
    let moved = get(&mut talk, "/t/secret");
    assert!(moved.status == 308 && moved.head.contains("\nLocation: secret/\n"), "{}", moved.head);
}
