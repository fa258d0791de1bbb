//! Providers that are slow, broken or wrong: an error each time, and in time.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::server::{LocalServer, reply};
use super::{AT_LAST, NEAR, all, open, options, provider, status_of};
use crate::places::{Options, PlacesError, clock};

#[test]
fn a_slow_provider_costs_no_more_than_the_deadline() {
    for (name, _, fine) in all() {
        // Never answers at all.
        let (silent_for, silence) = bounded::<()>(0);
        let server = LocalServer::http(move |_, _| {
            let _ = silence.recv_timeout(AT_LAST);
            Ok(false)
        });
        let deadline = Duration::from_millis(200);
        let options = Options { deadline, ..options(name, server.url()) };
        let started = clock::now();
        assert_eq!(open(&options).unwrap().nearby(&NEAR), Err(PlacesError::TooSlow(deadline)));
        assert!(started.elapsed() < AT_LAST / 2, "the server was not waited for");
        drop(silent_for);

        // Answers so slowly that each byte is in time and the whole is not.
        let (dripping, stop) = bounded::<()>(0);
        let length = fine.len();
        let server = LocalServer::http(move |_, out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
            for _ in 0..length {
                out.write_all(b" ")?;
                if stop.recv_timeout(Duration::from_millis(20)) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            Ok(false)
        });
        let options = Options { deadline, ..Options { url: Some(server.url()), ..options } };
        assert_eq!(open(&options).unwrap().nearby(&NEAR), Err(PlacesError::TooSlow(deadline)));
        drop(dripping);
    }
}

#[test]
fn the_deadline_between_bytes_is_shorter() {
    let (silent_for, silence) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")?;
        let _ = silence.recv_timeout(AT_LAST);
        Ok(false)
    });
    let read_deadline = Duration::from_millis(100);
    let options = Options { read_deadline, ..options("overpass", server.url()) };
    let started = clock::now();
    let error = open(&options).unwrap().nearby(&NEAR).unwrap_err();
    assert!(matches!(error, PlacesError::TooSlow(_)), "{error}");
    assert!(started.elapsed() < AT_LAST / 2);
    drop(silent_for);
}

#[test]
fn a_refused_connection_is_an_error_at_once() {
    // Bound but not listening: no other program can get the port, and connecting to it is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    for (name, ..) in all() {
        let places = open(&options(name, format!("http://{address}"))).unwrap();
        let error = places.nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Unreachable("connection refused".into()));
        assert_eq!(status_of(&error.to_answer()), "UNKNOWN_ERROR");
    }
}

#[test]
fn an_answer_cut_off_is_an_error() {
    for (name, _, fine) in all() {
        let half = fine[..fine.len() / 2].to_owned();
        let length = fine.len();
        let server = LocalServer::http(move |_, out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{half}")?;
            Ok(false)
        });
        assert_eq!(provider(name, &server).nearby(&NEAR), Err(PlacesError::CutOff), "{name}");

        let server = LocalServer::http(|_, out| {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":")?;
            Ok(false)
        });
        assert_eq!(provider(name, &server).nearby(&NEAR), Err(PlacesError::CutOff), "{name}");

        let server = LocalServer::http(|_, _| Ok(false));
        assert_eq!(provider(name, &server).nearby(&NEAR), Err(PlacesError::CutOff), "{name}");
    }
}

#[test]
fn nonsense_is_an_error() {
    for (name, ..) in all() {
        for nonsense in ["", "<html>It works!</html>", "[]", "{\"results\":", "\u{0}\u{1}"] {
            let server = LocalServer::replying(200, nonsense);
            let error = provider(name, &server).nearby(&NEAR).unwrap_err();
            assert!(matches!(error, PlacesError::Garbage(_)), "{name} {nonsense:?}: {error}");
            assert_eq!(server.seen().len(), 1, "asking again would bring the same");
        }
        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe")?;
            Ok(true)
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("not UTF-8".into()));
        let server = LocalServer::http(|_, out| {
            out.write_all(b"+OK this is not a web server\r\n\r\n")?;
            Ok(false)
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("it is not HTTP".into()));
    }
}

#[test]
fn an_answer_of_ten_megabytes_is_not_read() {
    const LONG: usize = 10_000_000;
    for (name, ..) in all() {
        let server = LocalServer::http(|_, out| reply(out, 200, &[], &" ".repeat(LONG)));
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert!(matches!(error, PlacesError::TooLong(_)), "{name}: {error}");

        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..LONG / 10_000 {
                write!(out, "2710\r\n{}\r\n", " ".repeat(10_000))?;
            }
            out.write_all(b"0\r\n\r\n")?;
            Ok(false)
        });
        let error = provider(name, &server).nearby(&NEAR).unwrap_err();
        assert!(matches!(error, PlacesError::TooLong(_)), "{name}: {error}");
    }
}

#[test]
fn wrong_statuses_are_errors_and_redirects_are_not_followed() {
    for (name, _, fine) in all() {
        let target = LocalServer::replying(200, fine);
        let location = target.url();
        let server = LocalServer::http(move |_, out| reply(out, 302, &[("Location", &location)], fine));
        let error = PlacesError::Redirected(302, target.url());
        assert_eq!(provider(name, &server).nearby(&NEAR), Err(error));
        assert!(target.seen().is_empty(), "the key must not go elsewhere");
        for (status, google_status) in [
            (201, "UNKNOWN_ERROR"),
            (400, "INVALID_REQUEST"),
            (401, "REQUEST_DENIED"),
            (403, "REQUEST_DENIED"),
            (404, "UNKNOWN_ERROR"),
            (406, "REQUEST_DENIED"),
            (418, "UNKNOWN_ERROR"),
            (429, "OVER_QUERY_LIMIT"),
            (500, "UNKNOWN_ERROR"),
            (503, "UNKNOWN_ERROR"),
        ] {
            let server = LocalServer::replying(status, fine);
            let error = provider(name, &server).nearby(&NEAR).unwrap_err();
            assert_eq!(error.google_status(), google_status, "{name} {status}: {error}");
        }
    }
}

#[test]
fn a_failed_call_is_repeated_once_where_the_policy_allows_it() {
    for (name, api, fine) in all() {
        let server = LocalServer::http(move |seen, out| {
            let status = if seen.number == 0 { 503 } else { 200 };
            reply(out, status, &[], fine)
        });
        let outcome = provider(name, &server).nearby(&NEAR);
        if api.policy.retries == 0 {
            assert_eq!(outcome, Err(PlacesError::Failed("HTTP status 503".into())));
            assert_eq!(server.seen().len(), 1);
        } else {
            assert_eq!(status_of(&outcome.unwrap()), "OK");
            assert_eq!(server.seen().len(), 2);
            assert_eq!(server.connections(), 1, "the connection was kept");
        }
    }
    let unknown = include_str!("legacy-unknown_error.json");
    let server = LocalServer::replying(200, unknown);
    let answer = provider("google-legacy", &server).nearby(&NEAR).unwrap();
    assert_eq!((answer.as_str(), server.seen().len()), (unknown, 2), "and no third time");
}
