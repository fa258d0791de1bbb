//! Neighbours that call: a newer connection that has proved itself ends the older, and one of another kind is no
//! neighbour.

use std::net::SocketAddr;

use crate::free_address::free_address;
use crate::kinds::{CURRENT_TWO, Kind, LOOP, NAIVE, SINGLE, TEXTBOOK, THREADS, TUNED, TWO_LOOPS};
use crate::processes::Processes;
use crate::talk::Talk;

/// Bolden's, which is not running.
const HELLO: &str = "HELLO 5 Bolden Alford 0000000000000001";

#[test]
fn threads_know_one_connection_of_a_neighbour() {
    newer_connection_ends_the_older(THREADS);
}

#[test]
fn tokio_knows_one_connection_of_a_neighbour() {
    newer_connection_ends_the_older(TUNED);
    newer_connection_ends_the_older(CURRENT_TWO);
}

#[test]
fn textbook_tokio_knows_one_connection_of_a_neighbour() {
    newer_connection_ends_the_older(TEXTBOOK);
}

#[test]
fn epoll_knows_one_connection_of_a_neighbour() {
    newer_connection_ends_the_older(LOOP);
}

#[test]
fn epoll_on_two_threads_knows_one_connection_of_a_neighbour() {
    newer_connection_ends_the_older(TWO_LOOPS);
}

fn newer_connection_ends_the_older(kind: Kind) {
    let mut herd = Processes::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[kind; 2], &[]);
    herd.start("Alford");
    let address = herd.peers("Alford");
    let mut older = called(address);
    older.send("AT Bolden +0.5 kiwi +34-118 5\n");
    assert!(
        older.ask("BEAT 7 0000000000000000 0 1000000000 0").starts_with("ACK 7 1 "),
        "it knows of the kiwi"
    );

    let mut stranger = Talk::with(address);
    assert!(stranger.ask(HELLO).starts_with("HELLO 5 Alford Bolden "));
    assert!(
        older.ask("BEAT 8 0000000000000000 0 1000000000 0").starts_with("ACK 8 1 "),
        "one that has proved nothing cut it"
    );

    let mut newer = called(address);
    assert_eq!(older.rest(), b"");
    assert!(newer.ask("BEAT 9 0000000000000000 0 1000000000 0").starts_with("ACK 9 1 "));
    assert_eq!(herd.terminate("Alford"), Some(0));
    assert_eq!(herd.counted("Alford", "peers_replaced"), 1);
    assert_eq!(herd.counted("Alford", "peers_timed_out"), 0, "it was not the newer one that ended the older");
}

/// A connection on which Bolden has proved to be here.
fn called(address: SocketAddr) -> Talk {
    let mut talk = Talk::with(address);
    let answer = talk.ask(HELLO);
    assert!(answer.starts_with("HELLO 5 Alford Bolden "), "{answer}");
    let welcome = talk.ask("READY");
    assert!(welcome.starts_with("WELCOME "), "{welcome}");
    talk
}

#[test]
fn a_classic_neighbour_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("herd.toml");
    let [alford, peer, old] = [free_address(), free_address(), free_address()];
    let text = format!(
        "links = [[\"Alford\", \"Old\"]]\n[servers.Alford]\nclient = \"{alford}\"\npeer = \"{peer}\"\n\
         [servers.Old]\nclient = \"{old}\"\nclassic = true\n"
    );
    std::fs::write(&file, text).unwrap();
    for kind in [TUNED, LOOP, SINGLE, NAIVE] {
        for name in ["Alford", "Old"] {
            let output = kind.command(name).arg("--herd").arg(&file).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{kind:?}");
            let errors = String::from_utf8(output.stderr).unwrap();
            assert!(errors.starts_with("Old is marked classic in the herd file, "), "{kind:?}: {errors}");
        }
    }
}
