//! The lanes of a journal: files to which threads write at the same time, each what it has merged itself.
//!
//! A thread takes a lane that is free before it merges, and holds it until what it has recorded there is kept: in the
//! lane's log buffer, which outlives the process, or in its file. So a lane has no gaps, and no thread writes for
//! others. Lanes reach their files in any order, which recovery makes good. But a crash may leave a change and not one
//! before it in another lane: so followers are told only what comes before the first change that is still in flight in
//! any of them ([`Lanes::watermark`]).
//!
//! A lane's lock is taken before the store's, never after, and at most one by each thread but the one that has all.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::journal::Lane;
use crate::os::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, RwLock};
use crate::proto::node::{Applied, Node};
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::Updates;
use crate::proto::wal::record::FRAME_HEAD_BYTES;

/// The lanes of a journal whose commits need not be on disk. More than a few processors cannot write at once, and each
/// is a file that is flushed. The number stands in each file, so another release may have another.
pub const LANES: u8 = 8;

/// Room that the buffer of a lane keeps between commits: what a few hundred connections have at once.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// Nothing is in flight in a lane.
const NOTHING: u64 = u64::MAX;

/// A log sequence number: a commit that covers it covers all that was applied before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

/// All lanes.
#[derive(Debug)]
pub struct Lanes {
    lanes: Box<[Mutex<LaneWriter>]>,
    /// By lane, the sequence number of the first change that may have been recorded and not been written. A lane whose
    /// write has failed stays in flight until a checkpoint.
    in_flight: Box<[AtomicU64]>,
    /// The sequence number of the last change that was recorded, which stands there after it is in flight.
    recorded_seq: AtomicU64,
    /// The sequence number up to which followers may be told.
    watermark: AtomicU64,
    /// Whether nothing is recorded, because writing has failed.
    is_off: AtomicBool,
    /// Whether `failed` says why nothing is durable.
    has_failed: AtomicBool,
    failed: Mutex<Option<Arc<str>>>,
    /// Where those wait that need what others write in their lanes, and how many they are.
    moved: Condvar,
    waiting: AtomicU64,
}

/// One lane, and what is being written to it.
#[derive(Debug)]
pub struct LaneWriter {
    /// The file.
    pub file: Lane,
    /// Records, behind room for what makes a frame of them.
    pub frame: Vec<u8>,
    /// Whether something was written since the file was last flushed.
    is_dirty: bool,
}

/// A lane that a thread has taken.
pub struct Taken<'a> {
    lanes: &'a Lanes,
    index: usize,
    lane: MutexGuard<'a, LaneWriter>,
}

impl Lanes {
    /// For a store whose last change has this sequence number.
    pub fn new(lanes: Vec<Lane>, seq: u64) -> Lanes {
        Lanes {
            in_flight: lanes.iter().map(|_| AtomicU64::new(NOTHING)).collect(),
            lanes: lanes.into_iter().map(|file| Mutex::new(LaneWriter::new(file))).collect(),
            recorded_seq: AtomicU64::new(seq),
            watermark: AtomicU64::new(seq),
            is_off: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            failed: Mutex::new(None),
            moved: Condvar::new(),
            waiting: AtomicU64::new(0),
        }
    }

    /// Applies updates, and writes what came of them. The `Lsn` is that of what they were compared with, if others may
    /// yet have to write that. Also whether anything was written.
    pub fn apply<U: Updates>(
        &self,
        node: &RwLock<Node>,
        updates: &mut U,
    ) -> (Applied, Lsn, io::Result<bool>) {
        let is_position = updates.reached().is_some();
        let mut lane = self.take();
        let (applied, last_seq, is_off) = {
            let mut node = node.write();
            let is_off = self.is_off();
            node.set_flushed(Flushed { durable: self.watermark(), written: self.recorded_seq() });
            let records = if is_off { None } else { Some(lane.begin(node.store().last_seq() + 1)) };
            let applied = node.apply(updates, records);
            let last_seq = node.store().last_seq();
            if !is_off {
                lane.recorded(last_seq);
            }
            (applied, last_seq, is_off)
        };
        let written = lane.write();
        drop(lane);
        if matches!(written, Ok(true)) {
            self.advance();
        }
        // What a neighbour offers is known by what others have merged.
        let is_compared = applied.outdated > 0 || is_position || applied.verdict.is_some();
        let is_own = written.is_ok() && !is_off && !is_compared;
        let is_durable = is_own && !self.has_failed.load(SeqCst);
        (applied, if is_durable { Lsn::default() } else { Lsn(last_seq) }, written)
    }

    /// Waits until what was merged in any lane up to `lsn` is durable, or nothing will be before the next checkpoint,
    /// for this reason. While nothing is, not even what was is said to be: a neighbour would take it for all that it
    /// was told of.
    ///
    /// # Errors
    /// The reason.
    pub fn wait(&self, lsn: Lsn) -> Result<(), Arc<str>> {
        let is_durable = || self.watermark() >= lsn.0;
        if lsn == Lsn::default() || (is_durable() && !self.has_failed.load(SeqCst)) {
            return Ok(());
        }
        let mut failed = self.failed.lock();
        // The thread that moves the watermark sees this, or its move is seen here.
        self.waiting.fetch_add(1, SeqCst);
        while failed.is_none() && !is_durable() {
            self.moved.wait(&mut failed);
        }
        self.waiting.fetch_sub(1, SeqCst);
        failed.as_ref().map_or(Ok(()), |why| Err(Arc::clone(why)))
    }

    /// The sequence number up to which followers may be told.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(SeqCst)
    }

    /// Moves the watermark to what is durable, and wakes those who wait for that.
    pub fn advance(&self) {
        if self.has_failed.load(SeqCst) {
            return;
        }
        let durable_seq = self.durable_seq();
        let before = self.watermark.fetch_max(durable_seq, SeqCst);
        if before < durable_seq && self.waiting.load(SeqCst) > 0 {
            let _failed = self.failed.lock();
            self.moved.notify_all();
        }
    }

    /// Nothing is recorded, and nothing durable, for this reason.
    pub fn fail(&self, why: Arc<str>) {
        let mut failed = self.failed.lock();
        self.is_off.store(true, SeqCst);
        // If it was a flush that failed nothing is in flight, and a thread may be about to move the watermark: not over
        // what is recorded before a checkpoint is whole.
        self.in_flight[0].fetch_min(self.watermark() + 1, SeqCst);
        self.has_failed.store(true, SeqCst);
        *failed = Some(why);
        self.moved.notify_all();
    }

    /// Takes the first lane that is free; if none is, waits for one of them.
    pub fn take(&self) -> Taken<'_> {
        let mut lanes = self.lanes.iter().enumerate();
        let free = lanes.find_map(|(index, lane)| lane.try_lock().map(|lane| (index, lane)));
        let (index, lane) = free.unwrap_or_else(|| {
            // Others will wait for another.
            let index = self.recorded_seq.load(SeqCst) as usize % self.lanes.len();
            (index, self.lanes[index].lock())
        });
        Taken { lanes: self, index, lane }
    }

    /// Takes all lanes. While one thread has them no other merges what is recorded in lanes.
    pub fn take_all(&self) -> Vec<MutexGuard<'_, LaneWriter>> {
        self.lanes.iter().map(Mutex::lock).collect()
    }

    /// Writes what a thread has recorded and left, because it has ended by a bug of ours. What was merged before this
    /// call is written after it, or has failed.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_left(&self) -> io::Result<()> {
        for (index, lane) in self.lanes.iter().enumerate() {
            let mut taken = Taken { lanes: self, index, lane: lane.lock() };
            if !self.is_off() {
                taken.write()?;
            }
        }
        self.advance();
        Ok(())
    }

    /// Writes records in the first lane.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_first(&self, records: &[u8]) -> io::Result<()> {
        let mut lane = self.lanes[0].lock();
        if self.is_off() || records.is_empty() {
            return Ok(());
        }
        lane.frame.extend_from_slice(records);
        lane.write().map(drop).inspect_err(|_| self.turn_off())
    }

    /// The files of the lanes that something was written to since this was last asked, with all of it.
    ///
    /// # Errors
    /// What the system says.
    pub fn dirty_files(&self) -> io::Result<Vec<Arc<File>>> {
        let mut files = Vec::new();
        for lane in &self.lanes {
            let mut lane = lane.lock();
            if lane.is_dirty && !self.is_off() {
                // Before another can have this lane.
                lane.file.drain().inspect_err(|_| self.turn_off())?;
                lane.is_dirty = false;
                files.push(lane.file.file());
            }
        }
        Ok(files)
    }

    /// The sequence number of the last change before all that is in flight.
    fn durable_seq(&self) -> u64 {
        // What is recorded after this has greater numbers, and what is not is in flight already.
        let recorded = self.recorded_seq.load(SeqCst);
        self.in_flight.iter().fold(recorded, |least, first| least.min(first.load(SeqCst) - 1))
    }

    /// The sequence number of the last change that was recorded.
    pub fn recorded_seq(&self) -> u64 {
        self.recorded_seq.load(SeqCst)
    }

    /// Whether nothing is recorded.
    pub fn is_off(&self) -> bool {
        self.is_off.load(SeqCst)
    }

    /// Nothing is recorded from now on.
    pub fn turn_off(&self) {
        self.is_off.store(true, SeqCst);
    }

    /// Everything is recorded again from now on. The caller has all lanes; this is the store's last sequence number.
    pub fn turn_on(&self, last_seq: u64) {
        self.recorded_seq.store(last_seq, SeqCst);
        self.is_off.store(false, SeqCst);
    }

    /// A checkpoint has made good for all that was not written. The caller has all lanes.
    pub fn recovered(&self) {
        *self.failed.lock() = None;
        self.has_failed.store(false, SeqCst);
        self.in_flight.iter().for_each(|first| first.store(NOTHING, SeqCst));
    }
}

impl Taken<'_> {
    /// The records of this lane. Whatever is recorded there has this sequence number or a greater one. The caller has
    /// the store's lock until it has called [`Taken::recorded`].
    pub fn begin(&mut self, first_seq: u64) -> &mut Vec<u8> {
        // What was left there comes before.
        self.lanes.in_flight[self.index].fetch_min(first_seq, SeqCst);
        &mut self.lane.frame
    }

    /// All is recorded, up to this sequence number.
    pub fn recorded(&self, last_seq: u64) {
        self.lanes.recorded_seq.store(last_seq, SeqCst);
        if self.lane.is_empty() {
            self.landed();
        }
    }

    /// Writes what was recorded; whether that was anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self) -> io::Result<bool> {
        // Before another can have this lane.
        let has_written = self.lane.write().inspect_err(|_| self.lanes.turn_off())?;
        if !self.lanes.is_off() {
            self.landed();
        }
        Ok(has_written)
    }

    /// Nothing is in flight here. While nothing is durable that is not so: what this lane has failed to write is in no
    /// file before the checkpoint is whole, and a thread may be about to move the watermark that began before.
    fn landed(&self) {
        if !self.lanes.has_failed.load(SeqCst) {
            self.lanes.in_flight[self.index].store(NOTHING, SeqCst);
        }
    }
}

impl LaneWriter {
    fn new(file: Lane) -> LaneWriter {
        LaneWriter { file, frame: vec![0; FRAME_HEAD_BYTES], is_dirty: false }
    }

    fn is_empty(&self) -> bool {
        self.frame.len() == FRAME_HEAD_BYTES
    }

    /// Writes what was recorded; whether that was anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        let appended = self.file.append(&mut self.frame);
        self.is_dirty = true;
        self.frame.truncate(FRAME_HEAD_BYTES);
        self.frame.shrink_to(BUFFER_BYTES_KEPT);
        appended.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Layout, RealDisk};
    use crate::proto::model::epoch::Epoch;
    use crate::proto::model::name::ServerName;
    use crate::proto::node::{Identity, Neighbour};
    use crate::proto::store::update::{Offered, Reject, Source, Update};
    use crate::proto::wal::record::Record;

    /// Three lanes after the change 10.
    fn lanes(folder: &std::path::Path) -> Lanes {
        let server = ServerName::parse("Alford").unwrap();
        let layout = Layout { is_synced: false, lanes: 3 };
        let disk = Arc::new(RealDisk);
        let opened = Journal::open(folder, &server, layout, Epoch(1), disk, &mut |_, _| {}).unwrap();
        Lanes::new(opened.lanes, 10)
    }

    fn record(lane: &mut Taken<'_>, seqs: std::ops::RangeInclusive<u64>) {
        let (first, last) = (*seqs.start(), *seqs.end());
        let records = lane.begin(first);
        seqs.for_each(|seq| Record::Sighting(seq, b"AT A +1 kiwi +1+1 1\n").push_to(records));
        lane.recorded(last);
    }

    #[test]
    fn changes_are_durable_up_to_the_first_that_is_in_flight() {
        let folder = tempfile::tempdir().unwrap();
        let lanes = lanes(folder.path());
        let [mut a, mut b, mut c] = [lanes.take(), lanes.take(), lanes.take()];
        record(&mut a, 11..=12);
        record(&mut b, 13..=13);
        record(&mut c, 14..=16);
        assert_eq!((lanes.durable_seq(), lanes.recorded_seq()), (10, 16));
        for (lane, durable) in [(&mut b, 10), (&mut a, 13), (&mut c, 16)] {
            assert!(lane.write().unwrap());
            assert_eq!(lanes.durable_seq(), durable);
        }
        assert!(!a.write().unwrap(), "nothing is left");
        // A batch in which nothing is news has nothing in flight.
        a.begin(17);
        a.recorded(16);
        assert_eq!(lanes.durable_seq(), 16);
    }

    /// One sighting, or what a neighbour offers of it.
    struct One(Option<Offered>);

    impl Updates for One {
        fn get(&self, i: usize) -> Option<Update<'_>> {
            let line = b"AT Bolden +0.1 kiwi +34.1-118.2 1700000000\n";
            (i == 0 && self.0.is_none()).then(|| Update::from_stored(line, Source::CLIENT).unwrap())
        }

        fn reject(&mut self, _: usize, why: Reject) {
            unreachable!("{why:?}");
        }

        fn offered(&self) -> Option<&Offered> {
            self.0.as_ref()
        }
    }

    #[test]
    fn what_is_compared_with_what_others_have_merged_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let lanes = lanes(folder.path());
        let [me, bolden, parker] =
            ["Alford", "Bolden", "Parker"].map(|name| ServerName::parse(name).unwrap());
        let neighbours = [bolden, parker].map(Neighbour::herd).to_vec();
        let node = RwLock::new(Node::new(Arc::new(Identity::new(me, neighbours, Epoch(1)))));
        let offered = Offered { neighbour: 0, position: 1, hashes: Vec::new() };
        for (mut updates, needs) in [(One(None), 0), (One(None), 1), (One(Some(offered)), 1)] {
            let (_, lsn, written) = lanes.apply(&node, &mut updates);
            assert_eq!((lsn, written.unwrap()), (Lsn(needs), needs == 0));
        }
    }

    #[test]
    fn lane_that_has_failed_is_in_flight_until_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let lanes = lanes(folder.path());
        let [mut a, mut b] = [lanes.take(), lanes.take()];
        record(&mut a, 11..=11);
        record(&mut b, 12..=12);
        a.lane.file.distrust();
        assert!(a.write().is_err() && lanes.is_off());
        assert!(b.write().unwrap());
        assert_eq!(lanes.durable_seq(), 10);
        drop((a, b));
        lanes.write_left().unwrap();
        lanes.fail("full".into());
        lanes.turn_on(12);
        assert_eq!(lanes.durable_seq(), 10);
        // The lane goes on in another file, while the checkpoint is not whole.
        let [a, mut b] = [lanes.take(), lanes.take()];
        a.landed();
        record(&mut b, 13..=13);
        assert!(b.write().unwrap());
        assert_eq!(lanes.durable_seq(), 10);
        drop((a, b));
        lanes.recovered();
        assert_eq!(lanes.durable_seq(), 13);
    }

    #[test]
    fn what_a_thread_has_left_is_written_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let lanes = lanes(folder.path());
        record(&mut lanes.take(), 11..=12);
        let mut next = lanes.take();
        record(&mut next, 13..=13);
        assert_eq!(lanes.durable_seq(), 10);
        drop(next);
        lanes.write_left().unwrap();
        assert_eq!(lanes.watermark(), 13);
        assert_eq!(lanes.dirty_files().unwrap().len(), 1);
        assert!(lanes.dirty_files().unwrap().is_empty(), "what is flushed once is not flushed again");
    }
}
