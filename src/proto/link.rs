//! What a sender owes its neighbour: a position in the order of change, and everything after it.
//!
//! In this order, for each connection:
//! 1. Send [`Link::hello`].
//! 2. Give the answer to [`Link::welcomed`]; on an error close, back off and begin again.
//! 3. Send what [`Node::due`] yields, calling [`Link::written`] after each write, until it yields nothing;
//!    again whenever there is news.
//! 4. When the connection ends, [`Link::hung_up`].

use std::sync::Arc;

use super::command::{Greeting, PEER_VERSION, ParseError, welcome};
use super::node::{Identity, Node};
use super::store::Teller;

/// The sending side of one link.
#[derive(Debug)]
pub struct Link {
    me: Arc<Identity>,
    neighbour: usize,
    /// Set while the link is up: as whom the neighbour tells us things, and how far we have told it.
    live: Option<(Teller, u64)>,
}

/// How far the lines reach that were just copied for the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a position moves only after its lines were written"]
pub struct Due {
    pub(super) reached: u64,
}

/// Why an answer to our hello does not open the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WelcomeError {
    /// The neighbour did not welcome us.
    #[error("the answer to HELLO is not a WELCOME: {0}")]
    NotAWelcome(#[from] ParseError),
    /// It speaks another version of the dialect.
    #[error("it speaks another version: run the same release on both servers")]
    Version,
    /// Another server answers at the neighbour's address.
    #[error("another server answers there: compare the addresses in both herd files")]
    WrongServer,
}

impl Link {
    /// The link to the neighbour with this index, not yet up.
    pub fn new(me: Arc<Identity>, neighbour: usize) -> Link {
        Link { me, neighbour, live: None }
    }

    /// The index of the neighbour.
    pub fn neighbour(&self) -> usize {
        self.neighbour
    }

    /// Whether the neighbour has welcomed us.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// The line that opens a connection.
    pub fn hello(&self) -> Vec<u8> {
        let to = self.me.neighbours[self.neighbour].clone();
        let hello = Greeting { version: PEER_VERSION, from: self.me.name.clone(), to, epoch: self.me.epoch };
        let mut line = Vec::new();
        hello.push_to("HELLO", &mut line);
        line
    }

    /// Takes the neighbour's answer to the hello; the link is up if that is a welcome.
    pub fn welcomed(&mut self, node: &mut Node, line: &[u8]) -> Result<(), WelcomeError> {
        let welcome = welcome(line)?;
        if welcome.version != PEER_VERSION {
            return Err(WelcomeError::Version);
        }
        if welcome.from != self.me.neighbours[self.neighbour] || welcome.to != self.me.name {
            return Err(WelcomeError::WrongServer);
        }
        let teller = node.meet(self.neighbour, welcome.epoch);
        self.live = Some((teller, node.start_position()));
        Ok(())
    }

    /// Moves the position: the lines have been written.
    pub fn written(&mut self, due: Due) {
        if let Some((_, position)) = &mut self.live {
            *position = due.reached;
        }
    }

    /// The connection has ended; the next one begins with a hello.
    pub fn hung_up(&mut self) {
        self.live = None;
    }

    /// The position of a link that is up: what the neighbour has been told of.
    pub fn position(&self) -> Option<u64> {
        self.live.map(|(_, position)| position)
    }

    pub(super) fn progress(&self) -> Option<(Teller, u64)> {
        self.live
    }
}
