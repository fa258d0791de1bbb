//! What a line costs the allocator: nothing, but for the record of a new client with a long line.
//!
//! `allocation-counter` puts its own allocator under this test program. It counts for each thread apart, so
//! that other tests do not disturb it.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{
    CLIENT_READ_BYTES, Framing, LINE_BYTES_MAX, PEER_LINE_BYTES_MAX, PEER_READ_BYTES,
};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::NO_WAL;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::peering::link::Link;
use crate::proto::session::{Session, Step};
use crate::tests::peers::{KEY, met};

const CLIENTS: usize = 1_000;
const LINES: usize = 50_000;

/// How often reports and what a neighbour tells take turns.
const TURNS: usize = 500;

/// Two thousand tables that records are in double one by one, and the records and the order of change come by 256.
const ALLOCATIONS_PER_NEW_CLIENT_MAX: f64 = 0.06;

#[test]
fn a_line_of_a_known_client_allocates_nothing() {
    let mut server = Server::new();
    let (mut to_powell, mut sent) = (server.link_to(1), Vec::with_capacity(64 * 1024));
    let reports = stream(|client, time| format!("IAMAT client-{client} +34.068930-118.445127 {time}.5\n"));
    let told = stream(|client, time| format!("AT Parker +0.1 other-{client} +34.068930-118.445127 {time}\n"));
    // Once over everything: every client is known, and every buffer has the size that it needs.
    server.flows(&reports, &told, &mut to_powell, &mut sent);
    let later = |stream: &[u8]| String::from_utf8_lossy(stream).replace(" 17", " 18").into_bytes();
    let (reports, told) = (later(&reports), later(&told));
    let mut news = 0;
    let counted = measure(|| news = server.flows(&reports, &told, &mut to_powell, &mut sent));
    assert_eq!(news, 2 * LINES, "everything was news");
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_line_of_a_new_client_is_allocated_only_if_it_is_long() {
    for (name, allocations) in [("client", 0.0), (&*"client".repeat(20), 1.0)] {
        let mut server = Server::new();
        let lines = |from: usize| -> Vec<u8> {
            let line = |client| format!("IAMAT {name}-{client:06} +34.068930-118.445127 1700000000.5\n");
            (from..from + LINES).map(line).collect::<String>().into_bytes()
        };
        server.clients.run(&mut server.node, &lines(0));
        let new = lines(LINES);
        let mut news = 0;
        let counted = measure(|| news = server.clients.run(&mut server.node, &new));
        assert_eq!(news, LINES);
        let more = counted.count_total as f64 / LINES as f64 - allocations;
        assert!((0.0..=ALLOCATIONS_PER_NEW_CLIENT_MAX).contains(&more), "{counted:?}");
    }
}

#[test]
fn a_refused_line_allocates_nothing() {
    let mut server = Server::new();
    let bad = "IAMAT client +34.068930-118.445127\nWHATSAT client 51 5\n\nhello\n".repeat(1_000);
    server.clients.run(&mut server.node, bad.as_bytes());
    let mut news = 0;
    let counted = measure(|| news = server.clients.run(&mut server.node, bad.as_bytes()));
    assert_eq!(news, 0);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// `LINES` lines, going round all clients, each a second after the one before.
fn stream(line: impl Fn(usize, usize) -> String) -> Vec<u8> {
    (0..LINES).map(|n| line(n * 7 % CLIENTS, 1_700_000_000 + n)).collect::<String>().into_bytes()
}

/// A server, a client's conversation, and that of a neighbour.
struct Server {
    node: Node,
    clients: Conversation,
    peer: Conversation,
}

struct Conversation {
    session: Session,
    framing: Framing,
    batch: Batch,
}

impl Server {
    fn new() -> Server {
        let name = |name| ServerName::parse(name).unwrap();
        let neighbours = vec![Neighbour::herd(name("Parker")), Neighbour::herd(name("Powell"))];
        let me = Arc::new(Identity::new(name("Alford"), neighbours, Epoch(1)));
        let mut node = Node::new(me.clone());
        let conversation = |session, framing| Conversation { session, framing, batch: Batch::default() };
        let clients =
            conversation(Session::client(me.clone()), Framing::new(LINE_BYTES_MAX, CLIENT_READ_BYTES));
        let peer_framing = Framing::new(PEER_LINE_BYTES_MAX, PEER_READ_BYTES).whole_lines_only();
        let peer = conversation(met(&mut node, 0, Epoch(2)).0, peer_framing);
        Server { node, clients, peer }
    }

    fn link_to(&mut self, neighbour: usize) -> Link {
        let me = self.node.identity().clone();
        let name = &me.neighbours[neighbour].name;
        let challenge = format!("HELLO 5 {name} {} 3", me.name);
        let mut link = Link::new(me.clone(), neighbour);
        link.hello(KEY);
        for answer in [challenge.as_str(), "WELCOME 0"] {
            link.answered(&self.node, answer.as_bytes(), Duration::ZERO).unwrap();
        }
        link
    }

    /// Reports and what a neighbour tells take turns, and all of it is passed on; answers how much was news.
    fn flows(&mut self, reports: &[u8], told: &[u8], link: &mut Link, sent: &mut Vec<u8>) -> usize {
        let mut news = 0;
        let turns = |stream: &[u8]| stream.len().div_ceil(TURNS);
        for (reports, told) in reports.chunks(turns(reports)).zip(told.chunks(turns(told))) {
            news += self.clients.run(&mut self.node, reports);
            news += self.peer.run(&mut self.node, told);
            while let Some(due) = link.due(&self.node, NO_WAL, Duration::ZERO, sent) {
                link.written(due, Duration::ZERO);
                sent.clear();
            }
        }
        news
    }
}

impl Conversation {
    /// Reads all bytes, as a connection's thread would; answers how much was news.
    fn run(&mut self, node: &mut Node, mut bytes: &[u8]) -> usize {
        let mut news = 0;
        while !bytes.is_empty() {
            let space = self.framing.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.framing.filled(count);
            bytes = &bytes[count..];
            let received = Moment { seconds: 1_700_000_000, nanos: 0 };
            loop {
                self.session.canonical_lines(&mut self.framing, received, usize::MAX, &mut self.batch);
                let Some(line) = self.framing.next_line() else { break };
                match self.session.line(line, received, &mut self.batch) {
                    Step::Next | Step::Refused(_) => {}
                    step @ (Step::Secured
                    | Step::Ask(_)
                    | Step::Authenticated(_)
                    | Step::Heartbeat(_)
                    | Step::Close(_)) => panic!("{step:?}"),
                }
            }
            news += node.apply(&mut self.batch, None).applied;
            self.batch.sent();
        }
        news
    }
}
