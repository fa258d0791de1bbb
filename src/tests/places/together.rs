//! Many threads that ask at once, and a stop in the midst of it.

use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::server::{LocalServer, reply};
use super::{AT_LAST, ELSEWHERE, GOOGLE_OK, NEAR, OVERPASS_OK, options, remote, status_of, until};
use crate::places::call_permits::CallPermits;
use crate::places::request::Question;
use crate::places::single_flight::SingleFlight;
use crate::places::{Answer, Options, PlacesError, PlacesProvider, clock};
use crate::proto::line::query::NearbyQuery;

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
    let near = |number: u32| NearbyQuery { radius_m: 1_000 + number, ..NEAR };
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
    assert_eq!(server.seen().len(), 9);
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
