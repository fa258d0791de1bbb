//! The scenarios.

use std::io::{Read, Write};
use std::net::Shutdown as Half;
use std::sync::{Arc, Mutex};

use super::Scenario;
use super::group_commit::{commits, commits_in_lanes};
use super::model::{TcpStream, Watched, pass, scope, stop_listening};
use super::neighbour::Neighbour;
use super::stage::{Stage, report};
use crate::member::peer_registry::{PeerRegistry, Registration};
use crate::net::shutdown::OpenStreams;
use crate::net::stream::hang_up as cut;
use crate::os::clock;
use crate::peering::{legacy as legacy_link, link};
use crate::proto::model::epoch::Epoch;
use crate::proto::node::Node;
use crate::proto::peering::link::HEARTBEAT_EVERY;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("changes", changes),
    ("slow", slow),
    ("legacy", legacy),
    ("stop", stop),
    ("unanswered", unanswered),
    ("hang-up", hang_up),
    ("hang-up at rest", hang_up_at_rest),
    ("streams", streams),
    ("peers", peers),
    ("herd", herd),
    ("commits", commits),
    ("commits in lanes", commits_in_lanes),
];

/// What the clients of one connection are called, and those of another.
pub(super) const CLIENTS: [&[&str]; 2] = [&["a", "b"], &["c", "d"]];

/// So long that a connection does not hold the lines of all of them.
const LONG_CLIENTS: [&[&str]; 2] = [
    &[
        "a23456789012345678901234567890123456789012345678901234567890",
        "b23456789012345678901234567890123456789012345678901234567890",
        "c23456789012345678901234567890123456789012345678901234567890",
    ],
    &[
        "d23456789012345678901234567890123456789012345678901234567890",
        "e23456789012345678901234567890123456789012345678901234567890",
        "f23456789012345678901234567890123456789012345678901234567890",
    ],
];

/// A server that the scenario plays, and that knows nothing yet.
fn played(stage: &Stage, name: &str) -> Node {
    Node::new(Arc::new(stage.config(name).identity(Epoch(7))))
}

/// Two conversations apply reports while the link scans and the neighbour acknowledges. No heartbeat wakes the link, so
/// a change that is not sent at once never is.
fn changes(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let alford = &stage.unserved("Alford");
    let (member, neighbour) = (&alford.member, &alford.neighbour(0));
    scope(|scope| {
        scope.spawn(move || link::run(neighbour));
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        for clients in CLIENTS {
            let (client, server) = TcpStream::pair();
            scope.spawn(move || alford.converse(server));
            scope.spawn(move || assert_eq!(report(client, clients), clients));
            // The next look finds that a heartbeat is due.
            pass(HEARTBEAT_EVERY);
        }
        assert!(bolden.listen_until(|bolden| {
            let acknowledged = member.links[0].acknowledged_position();
            let merged = bolden.node.received_up_to(0, member.me.epoch);
            assert!(acknowledged <= merged, "acknowledged up to {acknowledged}, merged up to {merged}");
            bolden.received.len() == 4
        }));
        member.notifiers.stop();
        bolden.listen();
        bolden.received.sort();
        assert_eq!(bolden.received, ["a", "b", "c", "d"]);
    });
    let last = member.read(|node| node.store().last_seq());
    assert_eq!(member.links[0].acknowledged_position(), last);
}

/// Two conversations apply more reports than a connection holds while the neighbour reads nothing. They are
/// acknowledged all the same, and the neighbour is sent all of them when it reads.
fn slow(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let alford = &stage.unserved("Alford");
    let neighbour = &alford.neighbour(0);
    let reported = &Watched::new(0);
    scope(|scope| {
        scope.spawn(move || link::run(neighbour));
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        for clients in LONG_CLIENTS {
            let (client, server) = TcpStream::pair();
            scope.spawn(move || alford.converse(server));
            scope.spawn(move || {
                assert_eq!(report(client, clients), clients);
                reported.change(|reported| *reported += clients.len());
            });
        }
        reported.wait(|&mut reported| (reported == 6).then_some(()));
        assert!(bolden.listen_until(|bolden| bolden.received.len() == 6));
        alford.member.notifiers.stop();
        bolden.listen();
        bolden.received.sort();
        assert_eq!(bolden.received, LONG_CLIENTS.concat());
    });
}

/// Two conversations apply reports while a neighbour of the legacy dialect is sent a connection for each line.
fn legacy(stage: &Stage) {
    let port = &stage.peer_port("Classic");
    let hamilton = &stage.unserved("Hamilton");
    let neighbour = &hamilton.neighbour(1);
    scope(|scope| {
        scope.spawn(move || legacy_link::run(neighbour));
        for clients in CLIENTS {
            let (client, server) = TcpStream::pair();
            scope.spawn(move || hamilton.converse(server));
            scope.spawn(move || assert_eq!(report(client, clients), clients));
        }
        let mut received = Vec::new();
        while received.len() < 4 {
            let mut line = String::new();
            (&port.accept().unwrap().0).read_to_string(&mut line).unwrap();
            received.push(line.split(' ').nth(3).unwrap().to_owned());
        }
        hamilton.member.notifiers.stop();
        received.sort();
        assert_eq!(received, ["a", "b", "c", "d"]);
    });
}

/// A server is stopped while clients report.
fn stop(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let server = stage.server("Alford");
    let (stopper, address) = (server.stopper(), stage.config("Alford").member().client.literal().unwrap());
    let acknowledged = &Mutex::new(Vec::new());
    let mut bolden = scope(|scope| {
        scope.spawn(move || server.run().unwrap());
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        // A stop waits for no link that is not up yet, so what is reported before that may be sent to no neighbour.
        scope.spawn(move || report(TcpStream::connect(address).unwrap(), &["first"]));
        assert!(bolden.listen_until(|bolden| bolden.received == ["first"]));
        for clients in CLIENTS {
            scope.spawn(move || {
                let Ok(socket) = TcpStream::connect(address) else { return };
                let reported = report(socket, clients);
                acknowledged.lock().unwrap().extend(reported);
            });
        }
        scope.spawn(move || stopper.stop());
        bolden.listen();
        bolden
    });
    bolden.received.sort();
    for client in acknowledged.lock().unwrap().iter() {
        assert!(bolden.received.iter().any(|it| it == client), "{client} is lost: {:?}", bolden.received);
    }
    assert!(bolden.received.is_sorted_by(|a, b| a < b), "sent twice: {:?}", bolden.received);
}

/// A server is stopped while it dials a neighbour that never says anything.
fn unanswered(stage: &Stage) {
    let port = &stage.peer_port("Bolden");
    let server = stage.server("Alford");
    let stopper = server.stopper();
    scope(|scope| {
        scope.spawn(move || {
            server.run().unwrap();
            stop_listening(port);
        });
        scope.spawn(move || stopper.stop());
        while let Ok((socket, _)) = port.accept() {
            while matches!((&socket).read(&mut [0; 512]), Ok(1..)) {}
        }
    });
}

/// A neighbour hangs up while clients report, and listens again.
fn hang_up(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let alford = &stage.unserved("Alford");
    let neighbour = &alford.neighbour(0);
    scope(|scope| {
        scope.spawn(move || link::run(neighbour));
        let (client, server) = TcpStream::pair();
        scope.spawn(move || alford.converse(server));
        scope.spawn(move || assert_eq!(report(client, CLIENTS[0]), CLIENTS[0]));
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        let remembered = bolden.hang_up();
        let mut bolden = Neighbour::new(port.accept().unwrap().0, remembered);
        assert!(bolden.listen_until(|bolden| bolden.node.store().len() == 2));
        alford.member.notifiers.stop();
        bolden.listen();
    });
}

/// A neighbour hangs up while nothing is due, so that no change wakes the link, and listens again. So few threads come
/// between each other that nearly every order of their steps is tried.
fn hang_up_at_rest(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let alford = &stage.unserved("Alford");
    let neighbour = &alford.neighbour(0);
    scope(|scope| {
        scope.spawn(move || link::run(neighbour));
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        let remembered = bolden.hang_up();
        let mut bolden = Neighbour::new(port.accept().unwrap().0, remembered);
        bolden.welcome();
        alford.member.notifiers.stop();
        bolden.listen();
    });
}

/// Threads that read, write and pause while the server stops.
fn streams(_: &Stage) {
    let open = &OpenStreams::default();
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let (stream, _other) = TcpStream::pair();
                let stream = Arc::new(stream);
                let _registered = open.register(&stream);
                assert!(matches!((&*stream).read(&mut [0; 1]), Ok(0)), "nothing was written");
            });
        }
        scope.spawn(move || {
            let (stream, _other) = TcpStream::pair();
            let stream = Arc::new(stream);
            let _registered = open.register(&stream);
            (&*stream).write_all(&[0; 1024]).unwrap_err();
        });
        scope.spawn(move || {
            while !open.is_stopping() {
                open.pause(std::time::Duration::MAX);
            }
        });
        open.stop_reading();
        open.cut();
        assert_eq!(open.wait_until_closed(clock::instant()), 0);
    });
}

/// Two conversations of a neighbour begin at once, then a third one.
fn peers(_: &Stage) {
    let peers = &PeerRegistry::new(1);
    let entered = &Watched::new(0);
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let (stream, _other) = TcpStream::pair();
                let stream = Arc::new(stream);
                let _registration = enter(peers, &stream);
                entered.change(|entered| *entered += 1);
                assert!(matches!((&*stream).read(&mut [0; 1]), Ok(0)), "nothing was written");
                assert!(stream.is_cut());
            });
        }
        entered.wait(|&mut entered| (entered == 2).then_some(()));
        let (stream, _other) = TcpStream::pair();
        let stream = Arc::new(stream);
        let registration = enter(peers, &stream);
        assert!(registration.replaced, "the one that stayed is forgotten");
        assert!(!stream.is_cut());
        drop(registration);
        assert!(!enter(peers, &stream).replaced, "the one that is gone is still there");
    });
}

fn enter<'a>(peers: &'a PeerRegistry, stream: &Arc<TcpStream>) -> Registration<'a> {
    let stream = Arc::clone(stream);
    let cut = move || {
        cut(&stream, Half::Both);
        true
    };
    peers.enter(0, None, Box::new(cut))
}

/// Two servers take reports, pass them on to the played third one, and stop at once.
fn herd(stage: &Stage) {
    let port = stage.peer_port("Hamilton");
    let servers = [stage.server("Alford"), stage.server("Bolden")];
    let stoppers = [servers[0].stopper(), servers[1].stopper()];
    scope(|scope| {
        for ((server, name), clients) in servers.into_iter().zip(["Alford", "Bolden"]).zip(CLIENTS) {
            let address = stage.config(name).member().client.literal().unwrap();
            scope.spawn(move || server.run().unwrap());
            scope.spawn(move || {
                let socket = TcpStream::connect(address).unwrap();
                assert_eq!(report(socket, &clients[..1]), &clients[..1]);
            });
        }
        let mut hamilton = Neighbour::new(port.accept().unwrap().0, played(stage, "Hamilton"));
        assert!(hamilton.listen_until(|hamilton| hamilton.received.len() == 2));
        for stopper in stoppers {
            scope.spawn(move || stopper.stop());
        }
        hamilton.listen();
        hamilton.received.sort();
        assert_eq!(hamilton.received, ["a", "c"]);
    });
}
