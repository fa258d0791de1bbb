//! How a test becomes a server's neighbour, with and without a socket, in a herd without a secret.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::time::Moment;
use crate::proto::node::Node;
use crate::proto::peering::grammar::PEER_VERSION;
use crate::proto::peering::noise::EphemeralKey;
use crate::proto::session::{Session, Step};
use crate::tests::harness::Talk;

/// What a test says in place of a random number.
pub(crate) const KEY: EphemeralKey = EphemeralKey([7; 32]);

/// The line with which a caller begins.
pub(crate) fn hello(from: &str, to: &str, epoch: Epoch) -> String {
    format!("HELLO {PEER_VERSION} {from} {to} {:016x}", epoch.0)
}

/// The conversation of a neighbour that has said all it must; and the welcome.
pub(crate) fn met(node: &mut Node, neighbour: usize, epoch: Epoch) -> (Session, String) {
    let me = Arc::clone(node.identity());
    let mut batch = Batch::default();
    let mut session = Session::peer(Arc::clone(&me), KEY);
    let hello = hello(me.neighbours[neighbour].name.as_str(), me.name.as_str(), epoch);
    let step = session.line(Line::Whole(hello.as_bytes()), Moment::default(), &mut batch);
    assert_eq!(step, Step::Next, "{hello} is not understood");
    batch.sent();
    let step = session.line(Line::Whole(b"READY"), Moment::default(), &mut batch);
    assert_eq!(step, Step::Authenticated(neighbour));
    session.authenticate(node, &mut batch);
    (session, String::from_utf8(batch.replies().to_vec()).unwrap())
}

/// A connection to a server's peer port on which a neighbour has said all it must.
pub(crate) fn call(address: SocketAddr, from: &str, to: &str, epoch: Epoch) -> Talk {
    greet(Talk::with(address), from, to, epoch)
}

/// A connection to a peer port on which a neighbour says all it must.
pub(crate) fn greet(mut talk: Talk, from: &str, to: &str, epoch: Epoch) -> Talk {
    let answer = talk.ask(&hello(from, to, epoch));
    assert!(answer.starts_with(&format!("HELLO {PEER_VERSION} {to} {from} ")), "{answer}");
    let welcome = talk.ask("READY");
    assert!(welcome.starts_with("WELCOME "), "{welcome}");
    talk
}
