//! The order in which records last changed, as a log of numbers that forgets what was overtaken.
//!
//! Every change gets the next number. A record that changes again leaves its older entry behind; such
//! overtaken entries are skipped by readers and swept out a chunk at a time, so that no single change ever
//! pays for a clean-up of everything and the log stays within about twice the number of records.

/// The entries of a chunk: enough that finding a position is a search among few chunks, few enough that
/// sweeping one is done in microseconds.
const CHUNK_ENTRIES: usize = 256;

/// A sweep of one chunk follows after this many changes, if the log has grown to twice the records. It
/// removes at least half of a chunk on average, so twice as many as have come since.
const SWEEP_EVERY: usize = CHUNK_ENTRIES / 4;

/// One change: its number, and the record that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it happened, counted from 1 in this server.
    pub number: u64,
    /// Which record it was, counted from 0.
    pub record: u32,
}

/// What a crash leaves, where it does not take everything. A kept change that is overtaken by one that is not comes
/// back with the crash, so the log has it until then, for those who walk past: see `hidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The changes up to this number.
    pub durable: u64,
    /// Those from there up to this number too, or some of them.
    pub written: u64,
}

/// The log of changes, oldest first.
#[derive(Debug, Default)]
pub struct ChangeLog {
    /// Complete chunks. None is empty, and none holds more than [`CHUNK_ENTRIES`].
    chunks: Vec<Vec<Change>>,
    /// The newest changes, until they are a chunk.
    newest: Vec<Change>,
    /// Emptied chunks kept for reuse, at most one: in steady state sweeping frees what changes need.
    spare: Option<Vec<Change>>,
    /// Entries of complete chunks.
    entries: usize,
    /// For every record the number of its last change: an entry with another number is overtaken.
    latest: Vec<u64>,
    last: u64,
    sweep_next: usize,
    kept: Flushed,
}

impl Default for Flushed {
    /// A crash takes everything, and the numbers with it, so that nothing comes back.
    fn default() -> Flushed {
        Flushed { durable: u64::MAX, written: u64::MAX }
    }
}

impl ChangeLog {
    /// The number of the last change; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Lets the numbers of the changes to come begin after `last`, if that has not been reached.
    pub fn resume_after(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// So much would be left by a crash now.
    pub fn keep(&mut self, kept: Flushed) {
        self.kept = kept;
    }

    /// The number of a record's last change.
    pub fn number_of(&self, record: u32) -> u64 {
        self.latest[record as usize]
    }

    /// Gives `record` the next number. Records are numbered in the order in which they first appear.
    pub fn push(&mut self, record: u32) {
        self.last += 1;
        match self.latest.get_mut(record as usize) {
            Some(latest) => *latest = self.last,
            None => self.latest.push(self.last),
        }
        self.newest.push(Change { number: self.last, record });
        if self.newest.len().is_multiple_of(SWEEP_EVERY) {
            self.tidy();
        }
    }

    /// The changes after `position`, oldest first, those that were overtaken among them.
    pub fn after(&self, position: u64) -> impl Iterator<Item = Change> + '_ {
        let begins_behind = |chunk: &Vec<Change>| chunk.first().is_some_and(|first| first.number <= position);
        let behind = self.chunks.partition_point(begins_behind) + usize::from(begins_behind(&self.newest));
        let chunks = &self.chunks[behind.saturating_sub(1)..];
        let first = chunks.first().unwrap_or(&self.newest);
        let skip = first.partition_point(|change| change.number <= position);
        chunks.iter().chain([&self.newest]).flatten().skip(skip).copied()
    }

    /// Whether this is still the last change of its record.
    pub fn is_latest(&self, change: Change) -> bool {
        self.latest[change.record as usize] == change.number
    }

    /// Makes a chunk of the newest changes when they are as many, and sweeps if the log has grown.
    #[cold]
    fn tidy(&mut self) {
        if self.entries + self.newest.len() > 2 * self.latest.len() + CHUNK_ENTRIES {
            self.sweep();
        }
        if self.newest.len() == CHUNK_ENTRIES {
            let next = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_ENTRIES));
            self.chunks.push(std::mem::replace(&mut self.newest, next));
            self.entries += CHUNK_ENTRIES;
        }
    }

    /// Removes the entries of the next chunk in turn that no crash brings back, and joins it to the one before if they
    /// fit. While nothing is kept any more, those that are left are as many as were there before, so they have a bound.
    fn sweep(&mut self) {
        if self.sweep_next >= self.chunks.len() {
            self.sweep_next = 0;
        }
        let at = self.sweep_next;
        let (latest, kept) = (&self.latest, self.kept);
        let chunk = &mut self.chunks[at];
        let before = chunk.len();
        // Every report pays for this, so what can come back is only asked for where there is something.
        if kept.durable >= self.last {
            chunk.retain(|change| latest[change.record as usize] == change.number);
        } else {
            chunk.retain(|change| {
                let overtaken_by = latest[change.record as usize];
                let comes_back = overtaken_by > kept.durable && change.number <= kept.written;
                overtaken_by == change.number || comes_back
            });
        }
        self.entries -= before - chunk.len();
        let joins = at > 0 && self.chunks[at - 1].len() + self.chunks[at].len() <= CHUNK_ENTRIES;
        if joins || self.chunks[at].is_empty() {
            let mut chunk = self.chunks.remove(at);
            if let Some(previous) = at.checked_sub(1) {
                self.chunks[previous].append(&mut chunk);
            }
            chunk.clear();
            self.spare = Some(chunk);
        } else {
            self.sweep_next += 1;
        }
    }
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
        let mut order = ChangeLog::default();
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut number_of: Vec<u64> = Vec::new();
        for step in 1..=changes {
            let known = number_of.len() as u32;
            let fresh = known < records && (known == 0 || rng.u32(..4) == 0);
            let few = rng.u32(..10) > 0;
            let record =
                if fresh { known } else { rng.u32(..if few { known.min(favourites) } else { known }) };
            order.push(record);
            if fresh {
                number_of.push(step as u64);
            } else {
                model.remove(&number_of[record as usize]);
                number_of[record as usize] = step as u64;
            }
            model.insert(step as u64, record);
            assert!(order.len() <= 3 * model.len() + 3 * CHUNK_ENTRIES, "the log has grown out of bounds");
            if step % 97 == 0 || step == changes {
                let position = rng.u64(..=order.last());
                let walked: Vec<_> =
                    order.after(position).filter(|&change| order.is_latest(change)).collect();
                let expected: Vec<_> =
                    model.range(position + 1..).map(|(&number, &record)| Change { number, record }).collect();
                assert_eq!(walked, expected, "after {position} of {}", order.last());
            }
        }
        assert_eq!(order.entries, order.chunks.iter().map(Vec::len).sum::<usize>());
        assert!(order.newest.len() < CHUNK_ENTRIES);
        assert!(order.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_ENTRIES));
    }

    #[test]
    fn a_walk_gives_exactly_what_changed_since_in_order() {
        for seed in 0..20 {
            check(seed, 50, 3_000, 50);
            check(seed, 2_000, 12_000, 5);
            check(seed, 600, 6_000, 600);
        }
    }

    #[test]
    fn a_kept_change_stays_until_what_has_overtaken_it_is_kept_too() {
        let mut order = ChangeLog::default();
        (0..1_000).for_each(|record| order.push(record));
        let walked = |order: &ChangeLog| order.after(0).filter(|change| change.number <= 1_000).count();
        order.keep(Flushed { durable: 900, written: 1_000 });
        // Again and again, as long as the disk has failed.
        for _ in 0..200 {
            (0..1_000).for_each(|record| order.push(record));
        }
        assert_eq!(walked(&order), 1_000);
        assert!(order.entries <= 5_000, "{} entries", order.entries);
        order.keep(Flushed { durable: order.last(), written: order.last() });
        (0..20).for_each(|_| (0..1_000).for_each(|record| order.push(record)));
        assert!(walked(&order) < 1_000 && order.entries <= 3_000 + 3 * CHUNK_ENTRIES, "{}", order.entries);
    }

    #[test]
    fn one_client_that_never_stops_keeps_the_log_small() {
        let mut order = ChangeLog::default();
        (0..5_000).for_each(|record| order.push(record));
        (0..200_000).for_each(|_| order.push(17));
        assert!(order.len() <= 3 * 5_000 + 3 * CHUNK_ENTRIES, "{} entries", order.len());
        assert_eq!(order.after(0).filter(|&change| order.is_latest(change)).count(), 5_000);
    }
}
