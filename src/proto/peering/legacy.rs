//! The sending side of a link to a neighbour of the legacy dialect: an implementation of the original protocol.
//!
//! Such a neighbour is sent every change in a connection of its own, in one `AT` line that ends in CRLF, and never
//! answers. So nothing is known of what it has received or forgotten: the cursor moves when a line has left.

use std::sync::Arc;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::stored_line::at_part;
use crate::proto::node::{Identity, Node};
use crate::proto::store::cursor::{Cursor, Scanned};
use crate::proto::store::update::{Source, trimmed};

/// The sending side of a link to a legacy neighbour.
#[derive(Debug)]
pub struct LegacyLink {
    me: Arc<Identity>,
    neighbour: usize,
    cursor: Cursor,
}

impl LegacyLink {
    /// The link to the neighbour with this index. Everything is due to it.
    pub fn new(me: Arc<Identity>, neighbour: usize) -> LegacyLink {
        let cursor = Cursor::new(0, Source::neighbour(neighbour, Epoch::LEGACY));
        LegacyLink { me, neighbour, cursor }
    }

    /// The index of the neighbour.
    pub fn neighbour(&self) -> usize {
        self.neighbour
    }

    /// The sequence number up to which the neighbour has been sent our changes.
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Appends the next message, for a connection of its own, or nothing if changes need not be sent; `None` when
    /// nothing is due. As for other links, `durable` is the sequence number of the last change that a crash could not
    /// undo.
    pub fn due(&self, node: &Node, durable: u64, out: &mut Vec<u8>) -> Option<Scanned> {
        if !self.cursor.is_behind(node.store(), durable) {
            return None;
        }
        let scanned = self.cursor.scan(node.store(), durable, 1, |_, stored| {
            // It knows no eras, and cannot be told that a client was forgotten.
            let Some(line) = at_part(stored) else { return };
            // Some implementations read lines up to CRLF only; the others take CR for white space.
            out.extend_from_slice(trimmed(line));
            out.extend_from_slice(b"\r\n");
        });
        Some(scanned)
    }

    /// Moves the cursor: the message has left.
    pub fn written(&mut self, due: Scanned) {
        self.cursor.advance(due);
    }

    /// Learns that the neighbour cannot be reached. In a herd where no neighbour is sent what it missed, everything
    /// that is due now is forgotten.
    pub fn unreachable(&mut self, node: &Node) {
        if !self.me.catch_up {
            self.cursor.skip_to(node.store().last_seq());
        }
    }
}
