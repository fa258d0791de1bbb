//! What is owed to a neighbour of the classic dialect: an implementation of the original protocol.
//!
//! It is told every change in a connection of its own, in one `AT` line that ends in CRLF, and never answers. So
//! nothing is known of what it has forgotten or taken: a position moves when a line has left.

use std::sync::Arc;

use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, Node};
use crate::proto::store::update::Source;

/// The sending side of a link to a classic neighbour.
#[derive(Debug)]
pub struct LegacyLink {
    me: Arc<Identity>,
    neighbour: usize,
    position: u64,
}

/// The next message for a classic neighbour, as far as one was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a position moves only after its line was written"]
pub struct LegacyDue {
    reached: u64,
}

impl LegacyLink {
    /// The link to the neighbour with this index. It is owed everything.
    pub fn new(me: Arc<Identity>, neighbour: usize) -> LegacyLink {
        LegacyLink { me, neighbour, position: 0 }
    }

    /// The index of the neighbour.
    pub fn neighbour(&self) -> usize {
        self.neighbour
    }

    /// What the neighbour has been told of.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Appends the next message, for a connection of its own, or nothing if changes need not be told; `None` when
    /// nothing is owed.
    /// As for other links, `kept` is the number of the last change that a crash could not undo.
    pub fn due(&self, node: &Node, kept: u64, out: &mut Vec<u8>) -> Option<LegacyDue> {
        if self.position >= node.store().last_seq().min(kept) {
            return None;
        }
        let teller = Source::neighbour(self.neighbour, Epoch::CLASSIC);
        let walked = node.store().scan_after(self.position, kept, teller, 1, out);
        if walked.lines > 0 {
            // Some read lines up to CRLF only; the others take CR for white space.
            out.insert(out.len() - 1, b'\r');
        }
        Some(LegacyDue { reached: walked.reached })
    }

    /// The message has left.
    pub fn written(&mut self, due: LegacyDue) {
        self.position = due.reached;
    }

    /// The neighbour cannot be reached. Where nobody is told what it missed, all that is due now is forgotten.
    pub fn unreachable(&mut self, node: &Node) {
        if !self.me.catch_up {
            self.position = node.store().last_seq();
        }
    }
}
