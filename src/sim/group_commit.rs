//! Commits of a simulated server: what was recorded is written a while later, and durable then.
//!
//! Where a commit is on disk before it counts, one makes all durable that was recorded before it. Where it need not be,
//! each turn records in one of a few lanes, and these are written in any order. Then every reply leaves that has waited
//! for them, and the senders learn what they may replicate.

use super::event::Event;
use super::timeline::{Timeline, from_ms, from_us};
use crate::member::turn::Lsn;

/// How long what was recorded waits for its commit, and that of a slow server in addition.
const COMMIT_US: std::ops::Range<u64> = 50..20_000;
const SLOW_COMMIT_US: u64 = 100_000;

/// The longest that it takes until what was written is on disk, where a commit does not wait for it.
const FLUSH_MS_MAX: u64 = 50;

/// The lanes of a server whose commits need not be on disk.
const LANES: usize = 3;

/// What one incarnation of a server has recorded.
#[derive(Debug)]
pub(super) struct GroupCommit {
    lanes: Vec<Lane>,
    /// How many turns have begun: each has the next lane.
    turns: usize,
    /// How many batches have been recorded.
    batches: u64,
    /// The number of the last change that was recorded.
    recorded_seq: u64,
    /// The number of the last change that no crash can undo.
    pub durable_seq: u64,
    /// Whether a commit has ever covered a change.
    pub has_committed: bool,
    /// In the order in which they are to leave.
    waiting: Vec<(Lsn, Reply)>,
    /// Positions of neighbours as records, and the last batch that they cover, until that is on disk.
    positions: Option<(Vec<u8>, u64)>,
    /// The last ones that were recorded.
    last_positions: Vec<u8>,
    pub is_flush_planned: bool,
}

/// What is recorded in one lane and not written.
#[derive(Debug)]
struct Lane {
    records: Vec<u8>,
    /// A number that no change in it is less than.
    first_seq: u64,
    /// The batches that it is of.
    batches: Vec<u64>,
    is_planned: bool,
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
    pub(super) fn new(seq: u64, is_synced: bool) -> GroupCommit {
        let lanes = if is_synced { 1 } else { LANES };
        GroupCommit {
            lanes: (0..lanes).map(|_| Lane::new()).collect(),
            turns: 0,
            batches: 0,
            recorded_seq: seq,
            durable_seq: seq,
            has_committed: false,
            waiting: Vec::new(),
            positions: None,
            last_positions: Vec::new(),
            is_flush_planned: false,
        }
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane of a turn that begins.
    pub(super) fn next_lane(&mut self) -> usize {
        self.turns += 1;
        self.turns % self.lanes.len()
    }

    /// What is recorded in a lane and not written.
    pub(super) fn pending(&self, lane: usize) -> &[u8] {
        &self.lanes[lane].records
    }

    /// Records what `apply` appends, which has changes from `first_seq` on. Returns what must be durable for it to be:
    /// all that was recorded before too, if `needs_all` says so.
    pub(super) fn record<T>(
        &mut self,
        lane: usize,
        first_seq: u64,
        apply: impl FnOnce(&mut Vec<u8>) -> (T, u64, bool),
    ) -> (T, Lsn) {
        let Lane { records, first_seq: first, batches, .. } = &mut self.lanes[lane];
        let before = records.len();
        let (applied, last_seq, needs_all) = apply(records);
        let has_recorded = records.len() > before;
        if has_recorded {
            self.batches += 1;
            batches.push(self.batches);
            *first = first_seq.min(*first);
            self.recorded_seq = last_seq;
        }
        let lsn = match (needs_all, has_recorded) {
            (true, _) => self.lsn(),
            (false, true) => Lsn(self.batches << 1),
            (false, false) => Lsn::default(),
        };
        (applied, lsn)
    }

    /// What must be durable for all that was recorded to be: the last batch, and whether those before it must be, too.
    pub(super) fn lsn(&self) -> Lsn {
        Lsn((self.batches << 1) | 1)
    }

    /// Whether commits have covered that.
    pub(super) fn is_durable(&self, Lsn(lsn): Lsn) -> bool {
        let (last, all) = (lsn >> 1, lsn & 1 == 1);
        let is_needed = |&batch: &u64| batch == last || (all && batch < last);
        !self.lanes.iter().any(|lane| lane.batches.iter().any(is_needed))
    }

    /// Lets a reply wait.
    pub(super) fn wait(&mut self, needs_lsn: Lsn, reply: Reply) {
        self.waiting.push((needs_lsn, reply));
    }

    /// Plans the commits of what was recorded, where none is planned.
    pub(super) fn plan(&mut self, event: impl Fn(usize) -> Event, is_slow: bool, timeline: &mut Timeline) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.records.is_empty() && !std::mem::replace(&mut lane.is_planned, true) {
                let slow_us = if is_slow { timeline.rng.u64(..SLOW_COMMIT_US) } else { 0 };
                let wait_us = timeline.rng.u64(COMMIT_US) + slow_us;
                timeline.plan_after(from_us(wait_us), event(index));
            }
        }
    }

    /// What was recorded in a lane is written. Returns the replies that leave now, and whether senders are to be woken.
    pub(super) fn committed(&mut self, lane: usize) -> (Vec<Reply>, bool) {
        self.lanes[lane] = Lane::new();
        let durable = self.lanes.iter().fold(self.recorded_seq, |least, lane| least.min(lane.first_seq - 1));
        let has_news = durable > self.durable_seq;
        self.durable_seq = self.durable_seq.max(durable);
        self.has_committed |= has_news;
        let waiting = std::mem::take(&mut self.waiting);
        let (leaving, waiting) = waiting.into_iter().partition(|(lsn, _)| self.is_durable(*lsn));
        self.waiting = waiting;
        (leaving.into_iter().map(|(_, reply)| reply).collect(), has_news)
    }

    /// All that was written is on disk. Returns the positions that cover no more than that, if they are new.
    pub(super) fn flushed(&mut self) -> Option<Vec<u8>> {
        let (positions, last) = self.positions.take()?;
        if self.is_durable(Lsn((last << 1) | 1)) {
            self.last_positions.clone_from(&positions);
            return Some(positions);
        }
        self.positions = Some((positions, last));
        None
    }

    /// These positions are to be recorded when all that is recorded now is on disk. Whether there are any such.
    pub(super) fn note_positions(&mut self, positions: Vec<u8>) -> bool {
        let is_new = !positions.is_empty() && positions != self.last_positions;
        if self.positions.is_none() && is_new {
            self.positions = Some((positions, self.batches));
        }
        self.positions.is_some()
    }

    /// Plans when that is on disk, unless it is planned.
    pub(super) fn plan_flush(&mut self, event: Event, timeline: &mut Timeline) {
        if !std::mem::replace(&mut self.is_flush_planned, true) {
            let wait_ns = timeline.rng.u64(..from_ms(FLUSH_MS_MAX));
            timeline.plan_after(wait_ns, event);
        }
    }
}

impl Lane {
    fn new() -> Lane {
        Lane { records: Vec::new(), first_seq: u64::MAX, batches: Vec::new(), is_planned: false }
    }
}
