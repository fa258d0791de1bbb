//! `--explain`: error lines say why, on the client port alone, and are copies of the line without it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::harness::{FailingDisk, Talk, TestServer, catalogue, config, eventually, herd};
use crate::config::{Config, Durability, JournalOptions, Limits};

/// A server that explains, with little of everything, and a disk that may fail.
fn explaining(disk: Arc<FailingDisk>, folder: &tempfile::TempDir) -> TestServer {
    let alone = herd(&["Alford"], &[], true);
    let explaining = Config {
        explains: true,
        clock_lead_max: Some(Duration::from_secs(3600)),
        limits: Limits {
            clients_max: 1,
            line_bytes_max: 256,
            line_time_max: Duration::from_millis(300),
            ..config(&alone, "Alford").limits
        },
        journal: JournalOptions { durability: Durability::Os, dir: folder.path().join("data") },
        ..config(&alone, "Alford")
    };
    TestServer::on(disk, &explaining, catalogue())
}

#[test]
fn every_refused_line_says_why_where_that_is_asked_for() {
    let (disk, folder) = (Arc::new(FailingDisk::default()), tempfile::tempdir().unwrap());
    let server = explaining(Arc::clone(&disk), &folder);
    let mut talk = server.client();
    let cases = [
        ("IAMAT kiwi +91+1 1", "bad location: the latitude is beyond 90 degrees"),
        ("IAMAT  kiwi  +1+1 99999999999", "clock ahead: the time is further in the future than is taken"),
        ("WHATSAT kiwi 10 1", "unknown client: no server has told of it"),
    ];
    for (line, reason) in cases {
        assert_eq!(talk.ask(line), format!("? {line} # {reason}"));
    }
    assert!(talk.ask("IAMAT kiwi +1+1 1").starts_with("AT "));
    assert_eq!(talk.ask("IAMAT  emu  +1+1 1"), "? IAMAT  emu  +1+1 1 # full: no new clients are taken");
    let long = "x".repeat(257);
    let mut other = server.client();
    let told = format!("? {} # line too long: it has at most 256 bytes here", &long[..256]);
    assert_eq!(other.ask(&long), told);
    let mut slow = server.client();
    slow.send("IAMAT");
    assert_eq!(slow.line(), "? IAMAT # too slow: the end of the line did not come in time");
    let posted = server.client().ask("POST / HTTP/1.1");
    assert_eq!(posted, "? POST / HTTP/1.1 # HTTP with a body and TLS are not spoken here");
    // It is not for servers.
    assert_eq!(server.peer().ask("hello"), "? hello");

    disk.fails.store(true, Ordering::Relaxed);
    let told = eventually("it is not durable", || {
        let told = talk.ask("IAMAT kiwi +1+1 2");
        told.starts_with("? ").then_some(told)
    });
    assert!(told.ends_with(": IAMAT kiwi +1+1 2 # not durable now: try again later"), "{told}");
    disk.fails.store(false, Ordering::Relaxed);
}

#[test]
fn copy_of_the_line_is_all_without_it() {
    let server = super::harness::alone();
    let mut talk: Talk = server.client();
    for line in ["IAMAT kiwi +91+1 1", "WHATSAT kiwi 10 1", "hello # world"] {
        assert_eq!(talk.ask(line), format!("? {line}"));
    }
}
