//! Stopping while something is in hand, on real sockets: what was asked is answered, and no client is waited for in
//! vain.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::harness::{TestServer, WAIT, alone, catalogue, herd};
use crate::os::clock;
use crate::places::{Answer, PlacesError, PlacesProvider};
use crate::proto::line::query::NearbyQuery;

#[test]
fn stopping_answers_what_is_in_hand_and_hangs_up_on_the_idle() {
    let server = alone();
    let mut idle = server.client();
    let mut busy = server.client();
    busy.ask("x");
    idle.ask("x");
    server.stop();
    assert_eq!((idle.rest(), busy.rest()), (vec![], vec![]));
}

#[test]
fn a_server_that_stops_takes_no_half_line_for_a_report() {
    let server = alone();
    let mut talk = server.client();
    talk.send("x\nIAMAT kiwi +34-118 1621");
    assert_eq!(talk.line(), "? x");
    server.stop();
    assert_eq!(String::from_utf8(talk.rest()).unwrap(), "");
}

/// A provider that says when it is asked, and does not answer until it is stopped.
struct Slow {
    asked: Sender<()>,
    stopped: (Sender<()>, Receiver<()>),
}

impl PlacesProvider for Slow {
    fn nearby(&self, _: &NearbyQuery) -> Result<Answer, PlacesError> {
        self.asked.send(()).unwrap();
        self.stopped.1.recv_timeout(WAIT).unwrap();
        Err(PlacesError::Stopped)
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn stop(&self) {
        let _ = self.stopped.0.try_send(());
    }
}

#[test]
fn a_question_that_waits_for_its_provider_is_answered_when_the_server_stops() {
    let (asked, question) = bounded(1);
    let slow = Arc::new(Slow { asked, stopped: bounded(1) });
    let server = TestServer::start(&herd(&["Alford"], &[], true), "Alford", slow);
    let mut talk = server.client();
    let line = talk.ask("IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503");
    talk.send("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    question.recv_timeout(WAIT).unwrap();
    server.stop();
    let reply = String::from_utf8(talk.rest()).unwrap();
    let json = reply.strip_prefix(&format!("{line}\n")).unwrap_or_else(|| panic!("no reply: {reply:?}"));
    assert!(json.contains("\"error_message\"") && json.ends_with("}\n\n"), "{reply}");
}

#[test]
fn a_neighbour_that_never_answers_hello_does_not_hold_up_stopping() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let bolden = TcpListener::bind(&pair.member("Bolden").unwrap().peer).unwrap();
    let alford = TestServer::start(&pair, "Alford", catalogue());
    let (mut link, _) = bolden.accept().unwrap();
    link.set_read_timeout(Some(WAIT)).unwrap();
    let mut hello = String::new();
    BufReader::new(&mut link).read_line(&mut hello).unwrap();
    assert!(hello.starts_with("HELLO 5 Alford Bolden "), "{hello}");
    // Waiting for the answer to the hello would take 5 s.
    let deadline = clock::deadline(Duration::from_secs(4));
    alford.stop();
    assert!(clock::deadline(Duration::ZERO) < deadline, "it waited for a neighbour that it owes nothing");
}
