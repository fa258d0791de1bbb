//! What a lazy link does in place of sending lines: it offers the hashes of what is due, and waits until its reader
//! says that it knows them.
//!
//! Hashes are taken some time before they are offered, because what they stand for is on its way to the reader over
//! other links. They are those of records as they were when they were taken: a client that reports all the time has
//! no older one when they are offered.

use std::time::Duration;

use crate::proto::peering::grammar::push_offer;
use crate::proto::store::Store;
use crate::proto::store::cursor::{Cursor, Scanned};

/// A lazy link offers so often at most. With the age of what it offers, and with the way there and back, a reader whose
/// eager links are gone is sent what it lacks within a tenth of a second.
pub const OFFER_EVERY: Duration = Duration::from_millis(40);

/// Hashes are offered when they were taken so long ago: nearly everything reaches the reader sooner over its eager
/// links.
const AGE_MIN: Duration = Duration::from_millis(30);

/// The offers of one link.
#[derive(Debug, Default)]
pub(super) struct Offers {
    state: State,
    /// When the link is to be looked at again. Until then changes need not wake it.
    next_at: Duration,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// These hashes were taken.
    Taken(Scanned, Vec<u64>),
    /// They were offered, and the reader has not said whether it knows them.
    Offered(Scanned),
}

impl Offers {
    /// Takes the hashes of what is due, unless some were taken already.
    pub(super) fn take(&mut self, cursor: &mut Cursor, store: &Store, durable: u64, now: Duration) {
        while matches!(self.state, State::Idle) && cursor.is_behind(store, durable) {
            let mut hashes = Vec::new();
            let scanned = cursor.hashes(store, durable, &mut hashes);
            if !hashes.is_empty() {
                self.state = State::Taken(scanned, hashes);
                self.next_at = self.next_at.max(now + AGE_MIN);
                return;
            }
            // All of these were overtaken or are the reader's own, or the next one is not durable yet.
            if scanned.position() == cursor.position() {
                return;
            }
            cursor.advance(scanned);
        }
    }

    /// Appends the offer that is due. Returns how many hashes are in it.
    pub(super) fn push_due_to(&mut self, now: Duration, out: &mut Vec<u8>) -> usize {
        if now < self.next_at {
            return 0;
        }
        match std::mem::take(&mut self.state) {
            State::Idle => 0,
            State::Taken(scanned, hashes) => {
                push_offer(scanned.position(), &hashes, out);
                (self.state, self.next_at) = (State::Offered(scanned), now + OFFER_EVERY);
                hashes.len()
            }
            State::Offered(scanned) => {
                (self.state, self.next_at) = (State::Offered(scanned), now + OFFER_EVERY);
                0
            }
        }
    }

    /// The reader says that it knows what was offered up to this position, which the cursor moves to; 0 if it lacks
    /// something, so that it must be offered once more. Returns how many records it knows.
    pub(super) fn known(&mut self, position: u64, cursor: &mut Cursor) -> usize {
        let State::Offered(scanned) = self.state else { return 0 };
        self.state = State::Idle;
        // Lines may have been sent meanwhile.
        if scanned.position() != position || position <= cursor.position() {
            return 0;
        }
        cursor.advance(scanned);
        scanned.lines()
    }

    /// Lines are sent: nothing is offered any more.
    pub(super) fn give_up(&mut self) {
        self.state = State::Idle;
    }

    /// When the link is to be looked at again, unless nothing is due.
    pub(super) fn next_at(&self) -> Option<Duration> {
        (!matches!(self.state, State::Idle)).then_some(self.next_at)
    }
}
