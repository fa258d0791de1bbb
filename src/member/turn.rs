//! What the lines of one reading lead to: replies, and what must happen before they may leave.

use std::fmt;
use std::sync::Arc;
use std::thread;

pub use super::lanes::Lsn;
use super::peer_registry::Claimant;
use crate::os::semaphore::{OwnedPermit, Semaphore};
use crate::os::sync::Mutex;
use crate::proto::line::batch::{Batch, KEPT_BYTES_MAX};
use crate::proto::line::reason::Reason;
use crate::proto::node::{Applied, Node};
use crate::proto::peering::grammar::{push_prune, push_verdict};
use crate::proto::store::update::Reject;

/// The batches that are kept for turns with many lines, of some 32 KiB each: few threads are in such a turn at once.
const SPARE_BATCHES_MAX: usize = 32;

/// Permits for large turns for each processor: as few as keep it busy, because a thread with a small turn waits until
/// the system has been through those that work.
pub const PERMITS_PER_PROCESSOR: usize = 2;

/// A reading with more bytes is a large turn: that is a hundred lines. With fewer a client that is always busy would
/// be slower by a tenth, because threads would be woken for a permit as often as for bytes.
const SMALL_TURN_BYTES_MAX: usize = 6 * 1024;

/// What a conversation needs of the member that it is a conversation with. A running member and a simulated one have
/// other locks and other journals.
pub trait Host {
    /// Merges what is pending in the batch, and records it. The `Lsn` must be durable before anything of it leaves.
    fn apply(&self, batch: &mut Batch) -> (Applied, Lsn);

    /// The `Lsn` of what was applied last.
    fn lsn(&self) -> Lsn;

    /// Looks at what is known.
    fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> T;

    /// Changes what is known of neighbours.
    fn write<T>(&self, change: impl FnOnce(&mut Node) -> T) -> T;

    /// Whether a refused line is told why.
    fn explains(&self) -> bool {
        self.read(|node| node.identity().explains)
    }

    /// Whether applied reports can turn out not to be durable.
    fn has_wal(&self) -> bool;

    /// Whether a server that has proved to be this neighbour may be it: not if another one that says the same is here.
    fn admits(&self, _neighbour: usize, _claimant: Claimant) -> bool {
        true
    }

    /// Looks elsewhere for a client that is not known; whether it may be known now. No lock is held meanwhile.
    fn fetch(&self, _client: &str) -> bool {
        false
    }

    /// Whether reports of new clients may be rejected soon. Only a hint, which may come late: the store decides.
    fn is_near_capacity(&self) -> bool;
}

/// Replies, and what must happen before they may leave. Drivers reuse it.
#[derive(Debug)]
pub struct Turn {
    pub(super) batch: Batch,
    pub(super) needs_lsn: Lsn,
    /// Whether the replies welcome a neighbour, and with it promise something.
    pub(super) owes_welcome: bool,
    /// Whether followers are yet to be told of changes.
    has_changes: bool,
    pub(super) counts: Counts,
    /// Held while lines are taken, if they are many: see [`TurnPermits`].
    pub permit: Option<OwnedPermit>,
}

/// What was done since the last [`Turn::take_counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were taken.
    pub lines: u64,
    /// Lines that got an error line.
    pub refused: u64,
    /// Reports of new clients that were rejected, because the most that may be are known.
    pub rejected: u64,
    /// Why, the last of them.
    pub rejected_why: Option<Reject>,
    /// Sightings that were applied.
    pub applied: u64,
    /// Sightings that were known or outdated.
    pub outdated: u64,
    /// Questions about a known client.
    pub questions: u64,
}

/// Buffers that have grown, for turns with many lines: a conversation that is idle has none. All those of one member
/// are alike.
#[derive(Debug, Default)]
pub struct SpareBatches(Mutex<Vec<Batch>>);

/// Permits to work on large turns. When thousands of clients come again with all that they have kept, their threads
/// would stand before the processors, and those that are given a lock would hold it while they stand there: a client
/// with a single line would wait for seconds.
#[derive(Debug)]
pub struct TurnPermits {
    permits: Arc<Semaphore>,
    waits_for_disk: bool,
}

impl TurnPermits {
    /// Whether commits wait for the disk: then few threads work at once anyway, and no permit is needed.
    pub fn new(waits_for_disk: bool) -> TurnPermits {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        TurnPermits { permits: Arc::new(Semaphore::new(processors * PERMITS_PER_PROCESSOR)), waits_for_disk }
    }

    /// Waits until what a reading of so many bytes has brought may be worked on. The permit is to be given back before
    /// the thread waits for anything but a lock. A small turn needs none, and so waits behind no large one.
    pub fn large(&self, bytes: usize) -> Option<OwnedPermit> {
        (bytes > SMALL_TURN_BYTES_MAX && !self.waits_for_disk).then(|| self.permits.acquire_owned())
    }

    /// Waits until a connection may be ended whose time is over: the system's timers end those of thousands in the same
    /// moment, and there is no hurry.
    pub fn late(&self) -> OwnedPermit {
        self.permits.acquire_owned()
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.permits.waiting()
    }
}

impl Turn {
    /// For conversations with this member.
    pub fn new(host: &impl Host) -> Turn {
        let mut batch = if host.has_wal() { Batch::durable() } else { Batch::default() };
        batch.explain(host.explains());
        Turn {
            batch,
            needs_lsn: Lsn::default(),
            owes_welcome: false,
            has_changes: false,
            counts: Counts::default(),
            permit: None,
        }
    }

    /// Replies with an error line of this text.
    pub fn complain(&mut self, why: fmt::Arguments<'_>) {
        self.batch.reply().extend_from_slice(format!("? {why}\n").as_bytes());
    }

    /// Replies that a client's line was refused: a copy of it, and why if that is to be said.
    pub fn refuse(&mut self, line: &[u8], reason: Reason) {
        self.batch.refuse_because(line, reason);
        self.counts.refused += 1;
    }

    /// Merges what is pending.
    pub fn apply(&mut self, host: &impl Host) {
        if self.batch.is_applied() {
            return;
        }
        let (applied, lsn) = host.apply(&mut self.batch);
        self.needs_lsn = self.needs_lsn.max(lsn);
        self.counts.applied += applied.applied as u64;
        self.counts.outdated += applied.outdated as u64;
        self.counts.refused += applied.rejected as u64;
        self.counts.rejected += applied.rejected as u64;
        self.counts.rejected_why = applied.rejected_why.or(self.counts.rejected_why);
        self.has_changes |= applied.applied > 0;
        let replies = self.batch.reply();
        if applied.prunes {
            push_prune(replies);
        }
        if let Some(verdict) = applied.verdict {
            push_verdict(verdict, replies);
        }
    }

    /// How far the journal must be durable before the replies may leave.
    pub fn needs_lsn(&self) -> Lsn {
        self.needs_lsn
    }

    /// Whether anything has changed since this was last asked.
    pub fn take_changes(&mut self) -> bool {
        std::mem::take(&mut self.has_changes)
    }

    /// Makes error lines of all acknowledgements since the replies were last sent, because what they acknowledge is not
    /// durable. Returns how many, or `None` if the replies welcome a neighbour: it must not be told that it is known
    /// how far it has come, so the connection must be closed.
    pub fn nack(&mut self, why: &str) -> Option<usize> {
        let withheld = self.batch.nack(why);
        (!self.owes_welcome).then_some(withheld)
    }

    /// The replies so far.
    pub fn replies(&self) -> &[u8] {
        self.batch.replies()
    }

    /// Whether a provider's answer may join the replies before they are sent. Answers are large, and what waits for a
    /// client that does not take them is memory.
    pub fn has_room_for(&self, answer: &str) -> bool {
        self.replies().len() + answer.len() <= KEPT_BYTES_MAX
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        self.batch.sent();
        self.owes_welcome = false;
    }

    /// Takes a buffer that has grown, if one is there: many lines are about to come.
    pub fn borrow(&mut self, spare: &SpareBatches) {
        if self.batch.has_grown() {
            return;
        }
        if let Some(batch) = spare.0.lock().pop() {
            self.batch = batch;
        }
    }

    /// Gives a buffer that has grown to the next who needs one. All replies have been sent.
    pub fn give_back(&mut self, spare: &SpareBatches) {
        if !self.batch.has_grown() {
            return;
        }
        let small = self.batch.emptied();
        let grown = std::mem::replace(&mut self.batch, small);
        let mut spare = spare.0.lock();
        if spare.len() < SPARE_BATCHES_MAX {
            spare.push(grown);
        }
    }

    /// Gives back the room of all buffers, for a conversation that says nothing. All replies have been sent.
    pub fn shrink(&mut self) {
        self.batch = self.batch.emptied();
    }

    /// Whether lines were taken since [`Turn::take_counts`].
    pub fn has_taken_lines(&self) -> bool {
        self.counts.lines > 0
    }

    /// What was done since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(bytes: usize) -> Turn {
        let mut batch = Batch::durable();
        batch.reply().resize(bytes, b'x');
        batch.sent();
        let (needs_lsn, counts) = (Lsn::default(), Counts::default());
        Turn { batch, needs_lsn, owes_welcome: false, has_changes: false, counts, permit: None }
    }

    #[test]
    fn grown_buffers_go_from_who_is_idle_to_who_has_many_lines() {
        let spare = SpareBatches::default();
        let [mut small, mut grown, mut other] = [100, 9_000, 100].map(turn);
        small.give_back(&spare);
        assert!(spare.0.lock().is_empty() && !small.batch.has_grown());
        grown.give_back(&spare);
        assert!(spare.0.lock().len() == 1 && !grown.batch.has_grown());
        other.borrow(&spare);
        assert!(spare.0.lock().is_empty() && other.batch.has_grown());
        small.borrow(&spare);
        assert!(!small.batch.has_grown(), "there is none");
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let spare = SpareBatches::default();
        (0..2 * SPARE_BATCHES_MAX).for_each(|_| turn(9_000).give_back(&spare));
        assert_eq!(spare.0.lock().len(), SPARE_BATCHES_MAX);
    }
}
