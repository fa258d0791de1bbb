//! Providers over the real HTTP path, against a server on this machine that behaves as badly as they come.

mod server;

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use self::server::{LocalServer, reply};
use super::remote::Remote;
use super::request::Question;
use super::{Answer, Choice, Key, Options, Places, PlacesError, clock, open};
use crate::proto::search::Nearby;

const NEAR: Nearby = Nearby { latitude: 34.068_93, longitude: -118.445_127, radius_m: 10_000 };
const ELSEWHERE: Nearby = Nearby { latitude: 51.5, longitude: 0.0, radius_m: 2_000 };

const KEY: &str = "AIza-this-is-secret";

/// Longer than anything here should take, however busy the machine is.
const AT_LAST: Duration = Duration::from_secs(30);

const LEGACY_OK: &str = include_str!("legacy-ok.json");
const GOOGLE_OK: &str = include_str!("google-ok.json");
const OVERPASS_OK: &str = include_str!("overpass-ok.json");

/// All network providers, each with an answer of its own that is fine.
const ALL: [(Choice, &str); 3] =
    [(Choice::Google, GOOGLE_OK), (Choice::GoogleLegacy, LEGACY_OK), (Choice::Overpass, OVERPASS_OK)];

fn options(choice: Choice, url: String) -> Options {
    let google_key = Some(Key::parse(KEY, "the test").unwrap());
    Options { choice, url: Some(url), google_key, deadline: AT_LAST, ..Options::default() }
}

fn provider(choice: Choice, server: &LocalServer) -> Arc<dyn Places> {
    open(&options(choice, server.url())).unwrap()
}

fn google(options: &Options) -> Remote {
    super::open::google(options).unwrap()
}

fn overpass(options: &Options) -> Remote {
    super::open::overpass(options).unwrap()
}

/// Waits for something that another thread is about to do.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = clock::now() + AT_LAST;
    while !happened() {
        assert!(clock::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

fn status_of(answer: &Answer) -> String {
    let value: serde_json::Value = serde_json::from_str(answer.as_str()).unwrap();
    value["status"].as_str().unwrap().to_owned()
}

#[test]
fn google_new_is_sent_what_it_documents() {
    let server = LocalServer::replying(200, GOOGLE_OK);
    let answer = provider(Choice::Google, &server).nearby(&NEAR).unwrap();
    assert_eq!(status_of(&answer), "OK");
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/places:searchNearby"));
    assert_eq!(seen.headers["x-goog-api-key"], KEY);
    assert_eq!(
        seen.headers["x-goog-fieldmask"],
        "places.id,places.displayName,places.formattedAddress,places.location,places.types"
    );
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(
        seen.body,
        r#"{"maxResultCount":20,"rankPreference":"DISTANCE","locationRestriction":{"circle":{"center":{"latitude":34.06893,"longitude":-118.445127},"radius":10000.0}}}"#
    );
}

#[test]
fn google_legacy_is_sent_what_it_documents_and_its_answer_is_untouched() {
    let server = LocalServer::replying(200, LEGACY_OK);
    let answer = provider(Choice::GoogleLegacy, &server).nearby(&NEAR).unwrap();
    assert_eq!(answer.as_str(), LEGACY_OK);
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.method, "GET");
    assert_eq!(
        seen.target,
        format!("/maps/api/place/nearbysearch/json?location=34.06893,-118.445127&radius=10000&key={KEY}")
    );
}

#[test]
fn overpass_is_sent_what_it_documents() {
    let server = LocalServer::replying(200, OVERPASS_OK);
    let answer = provider(Choice::Overpass, &server).nearby(&NEAR).unwrap();
    assert_eq!(status_of(&answer), "OK");
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/interpreter"));
    assert_eq!(
        seen.body,
        "[out:json][timeout:25];nwr(around:10000,34.06893,-118.445127)[amenity][name];out center 20;"
    );
}

#[test]
fn every_request_says_who_asks_and_a_base_address_may_have_a_path() {
    for (choice, fine) in ALL {
        let server = LocalServer::replying(200, fine);
        let options = options(choice, format!("{}/behind/a/proxy/", server.url()));
        open(&options).unwrap().nearby(&NEAR).unwrap();
        let seen = &server.seen()[0];
        assert!(seen.headers["user-agent"].starts_with("proxyherd/"), "{seen:?}");
        assert!(seen.target.starts_with("/behind/a/proxy/"), "{seen:?}");
        assert_eq!(seen.headers["host"], server.url().trim_start_matches("http://"));
    }
}

#[test]
fn a_slow_provider_costs_no_more_than_the_deadline() {
    for (choice, fine) in ALL {
        // Never answers at all.
        let (silent_for, silence) = bounded::<()>(0);
        let server = LocalServer::http(move |_, _| {
            let _ = silence.recv_timeout(AT_LAST);
            Ok(false)
        });
        let deadline = Duration::from_millis(200);
        let options = Options { deadline, ..options(choice.clone(), server.url()) };
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
                if stop.recv_timeout(Duration::from_millis(20))
                    != Err(crossbeam_channel::RecvTimeoutError::Timeout)
                {
                    break;
                }
            }
            Ok(false)
        });
        let options = Options { deadline, ..super::Options { url: Some(server.url()), ..options } };
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
    let options = Options { read_deadline, ..options(Choice::Overpass, server.url()) };
    let started = clock::now();
    let error = open(&options).unwrap().nearby(&NEAR).unwrap_err();
    assert!(matches!(error, PlacesError::TooSlow(_)), "{error}");
    assert!(started.elapsed() < AT_LAST / 2);
    drop(silent_for);
}

#[test]
fn a_provider_that_refuses_connections_is_an_error_at_once() {
    // Bound but not listening: nobody else can get the port, and connecting to it is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    for (choice, _) in ALL {
        let places = open(&options(choice, format!("http://{address}"))).unwrap();
        let error = places.nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Unreachable("connection refused".into()));
        assert_eq!(status_of(&error.to_answer()), "UNKNOWN_ERROR");
    }
}

#[test]
fn an_answer_cut_off_half_way_is_an_error() {
    for (choice, fine) in ALL {
        let half = fine[..fine.len() / 2].to_owned();
        let length = fine.len();
        let server = LocalServer::http(move |_, out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{half}")?;
            Ok(false)
        });
        assert_eq!(provider(choice.clone(), &server).nearby(&NEAR), Err(PlacesError::CutOff), "{choice}");

        let server = LocalServer::http(|_, out| {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":")?;
            Ok(false)
        });
        assert_eq!(provider(choice.clone(), &server).nearby(&NEAR), Err(PlacesError::CutOff), "{choice}");

        let server = LocalServer::http(|_, _| Ok(false));
        assert_eq!(provider(choice.clone(), &server).nearby(&NEAR), Err(PlacesError::CutOff), "{choice}");
    }
}

#[test]
fn nonsense_is_an_error() {
    for (choice, _) in ALL {
        for nonsense in ["", "<html>It works!</html>", "[]", "{\"results\":", "\u{0}\u{1}"] {
            let server = LocalServer::replying(200, nonsense);
            let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
            assert!(matches!(error, PlacesError::Garbage(_)), "{choice} {nonsense:?}: {error}");
            assert_eq!(server.seen().len(), 1, "asking again would bring the same");
        }
        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe")?;
            Ok(true)
        });
        let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("not UTF-8".into()));
        let server = LocalServer::http(|_, out| {
            out.write_all(b"+OK this is not a web server\r\n\r\n")?;
            Ok(false)
        });
        let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
        assert_eq!(error, PlacesError::Garbage("it is not HTTP".into()));
    }
}

#[test]
fn an_answer_of_ten_megabytes_is_not_read() {
    const LONG: usize = 10_000_000;
    for (choice, _) in ALL {
        let server = LocalServer::http(|_, out| reply(out, 200, &[], &" ".repeat(LONG)));
        let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
        assert!(matches!(error, PlacesError::TooLong(_)), "{choice}: {error}");

        let server = LocalServer::http(|_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..LONG / 10_000 {
                write!(out, "2710\r\n{}\r\n", " ".repeat(10_000))?;
            }
            out.write_all(b"0\r\n\r\n")?;
            Ok(false)
        });
        let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
        assert!(matches!(error, PlacesError::TooLong(_)), "{choice}: {error}");
    }
}

#[test]
fn wrong_statuses_are_errors_and_redirects_are_not_followed() {
    for (choice, fine) in ALL {
        let target = LocalServer::replying(200, fine);
        let location = target.url();
        let server = LocalServer::http(move |_, out| reply(out, 302, &[("Location", &location)], fine));
        assert_eq!(provider(choice.clone(), &server).nearby(&NEAR), Err(PlacesError::Status(302)));
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
            let error = provider(choice.clone(), &server).nearby(&NEAR).unwrap_err();
            assert_eq!(error.google_status(), google_status, "{choice} {status}: {error}");
        }
    }
}

#[test]
fn a_failure_that_may_pass_is_tried_once_more_where_that_is_allowed() {
    for (choice, fine) in ALL {
        let server = LocalServer::http(move |seen, out| {
            let status = if seen.number == 0 { 503 } else { 200 };
            reply(out, status, &[], fine)
        });
        let outcome = provider(choice.clone(), &server).nearby(&NEAR);
        if choice == Choice::Overpass {
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
    let answer = provider(Choice::GoogleLegacy, &server).nearby(&NEAR).unwrap();
    assert_eq!((answer.as_str(), server.seen().len()), (unknown, 2), "and no third time");
}

#[test]
fn overpass_is_left_alone_after_it_has_asked_for_it() {
    let server = LocalServer::http(|_, out| reply(out, 429, &[("Retry-After", "45")], ""));
    let places = provider(Choice::Overpass, &server);
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::OverLimit(_))));
    for near in [&NEAR, &ELSEWHERE] {
        let error = places.nearby(near).unwrap_err();
        assert!(matches!(error, PlacesError::Silent(31..=45)), "{error:?}");
        assert_eq!(status_of(&error.to_answer()), "OVER_QUERY_LIMIT");
    }
    assert_eq!(server.seen().len(), 1);
    let server = LocalServer::replying(429, "");
    let places = provider(Choice::Overpass, &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Silent(1..=30))));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn answers_are_kept_only_where_the_terms_allow_it() {
    for (choice, fine) in ALL {
        let server = LocalServer::replying(200, fine);
        let places = provider(choice.clone(), &server);
        let first = places.nearby(&NEAR).unwrap();
        assert_eq!(places.nearby(&NEAR).unwrap(), first);
        places.nearby(&ELSEWHERE).unwrap();
        let calls = if choice == Choice::Overpass { 2 } else { 3 };
        assert_eq!(server.seen().len(), calls, "{choice}");
        assert!(places.may_wait());
    }
    // What failed is asked again.
    let server =
        LocalServer::http(|seen, out| reply(out, if seen.number == 0 { 504 } else { 200 }, &[], OVERPASS_OK));
    let places = provider(Choice::Overpass, &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(places.nearby(&NEAR).is_ok());
}

#[test]
fn a_provider_that_keeps_failing_is_given_a_rest() {
    let server = LocalServer::replying(504, "");
    let places = provider(Choice::Overpass, &server);
    for _ in 0..5 {
        assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Failed(_))));
    }
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Resting(1..=10))));
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn equal_questions_at_once_are_one_call() {
    const ASKING: usize = 8;
    let (go, gate) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        let _ = gate.recv_timeout(AT_LAST);
        reply(out, 200, &[], GOOGLE_OK)
    });
    let remote = google(&options(Choice::Google, server.url()));
    thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING).map(|_| scope.spawn(|| remote.nearby(&NEAR))).collect();
        let question = Question::from(&NEAR);
        until("all but one wait", || remote.flights().waiting(question) == ASKING - 1);
        drop(go);
        for thread in asking {
            assert_eq!(status_of(&thread.join().unwrap().unwrap()), "OK");
        }
    });
    assert_eq!(server.seen().len(), 1);
    remote.nearby(&NEAR).unwrap();
    assert_eq!(server.seen().len(), 2, "a later question is a call of its own");
}

#[test]
fn those_who_wait_for_another_call_have_their_own_deadline() {
    let (go, gate) = bounded::<()>(0);
    let flights = super::single_flight::SingleFlight::default();
    let question = Question::from(&NEAR);
    let answer = || Ok(Answer::failure("OK", ""));
    thread::scope(|scope| {
        let (under_way, started) = bounded::<()>(1);
        let (flights, answer) = (&flights, &answer);
        let leader = scope.spawn(move || {
            flights.run(question, clock::now() + AT_LAST, || {
                under_way.send(()).unwrap();
                let _ = gate.recv_timeout(AT_LAST);
                answer()
            })
        });
        started.recv_timeout(AT_LAST).unwrap();
        assert_eq!(flights.run(question, clock::now() + Duration::from_millis(20), answer), None);
        drop(go);
        assert_eq!(leader.join().unwrap(), Some(answer()));
    });
}

#[test]
fn a_call_that_panics_leaves_nobody_waiting() {
    let flights = super::single_flight::SingleFlight::default();
    let question = Question::from(&NEAR);
    let (under_way, started) = bounded::<()>(1);
    thread::scope(|scope| {
        let flights = &flights;
        let leader = scope.spawn(move || {
            flights.run(question, clock::now() + AT_LAST, || {
                under_way.send(()).unwrap();
                until("another waits", || flights.waiting(question) == 1);
                panic!("on purpose");
            })
        });
        started.recv_timeout(AT_LAST).unwrap();
        let outcome = flights.run(question, clock::now() + AT_LAST, || panic!("this one must not call"));
        assert_eq!(outcome, Some(Err(PlacesError::CutOff)));
        assert!(leader.join().is_err());
    });
    let fine = Ok(Answer::failure("OK", ""));
    assert_eq!(flights.run(question, clock::now(), || fine.clone()), Some(fine));
}

#[test]
fn one_call_too_many_fails_at_once_and_the_next_one_not() {
    let (go, gate) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        let _ = gate.recv_timeout(AT_LAST);
        reply(out, 200, &[], GOOGLE_OK)
    });
    let options = Options { calls_max: 1, ..options(Choice::Google, server.url()) };
    let remote = google(&options);
    thread::scope(|scope| {
        let first = scope.spawn(|| remote.nearby(&NEAR));
        until("the first call is under way", || server.seen().len() == 1);
        assert_eq!(remote.nearby(&ELSEWHERE), Err(PlacesError::Busy));
        assert!(!first.is_finished());
        drop(go);
        assert!(first.join().unwrap().is_ok());
    });
    assert!(remote.nearby(&ELSEWHERE).is_ok());
}

#[test]
fn overpass_is_asked_one_question_at_a_time_and_the_others_wait_their_turn() {
    let (go, gate) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        let _ = gate.recv_timeout(AT_LAST);
        reply(out, 200, &[], OVERPASS_OK)
    });
    let remote = overpass(&options(Choice::Overpass, server.url()));
    let near = |number: u32| Nearby { radius_m: 1_000 + number, ..NEAR };
    thread::scope(|scope| {
        let remote = &remote;
        let asking: Vec<_> = (0..9).map(|n| scope.spawn(move || remote.nearby(&near(n)))).collect();
        until("one asks and eight wait", || server.seen().len() == 1 && remote.turnstile().waiting() == 8);
        assert_eq!(remote.nearby(&near(9)), Err(PlacesError::Busy), "the line is full");
        assert_eq!(server.seen().len(), 1);
        drop(go);
        for thread in asking {
            assert!(thread.join().unwrap().is_ok());
        }
    });
    assert_eq!(server.seen().len(), 9);
    assert_eq!(server.connections(), 1, "one after the other, over one connection");
}

#[test]
fn a_turn_that_does_not_come_in_time_is_an_error() {
    let turnstile = super::turnstile::Turnstile::new(1, 1);
    let turn = turnstile.enter(clock::now()).unwrap();
    let soon = clock::now() + Duration::from_millis(20);
    assert!(matches!(turnstile.enter(soon), Err(PlacesError::Busy)));
    drop(turn);
    assert!(turnstile.enter(clock::now()).is_ok());
}

#[test]
fn stopping_ends_a_call_under_way_and_all_who_wait() {
    let (silent_for, silence) = bounded::<()>(0);
    let server = LocalServer::http(move |_, _| {
        let _ = silence.recv_timeout(AT_LAST * 2);
        Ok(false)
    });
    let remote = overpass(&options(Choice::Overpass, server.url()));
    let started = clock::now();
    thread::scope(|scope| {
        let calling = scope.spawn(|| remote.nearby(&NEAR));
        until("a call is under way", || server.seen().len() == 1);
        let same = scope.spawn(|| remote.nearby(&NEAR));
        until("another waits for it", || remote.flights().waiting(Question::from(&NEAR)) == 1);
        let other = scope.spawn(|| remote.nearby(&ELSEWHERE));
        until("a third waits for its turn", || remote.turnstile().waiting() == 1);
        remote.stop();
        for thread in [calling, same, other] {
            assert_eq!(thread.join().unwrap(), Err(PlacesError::Stopped));
        }
    });
    assert_eq!(remote.nearby(&NEAR), Err(PlacesError::Stopped));
    assert!(started.elapsed() < AT_LAST / 2, "nobody waited for the deadline");
    assert_eq!(server.seen().len(), 1);
    remote.stop();
    drop(silent_for);
}

#[test]
fn stopping_cuts_a_pause_short() {
    let turnstile = super::turnstile::Turnstile::new(1, 1);
    assert_eq!(turnstile.pause(clock::now() + Duration::from_millis(1)), Ok(()));
    thread::scope(|scope| {
        let pausing = scope.spawn(|| turnstile.pause(clock::now() + AT_LAST));
        turnstile.close();
        assert_eq!(pausing.join().unwrap(), Err(PlacesError::Stopped));
    });
}

#[test]
fn the_key_is_in_no_text() {
    // Servers that repeat everything they are sent, in every way they could.
    for (choice, _) in ALL {
        for status in [200, 302, 400, 401, 403, 404, 429, 500] {
            let server = LocalServer::http(move |seen, out| {
                let key = seen.headers.get("x-goog-api-key").cloned().unwrap_or(seen.target.clone());
                let body = format!(
                    r#"{{"results":[],"elements":[],"places":[{{"id":"{key}","location":{{}}}}],
                    "remark":"error {key}","error_message":"{key}",
                    "error":{{"message":"bad key {key}","status":"{key}"}}}}"#
                );
                reply(out, status, &[("Location", &seen.target)], &body)
            });
            let text = match provider(choice.clone(), &server).nearby(&NEAR) {
                Ok(answer) => answer.as_str().to_owned(),
                Err(error) => format!("{error} {error:?} {}", error.to_answer()),
            };
            assert!(!text.contains("secret"), "{choice} {status}: {text}");
        }
        let server = LocalServer::http(|seen, out| {
            write!(out, "{} {:?} no HTTP\r\n\r\n", seen.target, seen.headers)?;
            Ok(false)
        });
        let options = options(choice.clone(), server.url());
        let error = open(&options).unwrap().nearby(&NEAR).unwrap_err();
        assert!(!format!("{error} {error:?} {options:?}").contains("secret"), "{choice}");
        for url in ["gopher://x", "https://a b", "http://x?key"] {
            let error = open(&Options { url: Some(url.to_owned()), ..options.clone() }).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("secret"), "{choice} {url}: {error}");
        }
    }
}

/// A certificate for this machine, as PEM, and a server's configuration with it.
fn certificate() -> (tempfile::NamedTempFile, ServerConfig) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(cert.pem().as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    (file, config)
}

#[test]
fn https_is_spoken_with_those_who_are_trusted_and_nobody_else() {
    for (choice, fine) in ALL {
        let (ca, tls) = certificate();
        let server = LocalServer::https(tls, move |_, out| reply(out, 200, &[], fine));
        let known = Options { ca: Some(ca.path().to_owned()), ..options(choice.clone(), server.url()) };
        let places = open(&known).unwrap();
        assert_eq!(status_of(&places.nearby(&NEAR).unwrap()), "OK");
        places.nearby(&ELSEWHERE).unwrap();
        assert_eq!((server.seen().len(), server.connections()), (2, 1));

        let (another, _) = certificate();
        for ca in [None, Some(another.path().to_owned())] {
            let stranger = Options { ca, ..options(choice.clone(), server.url()) };
            let error = open(&stranger).unwrap().nearby(&NEAR).unwrap_err();
            assert!(
                matches!(&error, PlacesError::Unreachable(why) if why.contains("certificate")),
                "{error}"
            );
        }
        assert_eq!(server.seen().len(), 2, "no request, and no key, for a stranger");
    }
}

#[test]
fn a_provider_that_cannot_work_is_refused_in_one_sentence() {
    let refused = |options: Options, expected: &str| {
        let error = open(&options).err().expect("cannot work").to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    let choose = |choice| Options { choice, ..Options::default() };
    refused(choose(Choice::Google), "google needs a key: set PROXYHERD_GOOGLE_KEY");
    refused(choose(Choice::GoogleLegacy), "google-legacy needs a key");
    refused(choose(Choice::File("/nowhere/at/all".into())), "cannot read /nowhere/at/all");
    refused(options(Choice::Catalogue, "http://127.0.0.1".into()), "--places-url has no meaning");
    refused(options(Choice::Google, "http://example.org".into()), "in the clear");
    refused(options(Choice::Overpass, "example.org".into()), "--places-url: ");
    let ca = |path: &std::path::Path| Options { ca: Some(path.to_owned()), ..choose(Choice::Overpass) };
    refused(ca("/nowhere/at/all".as_ref()), "cannot read /nowhere/at/all");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    refused(ca(file.path()), "no usable PEM certificate");
    file.write_all(b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n").unwrap();
    refused(ca(file.path()), "no usable PEM certificate");
    refused(Options { choice: Choice::Catalogue, ..ca(file.path()) }, "--places-ca has no meaning");
}

#[test]
fn the_catalogue_needs_nothing_and_never_waits() {
    let places = open(&Options::default()).unwrap();
    assert!(!places.may_wait());
    let answer = places.nearby(&NEAR).unwrap();
    let value: serde_json::Value = serde_json::from_str(answer.as_str()).unwrap();
    assert_eq!((value["status"].as_str(), value["provider"].as_str()), (Some("OK"), Some("catalogue")));
    assert_eq!(value["results"].as_array().unwrap().len(), 20);
    assert_eq!(value["results"][0]["name"], "University of California, Los Angeles");
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["html_attributions", "results", "status", "provider"]);
    let desert = Nearby { latitude: 24.0, longitude: 10.0, radius_m: 50_000 };
    assert_eq!(status_of(&places.nearby(&desert).unwrap()), "ZERO_RESULTS");
    places.stop();
}
