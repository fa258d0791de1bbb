//! Many threads that ask at once, and a stop in the midst of it.

use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::server::{LocalServer, reply};
use super::{AT_LAST, ELSEWHERE, GOOGLE_OK, NEAR, OVERPASS_OK, options, remote, status_of, until};
use crate::config::{Config, Limits};
use crate::places::call_permits::CallPermits;
use crate::places::request::Question;
use crate::places::single_flight::SingleFlight;
use crate::places::{Answer, Options, PlacesError, PlacesProvider, clock, open};
use crate::proto::line::query::NearbyQuery;
use crate::tests::harness::{Talk, TestServer, config, herd};

#[test]
fn equal_questions_at_once_are_one_call() {
    const ASKING: usize = 8;
    let (go, gate) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        let _ = gate.recv_timeout(AT_LAST);
        reply(out, 200, &[], GOOGLE_OK)
    });
    let remote = remote(&options("google", server.url()));
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
fn a_thread_that_waits_for_the_call_of_another_has_its_own_deadline() {
    let (go, gate) = bounded::<()>(0);
    let flights = SingleFlight::default();
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
fn a_call_that_panics_ends_all_waiting() {
    let flights = SingleFlight::default();
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
    let options = Options { calls_max: 1, ..options("google", server.url()) };
    let remote = remote(&options);
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
fn overpass_gets_one_question_at_a_time_and_the_others_wait() {
    let (go, gate) = bounded::<()>(0);
    let server = LocalServer::http(move |_, out| {
        let _ = gate.recv_timeout(AT_LAST);
        reply(out, 200, &[], OVERPASS_OK)
    });
    let remote = remote(&options("overpass", server.url()));
    let near = |number: u32| NearbyQuery { latitude: f64::from(number), radius_m: 1_000, ..NEAR };
    thread::scope(|scope| {
        let remote = &remote;
        let asking: Vec<_> = (0..9).map(|n| scope.spawn(move || remote.nearby(&near(n)))).collect();
        until("one asks and eight wait", || server.seen().len() == 1 && remote.permits().waiting() == 8);
        assert_eq!(remote.nearby(&near(9)), Err(PlacesError::Busy), "the line is full");
        assert_eq!(server.seen().len(), 1);
        drop(go);
        for thread in asking {
            assert!(thread.join().unwrap().is_ok());
        }
    });
    assert_eq!(server.seen().len(), 18, "two circles for each, and all that are near are known by then");
    assert_eq!(server.connections(), 1, "one after the other, over one connection");
}

#[test]
fn a_question_that_waits_too_long_is_not_sent() {
    let server = LocalServer::replying(200, OVERPASS_OK);
    let patient = options("overpass", server.url());
    let remote = remote(&Options { deadline: Duration::from_millis(200), ..patient });
    let permit = remote.permits().acquire_until(clock::now()).unwrap();
    assert_eq!(remote.nearby(&NEAR), Err(PlacesError::Busy));
    assert!(server.seen().is_empty());
    drop(permit);
}

#[test]
fn a_permit_that_does_not_come_in_time_is_an_error() {
    let permits = CallPermits::new(1, 1);
    let permit = permits.acquire_until(clock::now()).unwrap();
    let soon = clock::now() + Duration::from_millis(20);
    assert!(matches!(permits.acquire_until(soon), Err(PlacesError::Busy)));
    drop(permit);
    assert!(permits.acquire_until(clock::now()).is_ok());
}

#[test]
fn stopping_ends_the_call_under_way_and_all_waiting() {
    let (silent_for, silence) = bounded::<()>(0);
    let server = LocalServer::http(move |_, _| {
        let _ = silence.recv_timeout(AT_LAST * 2);
        Ok(false)
    });
    let remote = remote(&options("overpass", server.url()));
    let started = clock::now();
    thread::scope(|scope| {
        let calling = scope.spawn(|| remote.nearby(&NEAR));
        until("a call is under way", || server.seen().len() == 1);
        let same = scope.spawn(|| remote.nearby(&NEAR));
        until("another waits for it", || remote.flights().waiting(Question::from(&NEAR)) == 1);
        let other = scope.spawn(|| remote.nearby(&ELSEWHERE));
        until("a third waits for a permit", || remote.permits().waiting() == 1);
        remote.stop();
        for thread in [calling, same, other] {
            assert_eq!(thread.join().unwrap(), Err(PlacesError::Stopped));
        }
    });
    assert_eq!(remote.nearby(&NEAR), Err(PlacesError::Stopped));
    assert!(started.elapsed() < AT_LAST / 2, "no thread waited for the deadline");
    assert_eq!(server.seen().len(), 1);
    remote.stop();
    drop(silent_for);
}

#[test]
fn stopping_cuts_a_pause_short() {
    let permits = CallPermits::new(1, 1);
    assert_eq!(permits.pause(clock::now() + Duration::from_millis(1)), Ok(()));
    thread::scope(|scope| {
        let pausing = scope.spawn(|| permits.pause(clock::now() + AT_LAST));
        permits.stop();
        assert_eq!(pausing.join().unwrap(), Err(PlacesError::Stopped));
    });
}

#[test]
fn clients_that_come_again_and_again_do_not_exceed_the_budget() {
    const CLIENTS: usize = 40;
    let provider = LocalServer::replying(200, GOOGLE_OK);
    let budget =
        Options { budget_per_minute: Some(9), budget_per_day: Some(7), ..options("google", provider.url()) };
    let server = alone_with(Limits { places_calls_per_address: 1_000, ..Limits::default() }, &budget);
    let statuses = asked_by(&server, CLIENTS);
    assert_eq!(provider.seen().len(), 7);
    assert_eq!(statuses.iter().filter(|status| *status == "OK").count(), 7);
    assert!(statuses.iter().all(|status| status == "OK" || status == "OVER_QUERY_LIMIT"), "{statuses:?}");
}

#[test]
fn clients_of_one_address_share_its_limit() {
    let provider = LocalServer::replying(200, GOOGLE_OK);
    let limits = Limits { places_calls_per_address: 5, ..Limits::default() };
    let server = alone_with(limits, &options("google", provider.url()));
    let statuses = asked_by(&server, 40);
    assert_eq!((provider.seen().len(), statuses.iter().filter(|status| *status == "OK").count()), (5, 5));
    let mut elsewhere = Talk::from("127.0.0.99:0".parse().unwrap(), server.clients);
    assert!(elsewhere.ask("WHATSAT kiwi 10 1").starts_with("AT "));
    assert_eq!(elsewhere.json()["status"], "OK", "another address has its own");
}

#[test]
fn paid_provider_has_a_budget_by_default_and_a_server_of_ones_own_has_none() {
    let provider = LocalServer::http(|_, out| reply(out, 200, &[], GOOGLE_OK));
    let google = remote(&options("google", provider.url()));
    let answers: Vec<_> =
        (1..=61).map(|km| google.nearby(&NearbyQuery { radius_m: km * 1_000, ..NEAR })).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 60);
    assert!(matches!(answers[60], Err(PlacesError::OverBudget(60, "minute", _))), "{:?}", answers[60]);
    let provider = LocalServer::http(|_, out| reply(out, 200, &[], OVERPASS_OK));
    let overpass = remote(&options("overpass", provider.url()));
    assert!((1..=61).all(|km| overpass.nearby(&NearbyQuery { radius_m: km * 1_000, ..NEAR }).is_ok()));
}

/// A server of one's own, with a provider.
fn alone_with(limits: Limits, provider: &Options) -> TestServer {
    let config = Config { limits, ..config(&herd(&["Alford"], &[], true), "Alford") };
    TestServer::with(&config, open(provider).unwrap())
}

/// The statuses of the answers when `clients` clients connect and ask three times each, all at once.
fn asked_by(server: &TestServer, clients: usize) -> Vec<String> {
    server.client().ask("IAMAT kiwi +34.068930-118.445127 1");
    thread::scope(|scope| {
        let ask = |client: usize| {
            let times = 0..3;
            times.map(move |time| {
                let mut talk = server.client();
                // No two questions are the same, so none has the answer of another.
                let place = format!("+{}.{client:03}-118", 10 + time);
                let line = talk.ask(&format!("IAMAT c{client}-{time} {place} 1"));
                assert_eq!(talk.ask(&format!("WHATSAT c{client}-{time} 10 1")), line);
                talk.json()["status"].as_str().unwrap().to_owned()
            })
        };
        let asking: Vec<_> =
            (0..clients).map(|client| scope.spawn(move || ask(client).collect::<Vec<_>>())).collect();
        asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
