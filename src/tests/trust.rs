//! Who is believed in a herd without a secret, on real sockets: each neighbour in one connection at a time. What a
//! secret adds is in `secrets.rs`.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use super::harness::{Talk, TestServer, WAIT, catalogue, eventually, herd};
use super::peers::{call, hello};
use crate::config::{self, Herd};
use crate::os::clock;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::tests::free_address::free_address;

const NEWS: &str = "AT Bolden +0.5 kiwi +1+1 5";

fn pair() -> Herd {
    herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true)
}

fn knows_kiwi(server: &TestServer) -> bool {
    server.client().ask("WHATSAT kiwi 1 1").starts_with("AT ")
}

#[test]
fn two_servers_with_one_name_do_not_cut_each_other_for_ever() {
    let server = TestServer::start(&pair(), "Alford", catalogue());
    let mut first = call(server.peers, "Bolden", "Alford", Epoch(1));
    let mut second = call(server.peers, "Bolden", "Alford", Epoch(2));
    // As after a restart: the one that is here now is believed.
    assert_eq!(first.rest(), b"");
    let comes_back = || {
        let mut talk = server.peer();
        assert!(talk.ask(&hello("Bolden", "Alford", Epoch(1))).starts_with("HELLO"));
        let answer = talk.ask("READY");
        answer.starts_with("WELCOME").then_some(talk).ok_or(answer)
    };
    let why =
        "? two servers have your name, and the other one is here: stop one, or give it a name of its own";
    assert_eq!(comes_back().map(drop), Err(why.to_owned()));
    assert_eq!(comes_back().map(drop), Err(why.to_owned()));
    assert_eq!(second.ask("x"), "? x");
    assert!(server.member.peers.is_flapping(0));
    assert_eq!(server.member.metrics.peers_flapping.get(), 2);
    // It restarts: that is no third server.
    let mut again = call(server.peers, "Bolden", "Alford", Epoch(2));
    assert_eq!((second.rest(), again.ask("x")), (b"".to_vec(), "? x".to_owned()));
    drop(again);
    eventually("the other may come when it is gone", || comes_back().ok());
}

#[test]
fn two_real_servers_with_one_name_are_told_and_one_of_them_stays() {
    let herd = pair();
    let name = |name| ServerName::parse(name).unwrap();
    let other = config::Member::herd(name("Bolden"), free_address(), free_address());
    let members = vec![herd.member("Alford").unwrap().clone(), other];
    let other = Herd::new(members, vec![(name("Alford"), name("Bolden"))], true).unwrap();
    let alford = TestServer::start(&herd, "Alford", catalogue());
    let first = TestServer::start(&herd, "Bolden", catalogue());
    first.client().ask("IAMAT kiwi +1+1 5");
    eventually("the first is here", || knows_kiwi(&alford).then_some(()));
    let _second = TestServer::start(&other, "Bolden", catalogue());
    let metrics = &alford.member.metrics;
    eventually("both try again and again", || (metrics.peers_flapping.get() > 3).then_some(()));
    assert_eq!(metrics.peers_replaced.get(), 1);
}

#[test]
fn a_newer_connection_of_a_neighbour_replaces_the_older() {
    let server = TestServer::start(&pair(), "Alford", catalogue());
    let mut older = call(server.peers, "Bolden", "Alford", Epoch(1));
    older.send("AT Bolden +0.5 first +1+1 5\nUPTO 7\n");
    eventually("it is merged", || {
        server.client().ask("WHATSAT first 1 1").starts_with("AT ").then_some(()) //
    });
    let mut newer = server.peer();
    newer.ask(&hello("Bolden", "Alford", Epoch(1)));
    assert_eq!(newer.ask("READY"), "WELCOME 7", "it goes on where the older has stopped");
    assert_eq!(older.rest(), b"");
    newer.send(format!("{NEWS}\n"));
    eventually("the newer is believed", || knows_kiwi(&server).then_some(()));
    // A stranger that has proved nothing replaces no connection.
    let mut stranger = server.peer();
    stranger.ask(&hello("Bolden", "Alford", Epoch(1)));
    assert_eq!(newer.ask("x"), "? x");
}

#[test]
fn a_beat_is_answered_with_what_has_been_merged() {
    let server = TestServer::start(&pair(), "Alford", catalogue());
    let mut bolden = call(server.peers, "Bolden", "Alford", Epoch(1));
    let ack = bolden.send(format!("{NEWS}\nBEAT 9 0000000000000000 0 1000000000 0\n")).line();
    let fields: Vec<&str> = ack.split(' ').collect();
    assert_eq!((fields.len(), &fields[..4]), (5, &["ACK", "9", "1", "0"][..]), "{ack}");
    assert_eq!(fields[4].len(), 256 * 16);
    // Another memory has told nothing yet.
    let mut reborn = server.peer();
    reborn.ask(&hello("Bolden", "Alford", Epoch(2)));
    assert_eq!(reborn.ask("READY"), "WELCOME 0");
}

#[test]
fn silence_ends_a_link_and_a_neighbours_conversation() {
    let herd = pair();
    let bolden = TcpListener::bind(&herd.member("Bolden").unwrap().peer).unwrap();
    let server = TestServer::start(&herd, "Alford", catalogue());
    let mut conversation = call(server.peers, "Bolden", "Alford", Epoch(1));
    let mut link = Talk::of(bolden.accept().unwrap().0);
    assert!(link.line().starts_with("HELLO 5 "));
    link.ask("HELLO 5 Bolden Alford 0000000000000001");
    link.send("WELCOME 0\n");
    // Neither says a word from here on, and no packet ends the connections.
    let beats = String::from_utf8(link.rest()).unwrap();
    assert!(beats.lines().count() >= 2 && beats.lines().all(|line| line.starts_with("BEAT 0 ")), "{beats:?}");
    assert_eq!(conversation.rest(), b"");
    // And the neighbour is dialled again.
    bolden.set_nonblocking(true).unwrap();
    eventually("it is dialled again", || match bolden.accept() {
        Ok(_) => Some(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error} within {WAIT:?}"),
    });
}

#[test]
fn a_neighbour_that_answers_rubbish_is_left_and_dialled_less_and_less() {
    let herd = pair();
    let bolden = TcpListener::bind(&herd.member("Bolden").unwrap().peer).unwrap();
    let server = TestServer::start(&herd, "Alford", catalogue());
    let begun = clock::instant();
    for _ in 0..7 {
        let mut link = Talk::of(bolden.accept().unwrap().0);
        assert!(link.line().starts_with("HELLO 5 "));
        link.ask("HELLO 5 Bolden Alford 0000000000000001");
        link.send("WELCOME 0\nHTTP/1.1 400 Bad Request\n");
        // It may have sent a heartbeat before.
        let rest = String::from_utf8(link.rest()).unwrap();
        assert!(rest.lines().all(|line| line.starts_with("BEAT ")), "{rest}");
    }
    // Half of what the back-off grows to: 25, 50, 100, 200, 400 and 800 ms.
    assert!(clock::instant().duration_since(begun) >= Duration::from_millis(780));
    eventually("each is counted", || (server.member.metrics.links_garbled.get() == 7).then_some(()));
}

#[test]
fn a_bucket_that_stays_different_for_two_beats_is_told_again() {
    let herd = pair();
    let bolden = TcpListener::bind(&herd.member("Bolden").unwrap().peer).unwrap();
    let server = TestServer::start(&herd, "Alford", catalogue());
    let kiwi = server.client().ask("IAMAT kiwi +1+1 5");
    let mut link = Talk::of(bolden.accept().unwrap().0);
    link.line();
    link.ask("HELLO 5 Bolden Alford 0000000000000001");
    assert_eq!(link.ask("WELCOME 0"), kiwi);
    // It has merged all and has nothing to tell, and yet its digest is that of a server that knows no client.
    let nothing = "0".repeat(256 * 16);
    for _ in 0..2 {
        let beat = link.line();
        assert!(beat.starts_with("BEAT 1 "), "{beat}");
        link.send(format!("ACK 1 0 0 {nothing}\n"));
    }
    assert_eq!(link.line(), kiwi, "it is told again");
    // One whose fingerprint is ours says so by leaving it out.
    let beat = link.line();
    assert!(beat.starts_with("BEAT 1 "), "{beat}");
}
