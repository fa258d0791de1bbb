//! One conversation, on the client port or on the peer port, as a driver sees it.
//!
//! A driver calls [`Session::canonical_lines`], [`Session::skip_telnet`], then [`Session::line`] for the next line of
//! its framing, does what the step says, and so on:
//! 1. [`Step::Next`] and [`Step::Refused`]: nothing more.
//! 2. [`Step::Ask`]: apply the batch, make a [`crate::proto::line::query::Query`] of the store, ask the provider with
//!    no lock held, and let [`crate::proto::line::query::Query::finish`] append the reply; [`Batch::refuse`] the line
//!    if the store does not know the client.
//! 3. [`Step::Secured`]: send the replies, and read and write frames from then on.
//! 4. [`Step::Authenticated`]: call [`Session::authenticate`] under the write lock, end the older conversation of that
//!    neighbour if there is one, and wake the link to it.
//! 5. [`Step::Heartbeat`]: apply the batch, and call [`Session::heartbeat`] under the read lock.
//! 6. [`Step::Close`]: apply the batch, send the replies, close the connection.
//!
//! Before a turn the driver tells the batch whether original lines must be retained ([`Batch::retain_originals`]).
//! When no complete line is left it applies the batch under the write lock, sends the replies, and wakes
//! every link if an update was applied. A neighbour that has been silent for
//! [`crate::proto::peering::link::PEER_TIMEOUT`] is gone.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::line::query::WhatsAt;
use crate::proto::line::reason::Reason;
use crate::proto::line::telnet::NO_TIMING_MARK;
use crate::proto::line::{session, turn};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::Heartbeat;
use crate::proto::peering::noise::{self, EphemeralKey};
use crate::proto::peering::session as peer;

/// One conversation.
#[derive(Debug)]
pub struct Session(Port);

#[derive(Debug)]
enum Port {
    Client(session::Session),
    Peer(peer::Session),
}

/// What the driver must do about a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// Go on.
    Next,
    /// Go on; the error line is in the batch, and this is why.
    Refused(Refusal),
    /// A question that needs the store and a provider.
    Ask(WhatsAt<'a>),
    /// Send the replies; all that comes after them, in both directions, is in `Session::take_frames`.
    Secured,
    /// A neighbour, by its index, has shown that it is here.
    Authenticated(usize),
    /// A neighbour's sign of life, which wants to be answered.
    Heartbeat(Heartbeat),
    /// Send the replies and close; this is why.
    Close(Refusal),
}

/// Why a line got an error line. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is longer than allowed.
    #[error("the line is too long")]
    TooLong,
    /// A line on the client port.
    #[error("{0}")]
    Client(Reason),
    /// A line on the peer port.
    #[error(transparent)]
    Peer(#[from] peer::Refusal),
}

impl Session {
    /// A conversation on the client port.
    pub fn client(me: Arc<Identity>) -> Session {
        Session::legacy(me, Vec::new())
    }

    /// A conversation on the client port, from the address of these neighbours, by their indices: they speak the legacy
    /// dialect, and their `AT` lines are believed here. Clients may be at that address too.
    pub fn legacy(me: Arc<Identity>, neighbours: Vec<usize>) -> Session {
        Session(Port::Client(session::Session::new(me, neighbours)))
    }

    /// A conversation on the peer port. The key must be unpredictable.
    pub fn peer(me: Arc<Identity>, key: EphemeralKey) -> Session {
        Session(Port::Peer(peer::Session::new(me, key)))
    }

    /// Whether a message of a handshake comes next, for which [`Framing::expect_message`] must be called.
    pub fn expects_message(&self) -> bool {
        match &self.0 {
            Port::Client(_) => false,
            Port::Peer(session) => session.expects_message(),
        }
    }

    /// What encrypts all that comes after [`Step::Secured`].
    pub fn take_frames(&mut self) -> Option<Box<Frames>> {
        match &mut self.0 {
            Port::Client(_) => None,
            Port::Peer(session) => session.take_frames(),
        }
    }

    /// Takes canonical lines that came in at `received` from the front of what has been read, until a line has another
    /// form; returns how many. All replies have no more than `replies_bytes_max` bytes then. It comes to what
    /// [`Framing::next_line`] and [`Session::line`] for each come to, which take every line, but costs a third.
    pub fn canonical_lines(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        match &mut self.0 {
            Port::Client(session) => session.canonical_lines(framing, received, replies_bytes_max, batch),
            Port::Peer(session) => session.canonical_lines(framing, batch),
        }
    }

    /// Drops a client's telnet sequences from the front of what has been read, where a line begins, and answers those
    /// that want to be. Called before each line.
    #[inline]
    pub fn skip_telnet(&self, framing: &mut Framing, batch: &mut Batch) {
        if let Port::Client(_) = self.0 {
            for _ in 0..framing.skip_telnet() {
                batch.reply().extend_from_slice(&NO_TIMING_MARK);
            }
        }
    }

    /// Takes one line that came in at `received`: its replies and updates go into the batch.
    pub fn line<'a>(&mut self, line: Line<'a>, received: Moment, batch: &mut Batch) -> Step<'a> {
        let text = match line {
            Line::Whole(text) => text,
            Line::TooLong(cut) => {
                match self.0 {
                    Port::Client(_) => batch.refuse_because(cut, Reason::LineTooLong(cut.len())),
                    Port::Peer(_) => batch.refuse(cut),
                }
                return Step::Close(Refusal::TooLong);
            }
        };
        let step = match &mut self.0 {
            Port::Client(session) => {
                session.line(text, received, batch).map(Step::from).map_err(Refusal::Client)
            }
            Port::Peer(session) => session.line(text, batch).map(Step::from).map_err(Refusal::from),
        };
        step.unwrap_or_else(|refusal| {
            match refusal {
                Refusal::Client(reason) => batch.refuse_because(text, reason),
                // Not a copy: the message is no text.
                Refusal::Peer(peer::Refusal::Differs) => {
                    batch.reply().extend_from_slice(format!("? {}\n", noise::Differs).as_bytes());
                }
                Refusal::TooLong | Refusal::Peer(_) => batch.refuse(text),
            }
            if self.ends(refusal) { Step::Close(refusal) } else { Step::Refused(refusal) }
        })
    }

    /// Refuses what has come of a line whose end has not, if that end need not be waited for: a client's TLS hello has
    /// none. The connection is of no use after it.
    pub fn unfinished_line(&mut self, unread: &[u8], batch: &mut Batch) -> Option<Refusal> {
        match &self.0 {
            Port::Client(session) if session.is_tls_hello(unread) => {
                batch.refuse_because(unread, Reason::OtherProtocol);
                Some(Refusal::Client(Reason::OtherProtocol))
            }
            Port::Client(_) | Port::Peer(_) => None,
        }
    }

    /// Whether the connection is of no use after a refusal. Before it has proved who it is, one wrong line of a
    /// neighbour is enough: the lines of an HTTP request would be read one after the other.
    fn ends(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::TooLong => true,
            Refusal::Client(refusal) => refusal == Reason::OtherProtocol,
            Refusal::Peer(_) => !self.is_peer(),
        }
    }

    /// Whether the other side has proved to be a neighbour.
    pub fn is_peer(&self) -> bool {
        match &self.0 {
            Port::Client(_) => false,
            Port::Peer(session) => session.is_authenticated(),
        }
    }

    /// The epoch of the server that has said hello, on the peer port.
    pub fn peer_epoch(&self) -> Option<Epoch> {
        match &self.0 {
            Port::Client(_) => None,
            Port::Peer(session) => session.epoch(),
        }
    }

    /// Makes this the conversation of a neighbour that has proved it, and welcomes it.
    pub fn authenticate(&mut self, node: &mut Node, batch: &mut Batch) {
        if let Port::Peer(session) = &mut self.0 {
            session.authenticate(node, batch);
        }
    }

    /// Answers a heartbeat; every line before it has been applied. If these are not durable, the neighbour is
    /// acknowledged no more than before: it must keep them all the longer.
    pub fn heartbeat(&mut self, node: &Node, heartbeat: &Heartbeat, is_durable: bool, batch: &mut Batch) {
        if let Port::Peer(session) = &mut self.0 {
            session.heartbeat(node, heartbeat, is_durable, batch);
        }
    }
}

impl<'a> From<turn::Step<'a>> for Step<'a> {
    fn from(step: turn::Step<'a>) -> Step<'a> {
        match step {
            turn::Step::Next => Step::Next,
            turn::Step::Ask(ask) => Step::Ask(ask),
        }
    }
}

impl From<peer::Step> for Step<'_> {
    fn from(step: peer::Step) -> Self {
        match step {
            peer::Step::Next => Step::Next,
            peer::Step::Secured => Step::Secured,
            peer::Step::Authenticated(neighbour) => Step::Authenticated(neighbour),
            peer::Step::Heartbeat(heartbeat) => Step::Heartbeat(heartbeat),
        }
    }
}
