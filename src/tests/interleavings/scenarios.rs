//! The scenarios.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use super::Scenario;
use super::committing::commits;
use super::model::{TcpStream, Watched, pass, scope, stop_listening};
use super::neighbour::Neighbour;
use super::stage::{Stage, converse, report};
use crate::proto::model::epoch::Epoch;
use crate::proto::node::Node;
use crate::proto::peering::link::HEARTBEAT_EVERY;
use crate::server::Server;
use crate::server::callers::Callers;
use crate::server::classic::ClassicSender;
use crate::os::clock;
use crate::server::link::Sender;
use crate::server::shutdown::Sockets;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("news", news),
    ("classic", classic),
    ("stop", stop),
    ("silent", silent),
    ("hang-up", hang_up),
    ("sockets", sockets),
    ("callers", callers),
    ("herd", herd),
    ("commits", commits),
];

/// What the clients of one connection are called, and those of another.
pub(super) const CLIENTS: [&[&str]; 2] = [&["a", "b"], &["c", "d"]];

/// A server that remembers nothing yet and that the scenario plays.
fn played(stage: &Stage, name: &str) -> Node {
    Node::new(Arc::new(stage.config(name).identity(Epoch(7))))
}

/// Two conversations settle while the link walks and the neighbour acknowledges. No beat wakes the link, so what is
/// not told at once never is.
fn news(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let Server { shared, neighbours, .. } = stage.server("Alford");
    let shared = &shared;
    scope(|scope| {
        let (address, errands) = neighbours.into_iter().next().unwrap();
        scope.spawn(move || Sender::new(shared, 0, address, errands).run());
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        for clients in CLIENTS {
            let (client, server) = TcpStream::pair();
            scope.spawn(move || converse(shared, server));
            scope.spawn(move || assert_eq!(report(client, clients), clients));
            // The next look finds that a beat is due.
            pass(HEARTBEAT_EVERY);
        }
        assert!(bolden.listen_until(|bolden| {
            let acknowledged = shared.links[0].acknowledged_position();
            let merged = bolden.node.received_up_to(0, shared.me.epoch);
            assert!(acknowledged <= merged, "acknowledged up to {acknowledged}, merged up to {merged}");
            bolden.told.len() == 4
        }));
        shared.bells[0].stop();
        bolden.listen();
        bolden.told.sort();
        assert_eq!(bolden.told, ["a", "b", "c", "d"]);
    });
    let last = shared.node.read().store().last_seq();
    assert_eq!(shared.links[0].acknowledged_position(), last);
}

/// Two conversations settle while a neighbour of the classic dialect is told in a connection for each line.
fn classic(stage: &Stage) {
    let port = &stage.peer_port("Classic");
    let Server { shared, neighbours, .. } = stage.server("Hamilton");
    let shared = &shared;
    scope(|scope| {
        let (address, errands) = neighbours.into_iter().nth(1).unwrap();
        scope.spawn(move || ClassicSender::new(shared, 1, address, errands).run());
        for clients in CLIENTS {
            let (client, server) = TcpStream::pair();
            scope.spawn(move || converse(shared, server));
            scope.spawn(move || assert_eq!(report(client, clients), clients));
        }
        let mut told = Vec::new();
        while told.len() < 4 {
            let mut line = String::new();
            (&port.accept().unwrap().0).read_to_string(&mut line).unwrap();
            told.push(line.split(' ').nth(3).unwrap().to_owned());
        }
        shared.bells[1].stop();
        told.sort();
        assert_eq!(told, ["a", "b", "c", "d"]);
    });
}

/// A server is stopped while clients report.
fn stop(stage: &Stage) {
    let port = stage.peer_port("Bolden");
    let server = stage.server("Alford");
    let (stopper, address) = (server.stopper(), server.clients.local_addr().unwrap());
    let acknowledged = &Mutex::new(Vec::new());
    let mut bolden = scope(|scope| {
        scope.spawn(move || server.run().unwrap());
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        // What is reported before the link is up is owed to nobody when the server stops.
        scope.spawn(move || report(TcpStream::connect(address).unwrap(), &["first"]));
        assert!(bolden.listen_until(|bolden| bolden.told == ["first"]));
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
    bolden.told.sort();
    for client in acknowledged.lock().unwrap().iter() {
        assert!(bolden.told.iter().any(|told| told == client), "{client} is lost: {:?}", bolden.told);
    }
    assert!(bolden.told.is_sorted_by(|a, b| a < b), "told twice: {:?}", bolden.told);
}

/// A server is stopped while it dials a neighbour that never says anything.
fn silent(stage: &Stage) {
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
    let Server { shared, neighbours, .. } = stage.server("Alford");
    let shared = &shared;
    scope(|scope| {
        let (address, errands) = neighbours.into_iter().next().unwrap();
        scope.spawn(move || Sender::new(shared, 0, address, errands).run());
        let (client, server) = TcpStream::pair();
        scope.spawn(move || converse(shared, server));
        scope.spawn(move || assert_eq!(report(client, CLIENTS[0]), CLIENTS[0]));
        let mut bolden = Neighbour::new(port.accept().unwrap().0, played(stage, "Bolden"));
        bolden.welcome();
        let remembered = bolden.hang_up();
        let mut bolden = Neighbour::new(port.accept().unwrap().0, remembered);
        assert!(bolden.listen_until(|bolden| bolden.node.store().len() == 2));
        shared.bells[0].stop();
        bolden.listen();
    });
}

/// Threads that read, write and pause while the server stops.
fn sockets(_: &Stage) {
    let sockets = &Sockets::default();
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let (socket, _other) = TcpStream::pair();
                let socket = Arc::new(socket);
                let _registered = sockets.register(&socket);
                assert!(matches!((&*socket).read(&mut [0; 1]), Ok(0)), "nobody has written");
            });
        }
        scope.spawn(move || {
            let (socket, _other) = TcpStream::pair();
            let socket = Arc::new(socket);
            let _registered = sockets.register(&socket);
            (&*socket).write_all(&[0; 1024]).unwrap_err();
        });
        scope.spawn(move || {
            while !sockets.is_stopping() {
                sockets.pause(std::time::Duration::MAX);
            }
        });
        sockets.stop_reading();
        sockets.cut();
        assert_eq!(sockets.wait_until_closed(clock::instant()), 0);
    });
}

/// Two connections of a neighbour come at once, then a third one.
fn callers(_: &Stage) {
    let callers = &Callers::new(1);
    let came = &Watched::new(0);
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let (socket, _other) = TcpStream::pair();
                let socket = Arc::new(socket);
                callers.come(0, &socket);
                came.change(|came| *came += 1);
                assert!(matches!((&*socket).read(&mut [0; 1]), Ok(0)), "nobody has written");
                assert!(socket.is_cut());
                callers.gone(0, &socket);
            });
        }
        came.wait(|&mut came| (came == 2).then_some(()));
        let (socket, _other) = TcpStream::pair();
        let socket = Arc::new(socket);
        assert!(callers.come(0, &socket), "the one that stayed is forgotten");
        assert!(!socket.is_cut());
        callers.gone(0, &socket);
        assert!(!callers.come(0, &socket), "the one that is gone is still there");
    });
}

/// Two servers take reports, pass them on to the played third one, and stop at once.
fn herd(stage: &Stage) {
    let port = stage.peer_port("Hamilton");
    let servers = [stage.server("Alford"), stage.server("Bolden")];
    let stoppers = [servers[0].stopper(), servers[1].stopper()];
    scope(|scope| {
        for (server, clients) in servers.into_iter().zip(CLIENTS) {
            let address = server.clients.local_addr().unwrap();
            scope.spawn(move || server.run().unwrap());
            scope.spawn(move || {
                let socket = TcpStream::connect(address).unwrap();
                assert_eq!(report(socket, &clients[..1]), &clients[..1]);
            });
        }
        let mut hamilton = Neighbour::new(port.accept().unwrap().0, played(stage, "Hamilton"));
        assert!(hamilton.listen_until(|hamilton| hamilton.told.len() == 2));
        for stopper in stoppers {
            scope.spawn(move || stopper.stop());
        }
        hamilton.listen();
        hamilton.told.sort();
        assert_eq!(hamilton.told, ["a", "c"]);
    });
}
