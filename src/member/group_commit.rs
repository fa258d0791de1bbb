//! Group commit: one waiting connection writes the journal for all of them.
//!
//! Records are appended to a buffer in memory under the store's lock, so their order is the order of the merges. Each
//! applied batch gets a log sequence number ([`Lsn`]), and a commit covers every one before it. The first that needs a
//! commit while no other writes takes all that is in the buffer and writes it, with no lock held that a merge could
//! need; those that come meanwhile wait, and one of them does that for all of them.
//!
//! When writing fails, nothing is promised any more: every commit fails, and nothing is recorded, until a checkpoint
//! has written the whole store: see `flusher` and `checkpoint`. What was merged meanwhile is in it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::flush_signal::FlushSignal;
pub use super::wal_writer::Lsn;
use super::wal_writer::{Pending, WalWriter};
use crate::journal::{Disk, Journal, Plan};
use crate::os::sync::{Condvar, Mutex, RwLock};
use crate::proto::node::{Applied, Node};
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::Updates;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};

/// What is recorded, and what of it is durable.
#[derive(Debug)]
pub struct GroupCommit {
    /// Whether a commit is on disk before it counts.
    pub is_synced: bool,
    /// What wakes the flusher.
    pub flush_signal: FlushSignal,
    /// Taken after the store's lock, never before.
    pending: Mutex<Pending>,
    state: Mutex<State>,
    /// Where those wait that the flush group which is under way will not cover, and those that it will, in turns: each
    /// is called when its group is over, and one of the others to begin the next.
    groups: [Condvar; 2],
    /// Taken with none of the others held, by the one that writes.
    writer: Mutex<WalWriter>,
    disk: Arc<dyn Disk>,
    /// What was applied up to here is in the present flush group, or was in one before.
    in_flight_lsn: AtomicU64,
    durable_lsn: AtomicU64,
    durable_seq: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Whether one of the waiting writes.
    is_writing: bool,
    /// How many flush groups have begun.
    group: usize,
    /// Why nothing is durable, if so.
    failed: Option<Arc<str>>,
}

/// Nothing can be made durable now, for this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be kept now ({0}), try again later")]
pub struct NotDurable(Arc<str>);

impl GroupCommit {
    /// For a store whose last change has this sequence number.
    pub fn new(journal: Journal, is_synced: bool, seq: u64) -> GroupCommit {
        GroupCommit {
            is_synced,
            flush_signal: FlushSignal::default(),
            pending: Mutex::new(Pending::new(seq)),
            state: Mutex::default(),
            groups: [Condvar::new(), Condvar::new()],
            disk: journal.disk(),
            writer: Mutex::new(WalWriter::new(journal, is_synced, seq)),
            in_flight_lsn: AtomicU64::new(0),
            durable_lsn: AtomicU64::new(0),
            durable_seq: AtomicU64::new(seq),
        }
    }

    /// Applies updates and records what came of them. Nothing of them may leave before a commit that covers the `Lsn`.
    pub fn apply<U: Updates>(&self, node: &RwLock<Node>, updates: &mut U) -> (Applied, Lsn) {
        let mut node = node.write();
        let mut pending = self.pending.lock();
        node.set_flushed(Flushed { durable: self.durable_seq(), written: pending.written_seq });
        let before = pending.frame.len();
        let records = (!pending.is_off).then_some(&mut pending.frame);
        let applied = node.apply(updates, records);
        if pending.frame.len() > before || (pending.is_off && applied.applied > 0) {
            pending.lsn.0 += 1;
            pending.seq = node.store().last_seq();
        }
        (applied, pending.lsn)
    }

    /// The `Lsn` of what was applied last.
    pub fn lsn(&self) -> Lsn {
        self.pending.lock().lsn
    }

    /// Waits until everything up to `lsn` is durable. Whether this call has written something.
    ///
    /// # Errors
    /// If it is not, and will not be before the next checkpoint.
    pub fn commit(&self, lsn: Lsn) -> Result<bool, NotDurable> {
        if self.durable_lsn.load(Ordering::Acquire) >= lsn.0 {
            return Ok(false);
        }
        let mut state = self.state.lock();
        loop {
            if let Some(why) = &state.failed {
                return Err(NotDurable(Arc::clone(why)));
            }
            if self.durable_lsn.load(Ordering::Acquire) >= lsn.0 {
                // It may have been called to write.
                self.pass_on(&state);
                return Ok(false);
            }
            if !state.is_writing {
                break;
            }
            let is_in_flight = lsn.0 <= self.in_flight_lsn.load(Ordering::Acquire);
            let group = if is_in_flight { state.group } else { state.group + 1 };
            self.groups[group % 2].wait(&mut state);
        }
        state.begin();
        drop(state);
        let done = {
            let mut writer = self.writer.lock();
            self.write(&mut writer).map(|()| self.advance_watermark(&writer))
        };
        self.release(done.as_ref().err());
        done.map(|()| true).map_err(|error| NotDurable(reason(&error)))
    }

    /// The sequence number of the last change that no crash can undo: the durable watermark.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Why nothing is durable, if so.
    pub fn failure(&self) -> Option<NotDurable> {
        self.state.lock().failed.clone().map(NotDurable)
    }

    /// Works on the journal while no other writes. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// Those of the work.
    pub fn with_writer<T>(&self, work: impl FnOnce(&mut WalWriter) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        while state.is_writing {
            let next = state.group + 1;
            self.groups[next % 2].wait(&mut state);
        }
        state.begin();
        drop(state);
        let done = work(&mut self.writer.lock());
        self.release(done.as_ref().err());
        done
    }

    /// Says that all that was written is durable.
    pub fn advance_watermark(&self, writer: &WalWriter) {
        // A thread that sees the lsn sees the sequence number too.
        self.durable_seq.fetch_max(writer.in_flight.seq, Ordering::AcqRel);
        self.durable_lsn.fetch_max(writer.in_flight.lsn.0, Ordering::AcqRel);
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, writer: &mut WalWriter) -> io::Result<()> {
        self.take(writer);
        self.write_in_flight(writer)
    }

    /// Writes all that waits, and puts it on disk, whether commits wait for that or not.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_through(&self, writer: &mut WalWriter) -> io::Result<()> {
        self.write(writer)?;
        writer.flush(&writer.journal.file())
    }

    /// Takes all that waits, to be written next.
    pub fn take(&self, writer: &mut WalWriter) {
        let mut pending = self.pending.lock();
        writer.take(&mut pending);
        self.in_flight_lsn.store(pending.lsn.0, Ordering::Release);
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_in_flight(&self, writer: &mut WalWriter) -> io::Result<()> {
        let done = writer.write_in_flight();
        if !matches!(done, Ok(false)) {
            self.flush_signal.mark_dirty();
        }
        done.map(|_| ())
    }

    /// Puts on disk what was written. Others go on writing meanwhile. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush_written(&self) -> io::Result<()> {
        let file = self.with_writer(|writer| Ok(writer.journal.file()))?;
        self.flush_or_fail(&file)
    }

    /// Puts on disk what was written to a file. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush_or_fail(&self, file: &File) -> io::Result<()> {
        self.disk.flush(file).inspect_err(|error| self.fail(error))
    }

    /// Where the next file of the journal would be.
    ///
    /// # Errors
    /// None but those of a journal that is written to at the moment.
    pub fn plan(&self) -> io::Result<Plan> {
        self.with_writer(|writer| Ok(writer.journal.plan_next()))
    }

    /// The bytes of all files of the journal, and how many they are.
    pub fn size(&self) -> (u64, usize) {
        let size = self.with_writer(|writer| Ok((writer.journal.bytes(), writer.journal.files())));
        size.unwrap_or_default()
    }

    /// Writes what is left, and that the server has stopped. No other may use the journal any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&self) -> io::Result<()> {
        if self.failure().is_some() {
            return Ok(());
        }
        self.with_writer(|writer| {
            self.take(writer);
            Record::Stopped.push_to(writer.buffer());
            self.write_in_flight(writer)?;
            writer.flush(&writer.journal.file())
        })
    }

    /// After a failure, everything is recorded again from now on, while a checkpoint writes the whole store, in which
    /// this is the last sequence number.
    pub fn resume_recording(&self, last_seq: u64) {
        let mut pending = self.pending.lock();
        (pending.is_off, pending.written_seq) = (false, last_seq);
    }

    /// A checkpoint has written the store, and all that came after.
    pub fn recovered(&self) {
        self.state.lock().failed = None;
    }

    /// Writing has failed.
    pub fn fail(&self, error: &io::Error) {
        let mut state = self.state.lock();
        // The one that writes would take it that what is thrown away here has been written.
        while state.is_writing {
            let next = state.group + 1;
            self.groups[next % 2].wait(&mut state);
        }
        self.turn_off(&mut state, error);
    }

    fn release(&self, error: Option<&io::Error>) {
        let mut state = self.state.lock();
        state.is_writing = false;
        if let Some(error) = error {
            self.turn_off(&mut state, error);
        }
        self.groups[state.group % 2].notify_all();
        self.pass_on(&state);
    }

    /// Calls one of those that wait for the next flush group, to begin it.
    fn pass_on(&self, state: &State) {
        if !state.is_writing {
            self.groups[(state.group + 1) % 2].notify_one();
        }
    }

    fn turn_off(&self, state: &mut State, error: &io::Error) {
        state.failed = Some(reason(error));
        self.groups.iter().for_each(|group| {
            group.notify_all();
        });
        let mut pending = self.pending.lock();
        pending.is_off = true;
        pending.frame.truncate(FRAME_HEAD_BYTES);
        // What was thrown away is made durable by no later commit but that of a checkpoint.
        pending.lsn.0 += 1;
    }
}

impl State {
    fn begin(&mut self) {
        self.is_writing = true;
        self.group += 1;
    }
}

/// What the system said, without its number.
fn reason(error: &io::Error) -> Arc<str> {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase().into()
}
