//! Commits: what was recorded becomes durable, in one of two ways.
//!
//! Where a commit need not be on disk, each connection writes what it has merged in a lane of its own ([`Lanes`]), when
//! it merges it. It waits for others only if what it acknowledges was merged by them.
//!
//! Where a commit is on disk before it counts, one waiting connection writes the journal for all of them: group commit.
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
use std::sync::atomic::Ordering;

use super::flush_signal::FlushSignal;
use super::lanes::Lanes;
pub use super::lanes::Lsn;
use super::wal_writer::{InFlight, Pending, WalWriter};
use crate::journal::{Disk, Journal, Lane, Plan};
use crate::os::sync::{AtomicU64, Condvar, Mutex, RwLock};
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
    /// Taken with none of the others held, by the one that writes, and before the lanes.
    in_flight: Mutex<InFlight>,
    lanes: Lanes,
    disk: Arc<dyn Disk>,
    /// Up to which change followers have been woken.
    told_seq: AtomicU64,
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
    pub fn new(journal: Journal, lanes: Vec<Lane>, is_synced: bool, seq: u64) -> GroupCommit {
        GroupCommit {
            is_synced,
            flush_signal: FlushSignal::default(),
            pending: Mutex::new(Pending::new(seq)),
            state: Mutex::default(),
            groups: [Condvar::new(), Condvar::new()],
            disk: journal.disk(),
            in_flight: Mutex::new(InFlight { journal, lsn: Lsn::default(), seq }),
            lanes: Lanes::new(lanes, seq),
            told_seq: AtomicU64::new(seq),
            in_flight_lsn: AtomicU64::new(0),
            durable_lsn: AtomicU64::new(0),
            durable_seq: AtomicU64::new(seq),
        }
    }

    /// Applies updates and records what came of them. Nothing of them may leave before a commit that covers the `Lsn`.
    pub fn apply<U: Updates>(&self, node: &RwLock<Node>, updates: &mut U) -> (Applied, Lsn) {
        if !self.is_synced {
            let (applied, lsn, written) = self.lanes.apply(node, updates);
            match written {
                Ok(true) => self.flush_signal.mark_dirty(),
                Ok(false) => {}
                Err(error) => self.fail(&error),
            }
            return (applied, lsn);
        }
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
        if self.is_synced { self.pending.lock().lsn } else { Lsn(self.lanes.recorded_seq()) }
    }

    /// Waits until everything up to `lsn` is durable. Whether this call has written something.
    ///
    /// # Errors
    /// If it is not, and will not be before the next checkpoint.
    pub fn commit(&self, lsn: Lsn) -> Result<bool, NotDurable> {
        if !self.is_synced {
            return self.lanes.wait(lsn).map(|()| false).map_err(NotDurable);
        }
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
            let mut writer = self.writer();
            self.write(&mut writer).map(|()| self.advance_watermark(&writer))
        };
        self.release(done.as_ref().err());
        done.map(|()| true).map_err(|error| NotDurable(reason(&error)))
    }

    /// Whether more is durable than when this last said so, so that followers must be woken.
    pub fn has_news(&self) -> bool {
        let durable_seq = self.durable_seq();
        self.told_seq.fetch_max(durable_seq, Ordering::AcqRel) < durable_seq
    }

    /// The sequence number of the last change that no crash can undo: the durable watermark.
    pub fn durable_seq(&self) -> u64 {
        if self.is_synced { self.durable_seq.load(Ordering::Acquire) } else { self.lanes.watermark() }
    }

    /// Why nothing is durable, if so.
    pub fn failure(&self) -> Option<NotDurable> {
        self.state.lock().failed.clone().map(NotDurable)
    }

    /// Works on the journal while no other writes, nor merges in a lane. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// Those of the work.
    pub fn with_writer<T>(&self, work: impl FnOnce(&mut WalWriter<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        while state.is_writing {
            let next = state.group + 1;
            self.groups[next % 2].wait(&mut state);
        }
        state.begin();
        drop(state);
        let done = {
            let mut writer = self.writer();
            // Before another has a lane.
            work(&mut writer).inspect_err(|_| self.lanes.turn_off())
        };
        self.release(done.as_ref().err());
        done
    }

    fn writer(&self) -> WalWriter<'_> {
        WalWriter { in_flight: self.in_flight.lock(), lanes: self.lanes.take_all() }
    }

    /// Says that all that was written is durable.
    pub fn advance_watermark(&self, writer: &WalWriter<'_>) {
        if !self.is_synced {
            return self.lanes.advance();
        }
        // A thread that sees the lsn sees the sequence number too.
        self.durable_seq.fetch_max(writer.in_flight.seq, Ordering::AcqRel);
        self.durable_lsn.fetch_max(writer.in_flight.lsn.0, Ordering::AcqRel);
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, writer: &mut WalWriter<'_>) -> io::Result<()> {
        self.take(writer);
        self.write_in_flight(writer)
    }

    /// Takes all that waits, to be written next.
    pub fn take(&self, writer: &mut WalWriter<'_>) {
        if self.is_synced {
            let mut pending = self.pending.lock();
            writer.take(&mut pending);
            self.in_flight_lsn.store(pending.lsn.0, Ordering::Release);
        }
    }

    /// Writes what was taken, and puts it on disk if a commit must be there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_in_flight(&self, writer: &mut WalWriter<'_>) -> io::Result<()> {
        if self.lanes.is_off() {
            return Err(io::Error::other("the last commit could not be written"));
        }
        let done = writer.write().and_then(|has_written| {
            if has_written && self.is_synced {
                self.disk.flush(&writer.lanes[0].file.file())?;
            }
            Ok(has_written)
        });
        if !matches!(done, Ok(false)) {
            self.flush_signal.mark_dirty();
        }
        done.map(|_| ())
    }

    /// Writes what was recorded in lanes and left, because its thread has ended by a bug of ours: what was merged
    /// before this call is written.
    ///
    /// # Errors
    /// If that cannot be written. Nothing is durable from then on.
    pub fn write_left(&self) -> io::Result<()> {
        self.lanes.write_left().inspect_err(|error| self.fail(error))
    }

    /// Records how far the changes of neighbours have been merged, where all that was merged until then is on disk.
    ///
    /// # Errors
    /// If that cannot be written. Nothing is durable from then on.
    pub fn record_positions(&self, positions: &[u8]) -> io::Result<()> {
        self.lanes.write_first(positions).inspect_err(|error| self.fail(error))
    }

    /// Puts on disk what was written. Others go on writing meanwhile. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush_written(&self) -> io::Result<()> {
        let files = self.lanes.dirty_files().inspect_err(|error| self.fail(error))?;
        self.flush_or_fail(&files)
    }

    /// Puts on disk what was written to files. If it fails, nothing is durable from then on.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush_or_fail(&self, files: &[Arc<File>]) -> io::Result<()> {
        let flushed = files.iter().try_for_each(|file| self.disk.flush(file));
        flushed.inspect_err(|error| self.fail(error))
    }

    /// Where the next file of the journal would be.
    pub fn plan(&self) -> Plan {
        self.in_flight.lock().journal.plan_next()
    }

    /// The bytes of all files of the journal, and how many they are.
    pub fn size(&self) -> (u64, usize) {
        let size = self.with_writer(|writer| {
            let (journal, lanes) = (&writer.in_flight.journal, &writer.lanes);
            Ok((journal.bytes() + lanes.iter().map(|lane| lane.file.bytes()).sum::<u64>(), journal.files()))
        });
        size.unwrap_or_default()
    }

    /// Writes what is left, how far the changes of neighbours have been merged, and that the server has stopped. No
    /// other may use the journal any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&self, positions: &[u8]) -> io::Result<()> {
        if self.failure().is_some() {
            return Ok(());
        }
        self.with_writer(|writer| {
            self.write(writer)?;
            let files: Vec<Arc<File>> = writer.lanes.iter().map(|lane| lane.file.file()).collect();
            let flush = || files.iter().try_for_each(|file| self.disk.flush(file));
            if !self.is_synced {
                // Positions are as good as what they cover.
                writer.drain()?;
                flush()?;
                writer.lanes[0].frame.extend_from_slice(positions);
            }
            writer.lanes.iter_mut().for_each(|lane| Record::Stopped.push_to(&mut lane.frame));
            writer.write()?;
            writer.lanes.iter_mut().try_for_each(|lane| lane.file.close())?;
            flush()
        })
    }

    /// After a failure, everything is recorded again from now on, while a checkpoint writes the whole store, in which
    /// this is the last sequence number. The caller has the writer.
    pub fn resume_recording(&self, last_seq: u64) {
        let mut pending = self.pending.lock();
        (pending.is_off, pending.written_seq) = (false, last_seq);
        self.lanes.turn_on(last_seq);
    }

    /// A checkpoint has written the store, and all that came after. The caller has the writer.
    pub fn recovered(&self, writer: &WalWriter<'_>) {
        self.state.lock().failed = None;
        self.lanes.recovered();
        self.advance_watermark(writer);
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
        // That nothing is written because of a failure before says nothing of that.
        if state.failed.is_none() || error.raw_os_error().is_some() {
            state.failed = Some(reason(error));
        }
        self.lanes.fail(state.failed.clone().unwrap_or_default());
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
