//! A server that stops closes a link when its neighbour has acknowledged what it was told, and not before.

use std::net::TcpListener;

use crate::kinds::{Kind, LOOP, TEXTBOOK, THREADS, TUNED, TWO_LOOPS};
use crate::processes::Processes;
use crate::talk::Talk;

#[test]
fn threads() {
    waits_for_the_acknowledgement(THREADS);
}

#[test]
fn tokio() {
    waits_for_the_acknowledgement(TUNED);
}

#[test]
fn textbook_tokio() {
    waits_for_the_acknowledgement(TEXTBOOK);
}

#[test]
fn epoll() {
    waits_for_the_acknowledgement(LOOP);
}

#[test]
fn epoll_on_two_threads() {
    waits_for_the_acknowledgement(TWO_LOOPS);
}

fn waits_for_the_acknowledgement(kind: Kind) {
    let mut herd = Processes::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[kind; 2], &[]);
    // Bolden is this test.
    let listener = TcpListener::bind(herd.peers("Bolden")).unwrap();
    herd.start("Alford");
    let mut link = welcomed(&listener);
    let mut client = herd.client("Alford");
    let last = ["kiwi", "kaka", "kea"].map(|name| client.ask(&format!("IAMAT {name} +34-118 5")));
    for report in last {
        assert_eq!(next_news(&mut link), report);
    }

    herd.ask_to_stop("Alford");
    assert_eq!(client.rest(), b"");
    let beat = link.line();
    assert!(beat.starts_with("BEAT 3 "), "{beat}");
    link.send("ACK 3 3 0\n");
    // A beat that was due anyway may have crossed the acknowledgement.
    let rest = String::from_utf8(link.rest()).unwrap();
    assert!(rest.lines().all(|line| line.starts_with("BEAT 3 ")), "{rest}");
    assert_eq!(herd.ended("Alford"), Some(0));
    assert!(!herd.log("Alford").contains("did not finish"), "{}", herd.log("Alford"));
}

/// The link of Alford, which has been told that nothing of its news is known.
fn welcomed(listener: &TcpListener) -> Talk {
    let mut link = Talk::over(listener.accept().unwrap().0);
    let hello = link.line();
    assert!(hello.starts_with("HELLO 5 Alford Bolden "), "{hello}");
    assert_eq!(link.ask("HELLO 5 Bolden Alford 0000000000000001"), "READY");
    link.send("WELCOME 0\n");
    link
}

/// The next line that is no beat; beats are answered as by a neighbour that lives and has merged nothing.
fn next_news(link: &mut Talk) -> String {
    loop {
        match link.line() {
            beat if beat.starts_with("BEAT ") => drop(link.send("ACK 0 0 0\n")),
            news => return news,
        }
    }
}
