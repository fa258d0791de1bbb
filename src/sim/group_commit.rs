//! Group commit of a simulated server: one commit makes all durable that was recorded before it.
//!
//! It happens a while after the first record that waits for it. Then every reply leaves that has waited, and the
//! senders learn what they may replicate.

use super::event::Event;
use super::timeline::{Timeline, from_ms, from_us};
use crate::member::turn::Lsn;

/// How long what was recorded waits for its commit, and that of a slow server in addition.
const COMMIT_US: std::ops::Range<u64> = 50..20_000;
const SLOW_COMMIT_US: u64 = 100_000;

/// The longest that it takes until what was written is on disk, where a commit does not wait for it.
const FLUSH_MS_MAX: u64 = 50;

/// What one incarnation of a server has recorded.
#[derive(Debug)]
pub(super) struct GroupCommit {
    /// Records that no commit has covered.
    pub pending: Vec<u8>,
    /// The bytes of all records that commits have covered.
    committed_bytes: u64,
    /// The number of the last change that no crash can undo.
    pub durable_seq: u64,
    /// Whether a commit has ever covered a change.
    pub has_committed: bool,
    /// In the order in which they are to leave.
    pub waiting: Vec<Reply>,
    /// Whether the senders are to be woken.
    has_changes: bool,
    is_planned: bool,
    pub is_flush_planned: bool,
}

/// What leaves when all that was merged before it is durable.
#[derive(Debug)]
pub(super) enum Reply {
    /// What clients were promised: lines that a server has from then on, or greater ones.
    Client(Vec<Vec<u8>>),
    /// Bytes to the initiator of a connection, where the conversation goes on after them.
    Peer(usize, Vec<u8>),
}

impl GroupCommit {
    /// For a store whose last change has this number.
    pub(super) fn new(seq: u64) -> GroupCommit {
        GroupCommit {
            pending: Vec::new(),
            committed_bytes: 0,
            durable_seq: seq,
            has_committed: false,
            waiting: Vec::new(),
            has_changes: false,
            is_planned: false,
            is_flush_planned: false,
        }
    }

    /// What must be durable for all that was recorded to be.
    pub(super) fn lsn(&self) -> Lsn {
        Lsn(self.committed_bytes + self.pending.len() as u64)
    }

    /// Whether a commit has covered that.
    pub(super) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn.0 <= self.committed_bytes
    }

    /// Plans the commit of what was recorded, if there is any and none is planned. Senders are woken after it if there
    /// are changes.
    pub(super) fn plan(&mut self, event: Event, has_changes: bool, is_slow: bool, timeline: &mut Timeline) {
        self.has_changes |= has_changes;
        if !self.pending.is_empty() && !self.is_planned {
            self.is_planned = true;
            let slow_us = if is_slow { timeline.rng.u64(..SLOW_COMMIT_US) } else { 0 };
            let wait_us = timeline.rng.u64(COMMIT_US) + slow_us;
            timeline.plan_after(from_us(wait_us), event);
        }
    }

    /// All that was recorded, up to the change of this number, is written. Returns the replies that leave now, and
    /// whether senders are to be woken.
    pub(super) fn committed(&mut self, seq: u64) -> (Vec<Reply>, bool) {
        self.committed_bytes += self.pending.len() as u64;
        self.pending.clear();
        self.has_committed |= seq > self.durable_seq;
        self.durable_seq = seq;
        self.is_planned = false;
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.has_changes))
    }

    /// Plans when that is on disk, unless it is planned.
    pub(super) fn plan_flush(&mut self, event: Event, timeline: &mut Timeline) {
        if !std::mem::replace(&mut self.is_flush_planned, true) {
            let wait_ns = timeline.rng.u64(..from_ms(FLUSH_MS_MAX));
            timeline.plan_after(wait_ns, event);
        }
    }
}
