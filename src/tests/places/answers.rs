//! Answers in forms that were not asked for: what they say reaches the client, and what cannot be read is named.

use super::server::{LocalServer, reply};
use super::{
    GOOGLE_OK, KEY, LEGACY_OK, NEAR, OVERPASS_OK, PHOTON_OK, all, open, options, provider, status_of,
};
use crate::places::PlacesError;

/// What the provider `name` makes of a reply with this status and body: status and message of the answer.
fn told(name: &str, status: u16, headers: &'static [(&str, &str)], body: &str) -> (String, String) {
    let body = body.to_owned();
    let server = LocalServer::http(move |_, out| reply(out, status, headers, &body));
    match provider(name, &server).nearby(&NEAR) {
        Ok(answer) => (status_of(&answer), answer.to_string()),
        Err(error) => (status_of(&error.to_answer()), error.to_string()),
    }
}

#[test]
fn error_that_is_called_a_success_keeps_its_own_status() {
    let exhausted = include_str!("google-200-resource_exhausted.json");
    let error =
        |status: &str| format!(r#"{{"error":{{"code":0,"status":"{status}","message":"in its words"}}}}"#);
    for (name, ..) in all() {
        let (status, text) = told(name, 200, &[], exhausted);
        assert_eq!(status, "OVER_QUERY_LIMIT", "{name}");
        assert!(text.contains("RESOURCE_EXHAUSTED: Quota exceeded for quota metric"), "{name}: {text}");
        for (said, status) in [
            ("PERMISSION_DENIED", "REQUEST_DENIED"),
            ("UNAUTHENTICATED", "REQUEST_DENIED"),
            ("INVALID_ARGUMENT", "INVALID_REQUEST"),
            ("FAILED_PRECONDITION", "INVALID_REQUEST"),
            ("UNAVAILABLE", "UNKNOWN_ERROR"),
            ("", "UNKNOWN_ERROR"),
        ] {
            let (told, text) = told(name, 200, &[], &error(said));
            assert_eq!(
                (told.as_str(), text.contains("in its words")),
                (status, true),
                "{name} {said}: {text}"
            );
        }
        let by_code = r#"{"error":{"code":403,"message":"by its code"}}"#;
        assert_eq!(told(name, 200, &[], by_code).0, "REQUEST_DENIED");
        assert_eq!(told(name, 200, &[], r#"{"error":"in a text"}"#).0, "UNKNOWN_ERROR");
        assert!(told(name, 200, &[], r#"{"error":"in a text"}"#).1.contains("in a text"));
    }
    let legacy = r#"{"status":"REQUEST_DENIED","error_message":"no results, and no member for them"}"#;
    let (status, text) = told("google-legacy", 200, &[], legacy);
    assert_eq!((status.as_str(), text.contains("no member for them")), ("REQUEST_DENIED", true), "{text}");
}

#[test]
fn statuses_and_words_of_a_refusal_reach_the_answer() {
    for (name, ..) in all() {
        let case = |status, body: &str, expected: &str, words: &str| {
            let (told, text) = told(name, status, &[("Content-Type", "text/html")], body);
            assert_eq!((told.as_str(), text.contains(words)), (expected, true), "{name} {status}: {text}");
            assert!(text.contains(&format!("HTTP status {status}")), "{name}: {text}");
        };
        let overpass = include_str!("overpass-504.html");
        case(504, overpass, "UNKNOWN_ERROR", "The server is probably too busy to handle your request.");
        case(400, include_str!("overpass-400.html"), "INVALID_REQUEST", "parse error: Unknown type \"nwx\"");
        case(404, "<html><head><title>404 Not Found</title></head></html>", "UNKNOWN_ERROR", "404 Not Found");
        case(429, "Slow down,\r\nplease\u{7}", "OVER_QUERY_LIMIT", "Slow down,  please");
        case(402, r#"{"message":"pay first"}"#, "UNKNOWN_ERROR", "pay first");
        case(503, &"long ".repeat(100_000), "UNKNOWN_ERROR", "HTTP status 503");
        case(500, "\u{0}\u{1}", "UNKNOWN_ERROR", "HTTP status 500");
        assert!(told(name, 500, &[], &"x".repeat(1_900)).1.len() < 500);

        // What is no text does not hide the status.
        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\n\x1f\x8b\xff")?;
            Ok(true)
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::OverLimit("HTTP status 429".into()), "{name}");
        // Nor does a body that never comes.
        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 3000\r\n\r\nbe")?;
            Ok(false)
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert!(matches!(error, PlacesError::Denied(_)), "{name}: {error}");
    }
}

#[test]
fn redirection_is_told_with_its_address_and_without_secrets() {
    for (name, ..) in all() {
        for status in [301, 302, 303, 307, 308] {
            let server = LocalServer::http(move |_, out| {
                let location = format!("https://me:{KEY}@elsewhere.example/api/?key={KEY}&x=1");
                reply(out, status, &[("Location", &location)], "")
            });
            let error = provider(name, &server).nearby(&NEAR).unwrap_err();
            assert_eq!(error, PlacesError::Redirected(status, "https://elsewhere.example/api/".into()));
            let text = error.to_string();
            assert!(
                text.contains(&format!("HTTP status {status}")) && text.contains("--places-url"),
                "{text}"
            );
            assert_eq!(status_of(&error.to_answer()), "UNKNOWN_ERROR");
        }
        let server = LocalServer::replying(301, "");
        assert_eq!(
            provider(name, &server).nearby(&NEAR),
            Err(PlacesError::Status("HTTP status 301".into())),
            "without an address"
        );
    }
}

#[test]
fn coding_that_comes_all_the_same_is_named() {
    for (name, _, fine) in all() {
        for coding in ["gzip", "br", "zstd", "deflate", "x-gzip"] {
            let server =
                LocalServer::http(move |_, out| reply(out, 200, &[("Content-Encoding", coding)], "?"));
            let error = provider(name, &server).nearby(&NEAR).unwrap_err();
            assert!(
                matches!(&error, PlacesError::Garbage(why) if why.contains(&format!("coded as {coding},"))),
                "{name}: {error}"
            );
        }
        for (bytes, coding) in [(b"\x1f\x8b\x08\x00", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")] {
            let server = LocalServer::http(move |_, out| {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
                out.write_all(bytes)?;
                Ok(true)
            });
            let error = provider(name, &server).nearby(&NEAR).unwrap_err();
            assert!(error.to_string().contains(coding), "{name}: {error}");
        }
        for coding in ["identity", "Identity", ""] {
            let server =
                LocalServer::http(move |_, out| reply(out, 200, &[("Content-Encoding", coding)], fine));
            assert_eq!(status_of(&provider(name, &server).nearby(&NEAR).unwrap()), "OK");
        }
        let marked = format!("\u{feff}{fine}");
        let server = LocalServer::replying(200, &marked);
        assert_eq!(
            status_of(&provider(name, &server).nearby(&NEAR).unwrap()),
            "OK",
            "{name}: a byte order mark"
        );
    }
}

#[test]
fn many_header_fields_are_read_and_too_many_are_named() {
    const FIELDS: [(&str, &str); 200] = [("X-Trace", "0123456789"); 200];
    for (name, _, fine) in all() {
        let server = LocalServer::http(move |_, out| reply(out, 200, &FIELDS[..120], fine));
        assert_eq!(status_of(&provider(name, &server).nearby(&NEAR).unwrap()), "OK");
        let server = LocalServer::http(move |_, out| reply(out, 200, &FIELDS, fine));
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("it has more than 128 header fields".into()));
        let server = LocalServer::http(move |_, out| {
            reply(out, 200, &[("X-Long", "x".repeat(40_000).as_str())], fine) //
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("its header is too long".into()));
    }
}

#[test]
fn every_form_of_an_address_reaches_the_interface() {
    for (name, fine, target, forms) in [
        ("overpass", OVERPASS_OK, "/api/interpreter", &["", "/api", "/api/interpreter", "/interpreter"][..]),
        ("google", GOOGLE_OK, "/v1/places:searchNearby", &["", "/v1", "/v1/places:searchNearby"][..]),
        ("photon", PHOTON_OK, "/reverse", &["", "/reverse", "/api"][..]),
        (
            "google-legacy",
            LEGACY_OK,
            "/maps/api/place/nearbysearch/json",
            &["", "/maps/api", "/maps/api/place/nearbysearch/json"][..],
        ),
    ] {
        let server = LocalServer::replying(200, fine);
        for form in forms {
            for end in ["", "/"] {
                let url = format!("{}{form}{end}", server.url());
                open(&options(name, url)).unwrap().nearby(&NEAR).unwrap();
                let seen = server.seen();
                let path = seen.last().unwrap().target.split('?').next().unwrap();
                assert_eq!(path, target, "{form}{end}");
            }
        }
        let without_scheme = server.url().trim_start_matches("http://").to_owned();
        let error = open(&options(name, without_scheme.clone())).err().unwrap().to_string();
        assert!(error.contains(&format!("write http://{without_scheme} or https://")), "{error}");
    }
}
