//! Commits: what conversations have recorded is written for all who wait for it, by one of them.
//!
//! Records are appended to a buffer in memory under the store's lock, so their order is the order of the merges. Each
//! settled batch gets a mark, and a commit covers every mark before it. Whoever needs one while nobody writes takes
//! all that is in the buffer and writes it, with no lock held that a merge could need; those that come meanwhile wait,
//! and one of them does the same for all of them.
//!
//! When writing fails, nothing is promised any more: every commit fails, and nothing is recorded, until the keeper has
//! written the whole store anew: see `keeper`. What was merged meanwhile is in it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::keeper::Keeper;
use super::slips::{self, Slip};
use super::sync::{Condvar, Mutex, RwLock};
use super::writing::Writer;
use crate::config::{Durability, JournalOptions};
use crate::journal::Journal;
use crate::proto::line::batch::Batch;
use crate::proto::node::{Applied, Node};
use crate::proto::store::change_log::Flushed;
use crate::proto::wal::record::FRAME_HEAD_BYTES;

/// How far a conversation has come: a commit that covers it covers all that was merged before.
pub(super) type Mark = u64;

/// What is recorded and what is kept of it.
pub(super) struct Commits {
    /// Whether a commit is on disk before it counts.
    pub(super) is_synced: bool,
    /// What a flush takes longer than it does, for measuring.
    pub(super) flush_delay: Duration,
    /// Whether the journal is never made smaller, for measuring.
    pub(super) only_grows: bool,
    pub(super) keeper: Keeper,
    /// Taken after the store's lock, never before.
    pub(super) pending: Mutex<Pending>,
    state: Mutex<State>,
    /// Where those wait that the round of writing which is under way will not cover, and those that it will, in turns:
    /// each is called when its round is over, and one of the others to begin the next.
    rounds: [Condvar; 2],
    /// Taken with none of the others held, by the one that writes.
    writer: Mutex<Writer>,
    /// What was settled up to this mark is in the present round, or was in one before.
    pub(super) taken_mark: AtomicU64,
    kept_mark: AtomicU64,
    kept_number: AtomicU64,
    /// A fault for tests.
    #[cfg(test)]
    pub(super) is_disk_broken: std::sync::atomic::AtomicBool,
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Pending {
    /// Records, behind room for what makes a frame of them.
    pub(super) frame: Vec<u8>,
    pub(super) mark: Mark,
    /// The number of the last change that they hold.
    pub(super) number: u64,
    /// The number of the last change that may be in a file.
    pub(super) taken: u64,
    /// Whether nothing is recorded, for writing has failed.
    is_off: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Whether somebody writes.
    is_busy: bool,
    /// How often somebody has begun to.
    round: usize,
    /// Why nothing is kept, if so.
    failed: Option<Arc<str>>,
}

/// Nothing is kept now, for this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be kept now ({0}), try again later")]
pub(super) struct NotKept(Arc<str>);

impl Commits {
    /// For a store whose last change has this number.
    pub(super) fn new(journal: Journal, options: &JournalOptions, number: u64) -> Commits {
        let frame = vec![0; FRAME_HEAD_BYTES];
        let pending = Pending { frame: frame.clone(), mark: 0, number, taken: number, is_off: false };
        Commits {
            is_synced: options.durability == Durability::Sync,
            flush_delay: options.flush_delay,
            only_grows: options.only_grows,
            keeper: Keeper::default(),
            pending: Mutex::new(pending),
            state: Mutex::default(),
            rounds: [Condvar::new(), Condvar::new()],
            writer: Mutex::new(Writer::new(journal, frame, number)),
            taken_mark: AtomicU64::new(0),
            kept_mark: AtomicU64::new(0),
            kept_number: AtomicU64::new(number),
            #[cfg(test)]
            is_disk_broken: Default::default(),
        }
    }

    /// Settles a batch and records what came of it. Nothing of it may leave before a commit that covers the mark.
    pub(super) fn settle(&self, node: &RwLock<Node>, batch: &mut Batch) -> (Applied, Mark) {
        let mut node = node.write();
        let mut pending = self.pending.lock();
        node.keep(Flushed { durable: self.kept_number(), written: pending.taken });
        let before = pending.frame.len();
        let records = (!pending.is_off).then_some(&mut pending.frame);
        let settled = node.settle_recorded(batch, records);
        if pending.frame.len() > before || (pending.is_off && settled.news > 0) {
            pending.mark += 1;
            pending.number = node.store().last_seq();
        }
        (settled, pending.mark)
    }

    /// The mark of what was settled last.
    pub(super) fn mark(&self) -> Mark {
        self.pending.lock().mark
    }

    /// Waits until everything up to a mark is kept. Whether this call has written something.
    ///
    /// # Errors
    /// If it is not, and will not be before the store is written anew.
    pub(super) fn commit(&self, mark: Mark) -> Result<bool, NotKept> {
        if self.kept_mark.load(Ordering::Acquire) >= mark {
            return Ok(false);
        }
        let mut state = self.state.lock();
        loop {
            if let Some(why) = &state.failed {
                return Err(NotKept(Arc::clone(why)));
            }
            if self.kept_mark.load(Ordering::Acquire) >= mark {
                // It may have been called to write.
                self.pass_on(&state);
                return Ok(false);
            }
            if !state.is_busy {
                break;
            }
            let is_taken = mark <= self.taken_mark.load(Ordering::Acquire);
            let round = if is_taken { state.round } else { state.round + 1 };
            self.rounds[round % 2].wait(&mut state);
        }
        state.begin();
        drop(state);
        let done = {
            let mut writer = self.writer.lock();
            self.write(&mut writer).map(|()| self.keep(&writer))
        };
        self.release(done.as_ref().err());
        done.map(|()| true).map_err(|error| NotKept(words(&error)))
    }

    /// The number of the last change that no crash can undo.
    pub(super) fn kept_number(&self) -> u64 {
        self.kept_number.load(Ordering::Acquire)
    }

    /// Why nothing is kept, if so.
    pub(super) fn failure(&self) -> Option<NotKept> {
        self.state.lock().failed.clone().map(NotKept)
    }

    /// Does something with the disk while nobody writes. If it fails, nothing is kept from then on.
    pub(super) fn with_writer<T>(&self, work: impl FnOnce(&mut Writer) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        while state.is_busy {
            let next = state.round + 1;
            self.rounds[next % 2].wait(&mut state);
        }
        state.begin();
        drop(state);
        let done = work(&mut self.writer.lock());
        self.release(done.as_ref().err());
        done
    }

    /// Says that all that was written is kept.
    pub(super) fn keep(&self, writer: &Writer) {
        // Whoever sees the mark sees the number too.
        self.kept_number.fetch_max(writer.taken.number, Ordering::AcqRel);
        self.kept_mark.fetch_max(writer.taken.mark, Ordering::AcqRel);
    }

    /// From now on everything is recorded again, after a failure, while the whole store as it is now is being written,
    /// in which this is the last number.
    pub(super) fn resume_recording(&self, last: u64) {
        let mut pending = self.pending.lock();
        (pending.is_off, pending.taken) = (false, last);
    }

    /// The store has been written, and all that came after.
    pub(super) fn recovered(&self) {
        self.state.lock().failed = None;
    }

    /// Writing has failed.
    pub(super) fn fail(&self, error: &io::Error) {
        let mut state = self.state.lock();
        // Whoever writes would take it that what is thrown away here has been written.
        while state.is_busy {
            let next = state.round + 1;
            self.rounds[next % 2].wait(&mut state);
        }
        self.turn_off(&mut state, error);
    }

    fn release(&self, error: Option<&io::Error>) {
        let mut state = self.state.lock();
        state.is_busy = false;
        if let Some(error) = error {
            self.turn_off(&mut state, error);
        }
        self.rounds[state.round % 2].notify_all();
        self.pass_on(&state);
    }

    /// Calls one of those that wait for the next round, to begin it.
    fn pass_on(&self, state: &State) {
        if !state.is_busy && !slips::has(Slip::WritingNotPassedOn) {
            self.rounds[(state.round + 1) % 2].notify_one();
        }
    }

    fn turn_off(&self, state: &mut State, error: &io::Error) {
        state.failed = Some(words(error));
        self.rounds.iter().for_each(|round| {
            round.notify_all();
        });
        let mut pending = self.pending.lock();
        pending.is_off = true;
        pending.frame.truncate(FRAME_HEAD_BYTES);
        // What was thrown away is not kept by any later commit but the one of the whole store.
        pending.mark += 1;
    }
}

impl State {
    fn begin(&mut self) {
        self.is_busy = true;
        self.round += 1;
    }
}

/// What the system said, without its number.
fn words(error: &io::Error) -> Arc<str> {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase().into()
}
