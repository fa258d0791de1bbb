//! The log of changes: the order in which records last changed.
//!
//! Every change gets the next sequence number. A record that changes again leaves its older entry behind; such
//! superseded entries are skipped by readers and swept out a chunk at a time, so that no single change ever
//! pays for a clean-up of everything and the log stays within about twice the number of records.

use std::collections::VecDeque;

use crate::proto::store::segments::Segments;

/// The entries of a chunk: enough that finding a position is a search among few chunks, few enough that
/// sweeping one is done in microseconds.
const CHUNK_ENTRIES: usize = 256;

/// A sweep of one chunk follows after this many changes, if the log has grown to twice the records. It
/// removes at least half of a chunk on average, so twice as many as have come since.
const SWEEP_EVERY: usize = CHUNK_ENTRIES / 4;

/// One change: its sequence number, and the record that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its sequence number, counted from 1 in this server.
    pub seq: u64,
    /// Which record it was, counted from 0.
    pub record: u32,
}

/// The durable watermark: what a crash leaves. A durable change that is superseded by one that is not durable comes
/// back with the crash, so the log keeps it until then, for the cursors that pass it: see
/// [`crate::proto::store::cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// A crash leaves the changes up to this sequence number.
    pub durable: u64,
    /// A crash may leave those from there up to this one too, or some of them.
    pub written: u64,
}

/// The log of changes, oldest first.
#[derive(Debug, Default)]
pub struct ChangeLog {
    /// The older of the complete chunks, which were swept since the sweep last began with the oldest. No complete chunk
    /// is empty, and none holds more than [`CHUNK_ENTRIES`].
    swept: Vec<Vec<Change>>,
    /// The complete chunks after them. A chunk is swept on its way from here to there, so that one which is joined to
    /// another leaves no gap: closing it would move all after it.
    unswept: VecDeque<Vec<Change>>,
    /// The newest changes, until they are a chunk.
    newest: Vec<Change>,
    /// An emptied chunk for reuse: in steady state sweeping frees what changes need.
    spare: Option<Vec<Change>>,
    /// Entries of complete chunks.
    entries: usize,
    /// For every record the sequence number of its last change: an entry with another one is superseded.
    latest: Segments<u64>,
    last_seq: u64,
    flushed: Flushed,
}

impl Default for Flushed {
    /// A crash takes everything, and the sequence numbers with it, so that nothing comes back.
    fn default() -> Flushed {
        Flushed { durable: u64::MAX, written: u64::MAX }
    }
}

impl ChangeLog {
    /// The sequence number of the last change; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Lets the sequence numbers of the changes to come begin after `last`, if that has not been reached.
    pub fn resume_after(&mut self, last: u64) {
        self.last_seq = self.last_seq.max(last);
    }

    /// Sets the durable watermark: what a crash now would leave.
    pub fn set_flushed(&mut self, flushed: Flushed) {
        self.flushed = flushed;
    }

    /// What a crash now would leave, as was last said.
    pub fn flushed(&self) -> Flushed {
        self.flushed
    }

    /// The sequence number of a record's last change.
    pub fn seq_of(&self, record: u32) -> u64 {
        self.latest[record]
    }

    /// Gives `record` the next sequence number. Records are numbered in the order in which they first appear.
    #[inline(always)]
    pub fn push(&mut self, record: u32) {
        self.last_seq += 1;
        if record as usize == self.latest.len() {
            self.latest.add();
        }
        self.latest[record] = self.last_seq;
        self.newest.push(Change { seq: self.last_seq, record });
        if self.newest.len().is_multiple_of(SWEEP_EVERY) {
            self.tidy();
        }
    }

    /// A record is vacant from now on: its changes are no more. The next change of this number is that of another.
    pub fn vacate(&mut self, record: u32) {
        self.latest[record] = 0;
    }

    /// The bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        (self.swept.len() + self.unswept.len() + 2) * CHUNK_ENTRIES * size_of::<Change>()
            + self.latest.len() * size_of::<u64>()
    }

    /// The changes after `position`, oldest first, those that were superseded among them.
    pub fn after(&self, position: u64) -> impl Iterator<Item = Change> + '_ {
        let begins_behind = |chunk: &Vec<Change>| chunk.first().is_some_and(|first| first.seq <= position);
        let (swept, unswept) =
            (self.swept.partition_point(begins_behind), self.unswept.partition_point(begins_behind));
        let behind = swept + unswept + usize::from(begins_behind(&self.newest));
        let chunks = self.chunks().skip(behind.saturating_sub(1));
        let first = chunks.clone().next().unwrap_or(&self.newest);
        let skip = first.partition_point(|change| change.seq <= position);
        chunks.flatten().skip(skip).copied()
    }

    /// The changes, those that were superseded among them: the chunk with the newest ones first, and the newest one at
    /// its end.
    pub fn newest_chunks(&self) -> impl Iterator<Item = &[Change]> {
        self.chunks().rev().map(Vec::as_slice)
    }

    /// All chunks, oldest first.
    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Vec<Change>> + Clone {
        self.swept.iter().chain(&self.unswept).chain([&self.newest])
    }

    /// The last change, unless none has come or its record is vacant.
    pub fn newest(&self) -> Option<Change> {
        let complete = || self.unswept.back().or_else(|| self.swept.last())?.last();
        let newest = self.newest.last().or_else(complete)?;
        self.is_latest(*newest).then_some(*newest)
    }

    /// Whether this is still the last change of its record.
    pub fn is_latest(&self, change: Change) -> bool {
        self.latest[change.record] == change.seq
    }

    /// Makes a chunk of the newest changes when they are as many, and sweeps if the log has grown.
    #[cold]
    fn tidy(&mut self) {
        if self.entries + self.newest.len() > 2 * self.latest.len() + CHUNK_ENTRIES {
            self.sweep();
        }
        if self.newest.len() == CHUNK_ENTRIES {
            let next = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_ENTRIES));
            self.unswept.push_back(std::mem::replace(&mut self.newest, next));
            self.entries += CHUNK_ENTRIES;
        }
    }

    /// Removes the entries of the next chunk in turn that no crash brings back, and joins it to the one before if they
    /// fit. While nothing more becomes durable, the entries that are left are those that were there before, so they
    /// have a bound.
    fn sweep(&mut self) {
        if self.unswept.is_empty() {
            self.unswept = std::mem::take(&mut self.swept).into();
        }
        let Some(mut chunk) = self.unswept.pop_front() else { return };
        let (latest, flushed) = (&self.latest, self.flushed);
        let before = chunk.len();
        // Every report pays for this, so whether an entry can come back is only asked where some can.
        if flushed.durable >= self.last_seq {
            retain(&mut chunk, |change| latest[change.record] == change.seq);
        } else {
            retain(&mut chunk, |change| {
                let superseded_by = latest[change.record];
                let comes_back = superseded_by > flushed.durable && change.seq <= flushed.written;
                superseded_by == change.seq || comes_back
            });
        }
        self.entries -= before - chunk.len();
        match self.swept.last_mut() {
            Some(previous) if previous.len() + chunk.len() <= CHUNK_ENTRIES => {
                previous.append(&mut chunk);
                self.spare = Some(chunk);
            }
            Some(_) | None if chunk.is_empty() => self.spare = Some(chunk),
            Some(_) | None => self.swept.push(chunk),
        }
    }
}

/// Retains the changes that are wanted, without a jump that depends on one: which are is as random as the records that
/// changed, and the processor looks several of these up at once if it need not guess.
#[inline(always)]
fn retain(chunk: &mut Vec<Change>, is_wanted: impl Fn(Change) -> bool) {
    let mut retained = 0;
    for at in 0..chunk.len() {
        let change = chunk[at];
        chunk[retained] = change;
        retained += usize::from(is_wanted(change));
    }
    chunk.truncate(retained);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    impl ChangeLog {
        fn len(&self) -> usize {
            self.entries + self.newest.len()
        }
    }

    /// Drives the log and a plain map side by side with `changes` changes to `records` records.
    fn check(seed: u64, records: u32, changes: usize, favourites: u32) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut log = ChangeLog::default();
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut seq_of: Vec<u64> = Vec::new();
        for step in 1..=changes {
            let known = seq_of.len() as u32;
            let fresh = known < records && (known == 0 || rng.u32(..4) == 0);
            let few = rng.u32(..10) > 0;
            let record =
                if fresh { known } else { rng.u32(..if few { known.min(favourites) } else { known }) };
            log.push(record);
            if fresh {
                seq_of.push(step as u64);
            } else {
                model.remove(&seq_of[record as usize]);
                seq_of[record as usize] = step as u64;
            }
            model.insert(step as u64, record);
            assert!(log.len() <= 3 * model.len() + 3 * CHUNK_ENTRIES, "the log has grown out of bounds");
            if step % 97 == 0 || step == changes {
                let position = rng.u64(..=log.last_seq());
                let scanned: Vec<_> = log.after(position).filter(|&change| log.is_latest(change)).collect();
                let expected: Vec<_> =
                    model.range(position + 1..).map(|(&seq, &record)| Change { seq, record }).collect();
                assert_eq!(scanned, expected, "after {position} of {}", log.last_seq());
                let all = log.newest_chunks().flat_map(|chunk| chunk.iter().rev()).copied();
                let newest = all.filter(|&change| log.is_latest(change));
                assert!(newest.map(|change| change.seq).eq(model.keys().rev().copied()));
            }
        }
        let complete = || log.swept.iter().chain(&log.unswept);
        assert_eq!(log.entries, complete().map(Vec::len).sum::<usize>());
        assert!(log.newest.len() < CHUNK_ENTRIES);
        assert!(complete().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_ENTRIES));
    }

    #[test]
    fn changes_since_any_position_are_given_once_in_order() {
        for seed in 0..20 {
            check(seed, 50, 3_000, 50);
            check(seed, 2_000, 12_000, 5);
            check(seed, 600, 6_000, 600);
        }
    }

    #[test]
    fn durable_change_stays_until_what_superseded_it_is_durable() {
        let mut log = ChangeLog::default();
        (0..1_000).for_each(|record| log.push(record));
        let scanned = |log: &ChangeLog| log.after(0).filter(|change| change.seq <= 1_000).count();
        log.set_flushed(Flushed { durable: 900, written: 1_000 });
        // Every record changes again and again while the disk has failed.
        for _ in 0..200 {
            (0..1_000).for_each(|record| log.push(record));
        }
        assert_eq!(scanned(&log), 1_000);
        assert!(log.entries <= 5_000, "{} entries", log.entries);
        log.set_flushed(Flushed { durable: log.last_seq(), written: log.last_seq() });
        (0..20).for_each(|_| (0..1_000).for_each(|record| log.push(record)));
        assert!(scanned(&log) < 1_000 && log.entries <= 3_000 + 3 * CHUNK_ENTRIES, "{}", log.entries);
    }

    #[test]
    fn log_stays_small_while_one_client_never_stops() {
        let mut log = ChangeLog::default();
        (0..5_000).for_each(|record| log.push(record));
        (0..200_000).for_each(|_| log.push(17));
        assert!(log.len() <= 3 * 5_000 + 3 * CHUNK_ENTRIES, "{} entries", log.len());
        assert_eq!(log.after(0).filter(|&change| log.is_latest(change)).count(), 5_000);
    }
}
