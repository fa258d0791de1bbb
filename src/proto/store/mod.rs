//! What a server knows of every client: last writer wins, and what changed since.
//!
//! Updates are totally ordered ([`Update::cmp_stored`]), so arrival order, duplicates and replays do not matter:
//! flooding, catching up, restoring and simulating are all one operation. A record is removed when it expires, which is
//! decided by what stands in it and a cut-off that servers tell each other: see [`expiry`].

pub mod bounds;
pub mod change_log;
pub mod cursor;
pub mod departed;
pub mod digest;
pub mod expiry;
pub(crate) mod hasher;
mod index;
pub mod newest;
pub(crate) mod record;
mod segments;
pub mod terms;
mod totals;
pub mod update;

use std::cmp::Ordering;
use std::hint::black_box;

use crate::proto::model::era::Era;
use crate::proto::model::stored_line::{Life, at_part};
use crate::proto::model::time::Moment;
use crate::proto::store::bounds::{Bounds, NEAR_CAPACITY_BYTES, NEAR_CAPACITY_CLIENTS};
use crate::proto::store::change_log::{ChangeLog, Flushed};
use crate::proto::store::digest::{BUCKETS, Bucket, Digest};
use crate::proto::store::expiry::{Expiry, SWEEP_RECORDS_MAX};
use crate::proto::store::index::Index;
pub(crate) use crate::proto::store::index::Place;
use crate::proto::store::record::{Record, SHORT_BYTES_MAX};
use crate::proto::store::segments::Segments;
use crate::proto::store::totals::Totals;
pub use crate::proto::store::update::Merged;
use crate::proto::store::update::{MergeRule, Meta, Reject, Source, Span, Update, Updates};

/// The most records that one scan copies: what a link holds the lock for.
pub const SCAN_RECORDS_MAX: usize = 64;

/// The most records that one scan of buckets looks at, nearly all of which are in other buckets.
const BUCKET_SCAN_RECORDS_MAX: usize = 16 * SCAN_RECORDS_MAX;

/// The most updates of a batch whose records are looked up before the first of them is merged: what of these records is
/// read stays in the nearest cache of a processor until then.
pub(crate) const PLACES_MAX: usize = 64;

/// The clients from which on records are looked up ahead: they take eight megabytes then, more than the caches of one
/// processor have. In a smaller store the second look at a record would cost more than the wait that it saves.
pub(crate) const LOOK_AHEAD_CLIENTS_MIN: usize = 32 * 1024;

/// Everything that a server knows.
#[derive(Debug, Default)]
pub struct Store {
    /// What clients may register.
    pub bounds: Bounds,
    index: Index,
    records: Segments<Record>,
    log: ChangeLog,
    totals: Totals,
    /// The records that are vacant.
    vacant: Segments<u32>,
    /// How far expiry has come.
    pub expiry: Expiry,
}

impl Store {
    /// A store that knows nothing.
    pub fn new() -> Store {
        Store::default()
    }

    /// Bounds the clients that may register themselves. Replicated clients are never refused.
    #[must_use]
    pub fn bounded(self, bounds: Bounds) -> Store {
        Store { bounds, ..self }
    }

    /// Stores the update if it is greater than what is stored of its client, or the first of its client.
    pub fn merge(&mut self, update: &Update<'_>) -> Merged {
        self.merge_at(None, update)
    }

    /// Finds the records of the updates from the index `from` on, at most [`PLACES_MAX`], and reads a little of each
    /// of them: what is in no cache comes from memory at once for all, and not for one after the other while they are
    /// merged. The first place is the last in the list. There are none where that is not worth it.
    pub(crate) fn look_ahead<U: Updates + ?Sized>(&self, updates: &U, from: usize, places: &mut Vec<Place>) {
        places.clear();
        if self.index.len() < LOOK_AHEAD_CLIENTS_MIN || updates.get(from + 1).is_none() {
            return;
        }
        let updates = (from..from + PLACES_MAX).map_while(|at| updates.get(at));
        places.extend(updates.map(|update| self.index.place_of(update.client())));
        places.reverse();
        let known = places.iter().filter_map(|place| place.record);
        let read = |record| self.records[record].touched().wrapping_add(self.log.seq_of(record));
        black_box(known.fold(0, |sum, record| u64::wrapping_add(sum, read(record))));
    }

    /// Merges an update, whose place may have been looked up in this batch.
    #[inline(always)]
    pub(crate) fn merge_at(&mut self, place: Option<Place>, update: &Update<'_>) -> Merged {
        if self.expiry.cutoff_s() > 0 && self.expiry.has_update_expired(update) {
            return Merged::Outdated;
        }
        let client = update.client();
        let Place { hash, record } = place.unwrap_or_else(|| self.index.place_of(client));
        let Some(index) = record else {
            // The client may have come with an update of the same batch.
            return if place.is_none() { self.register(hash, update) } else { self.merge_any(hash, update) };
        };
        let record = &mut self.records[index];
        if record.client() != client {
            return self.merge_any(hash, update);
        }
        let is_short = update.line.len() <= SHORT_BYTES_MAX;
        if is_short && record.era.0 | update.era.0 == 0 && update.is_later_than(record.meta.moment) {
            self.totals.replace(record, update);
            self.log.push(index);
            return Merged::Applied;
        }
        self.merge_known(index, update)
    }

    /// Merges an update that a journal holds with this sequence number.
    pub fn restore(&mut self, seq: u64, update: &Update<'_>) -> Merged {
        self.log.resume_after(seq.saturating_sub(1));
        self.merge(update)
    }

    /// Lets the sequence numbers of the changes to come begin after `last`.
    pub fn resume_after(&mut self, last: u64) {
        self.log.resume_after(last);
    }

    /// Sets the durable watermark: what a crash now would leave. Until first called, a crash loses everything.
    pub fn set_flushed(&mut self, flushed: Flushed) {
        self.log.set_flushed(flushed);
    }

    /// The bytes of all lines.
    pub fn line_bytes(&self) -> u64 {
        self.totals.line_bytes
    }

    /// The `AT` line of a client, with its line feed; `None` if it is unknown or forgotten.
    pub fn line_of(&self, client: &[u8]) -> Option<&[u8]> {
        self.stored_line_of(client).and_then(at_part)
    }

    /// What is stored of a client, in the form of [`crate::proto::model::stored_line`] with its line feed.
    pub fn stored_line_of(&self, client: &[u8]) -> Option<&[u8]> {
        self.change_at(self.record_of(client)?).map(|(_, line)| line)
    }

    /// The number of a client's record.
    pub fn record_of(&self, client: &[u8]) -> Option<u32> {
        self.find(self.index.hash(client), client)
    }

    /// The stored line of the record with this number, with its line feed, and the sequence number of its last change;
    /// `None` if it is vacant.
    pub fn change_at(&self, record: u32) -> Option<(u64, &[u8])> {
        let line = self.records.get(record).map(|record| record.line.bytes());
        line.filter(|line| !line.is_empty()).map(|line| (self.log.seq_of(record), line))
    }

    /// The stored line of the last change, with its line feed.
    pub fn newest_line(&self) -> Option<&[u8]> {
        self.log.newest().map(|change| self.records[change.record].line.bytes())
    }

    /// The names of the clients whose stored time is after this.
    pub fn clients_after(&self, latest: Moment) -> impl Iterator<Item = &[u8]> {
        self.records.iter_from(0).filter(move |record| record.meta.moment > latest).map(Record::client)
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.index.len() - self.totals.tombstones
    }

    /// How many forgotten clients are remembered as such.
    pub fn tombstones(&self) -> usize {
        self.totals.tombstones
    }

    /// The bytes of memory that all this takes, nearly, with an index beside it.
    pub fn memory_bytes(&self) -> u64 {
        let records = self.records.len() * (size_of::<Record>() + self.bounds.index_bytes_per_client);
        (records
            + self.totals.outside_bytes
            + Index::memory_bytes(self.index.len())
            + self.log.memory_bytes()) as u64
    }

    /// Whether new clients are rejected soon, or now, because nearly as many are known as may be.
    pub fn is_near_capacity(&self) -> bool {
        let clients = self.index.len() + NEAR_CAPACITY_CLIENTS;
        self.bounds.rejects(clients, self.memory_bytes() + NEAR_CAPACITY_BYTES).is_some()
    }

    /// Whether no client is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence number of the last change; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.log.last_seq()
    }

    /// The hash of the record that was merged last, as it is in the digest.
    pub(crate) fn newest_hash(&self) -> u64 {
        self.totals.newest_hash
    }

    /// The fingerprint of everything that is known.
    pub fn digest(&self) -> &Digest {
        &self.totals.digest
    }

    /// Appends the lines of at most [`SCAN_RECORDS_MAX`] records of the chosen buckets whose last change is `durable`,
    /// from the record `from` on; returns the number of the next one to look at, or `None` after the last.
    pub fn scan_buckets(
        &self,
        chosen: &[bool; BUCKETS],
        from: usize,
        durable: u64,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut copied = 0;
        for (index, record) in (from..from + BUCKET_SCAN_RECORDS_MAX).zip(self.records.iter_from(from)) {
            if copied == SCAN_RECORDS_MAX {
                return Some(index);
            }
            let is_chosen = chosen[usize::from(record.bucket.0)] && !record.is_vacant();
            if is_chosen && self.log.seq_of(index as u32) <= durable {
                out.extend_from_slice(record.line.bytes());
                copied += 1;
            }
        }
        Some(from + BUCKET_SCAN_RECORDS_MAX).filter(|&next| next < self.records.len())
    }

    /// Drops what has expired of the next [`SWEEP_RECORDS_MAX`] records, if there is anything to look for. Returns how
    /// many records were dropped, and whether there is more to look at.
    pub fn sweep(&mut self) -> (usize, bool) {
        let Some(from) = self.expiry.next_to_sweep() else { return (0, false) };
        let to = self.records.len().min(from + SWEEP_RECORDS_MAX);
        let has_expired =
            |index: &u32| self.change_at(*index).is_some_and(|(_, line)| self.expiry.has_expired(line));
        let expired: Vec<u32> = (from as u32..to as u32).filter(has_expired).collect();
        expired.iter().for_each(|&index| self.remove(index));
        let has_more = to < self.records.len();
        self.expiry.swept_to(has_more.then_some(to));
        (expired.len(), has_more)
    }

    /// The record of the client with this name, which has this hash.
    fn find(&self, hash: u64, client: &[u8]) -> Option<u32> {
        self.index.find_if(hash, |record| self.records[record].client() == client)
    }

    /// Stores the first update of a client, if that may register itself.
    #[inline(never)]
    fn register(&mut self, hash: u64, update: &Update<'_>) -> Merged {
        match self.rejects(update) {
            Some(why) => Merged::Rejected(why),
            None => self.insert(hash, update),
        }
    }

    /// Merges an update of a client whose record must be told from others with the same hash, if it has one.
    #[cold]
    fn merge_any(&mut self, hash: u64, update: &Update<'_>) -> Merged {
        match self.find(hash, update.client()) {
            Some(index) => self.merge_known(index, update),
            None => self.register(hash, update),
        }
    }

    /// Merges an update into a record that it does not plainly replace.
    #[inline(never)]
    fn merge_known(&mut self, index: u32, update: &Update<'_>) -> Merged {
        let record = &self.records[index];
        if self.outgrows(index, update) {
            Merged::Rejected(Reject::OutOfMemory)
        } else if record.era.0 | update.era.0 != 0 {
            self.merge_into_era(index, update)
        } else if update.cmp_stored(Era::FIRST, record.meta.moment, &record.line) == Ordering::Greater {
            self.replace_with(index, update);
            Merged::Applied
        } else {
            self.not_greater(index, update)
        }
    }

    /// Merges an update where it or what is stored is of a later era than the first.
    #[cold]
    fn merge_into_era(&mut self, index: u32, update: &Update<'_>) -> Merged {
        let record = &self.records[index];
        if record.has_forgotten(update)
            || update.cmp_stored(record.era, record.meta.moment, &record.line) != Ordering::Greater
        {
            return self.not_greater(index, update);
        }
        let (life, was_tombstone) = (record.life(), record.is_tombstone());
        match update.rule {
            MergeRule::LaterTime => self.put_in_era(index, life, update),
            MergeRule::GreaterSighting => {
                let is_tombstone = at_part(update.line).is_none();
                self.totals.tombstones =
                    self.totals.tombstones + usize::from(is_tombstone) - usize::from(was_tombstone);
                self.replace_with(index, update);
                Merged::Applied
            }
        }
    }

    /// An update that is not greater than what is stored is outdated, unless what is stored blocks a report: then that
    /// begins an era.
    #[cold]
    fn not_greater(&mut self, index: u32, update: &Update<'_>) -> Merged {
        let record = &self.records[index];
        match self.bounds.blocked_at_s(record.meta.moment, update) {
            Some(received_s) => {
                let life = Life { era: record.era.next(received_s), forgotten: record.report_hash() };
                self.put_in_era(index, life, update)
            }
            None => Merged::Outdated,
        }
    }

    /// Stores a report in an era.
    fn put_in_era(&mut self, index: u32, life: Life, update: &Update<'_>) -> Merged {
        let mut line = Vec::new();
        life.push_to(&mut line);
        let Span { start, end } = update.meta.client;
        let client = Span { start: start + line.len() as u32, end: end + line.len() as u32 };
        line.extend_from_slice(update.line);
        self.totals.tombstones -= usize::from(self.records[index].is_tombstone());
        let meta = Meta { client, ..update.meta };
        self.replace_with(index, &Update { line: &line, meta, era: life.era, ..*update });
        Merged::AppliedInEra
    }

    /// Replaces what is stored of a client.
    fn replace_with(&mut self, index: u32, update: &Update<'_>) {
        self.totals.replace(&mut self.records[index], update);
        self.log.push(index);
    }

    /// Why a client may not register itself, if so.
    fn rejects(&self, update: &Update<'_>) -> Option<Reject> {
        if update.meta.source != Source::CLIENT {
            return None;
        }
        let growth = Index::memory_bytes(1) + size_of::<Record>() + update.line.len();
        self.bounds.rejects(self.index.len(), self.memory_bytes() + growth as u64)
    }

    /// Whether the report of a known client takes more memory than before, and there is none.
    fn outgrows(&self, index: u32, update: &Update<'_>) -> bool {
        update.line.len() > SHORT_BYTES_MAX
            && update.meta.source == Source::CLIENT
            && update.line.len() > self.records[index].line.len()
            && self.memory_bytes() + update.line.len() as u64 > self.bounds.memory_bytes_max
    }

    /// Stores the first update of a client.
    fn insert(&mut self, hash: u64, update: &Update<'_>) -> Merged {
        let index = self.vacant.pop().unwrap_or_else(|| self.records.add());
        let record = &mut self.records[index];
        record.bucket = Bucket::of(update.client());
        self.totals.replace(record, update);
        self.totals.tombstones += usize::from(record.is_tombstone());
        self.index.insert(hash, index);
        self.log.push(index);
        Merged::Applied
    }

    /// Removes a record: nothing is known of its client any more.
    fn remove(&mut self, index: u32) {
        let record = std::mem::take(&mut self.records[index]);
        self.index.remove(self.index.hash(record.client()), index);
        self.totals.remove(&record);
        if !record.is_tombstone() {
            self.expiry.departed.push(self.log.last_seq(), index, record.client());
        }
        self.log.vacate(index);
        let vacant = self.vacant.add();
        self.vacant[vacant] = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::digest::record_hash;
    use crate::proto::store::update::trimmed;

    impl Store {
        /// Replaces a record that is known, without making it a change that any follower is told of.
        pub(crate) fn plant(&mut self, line: &[u8]) {
            let (told, _) = crate::proto::model::sighting::at_line(line).unwrap();
            let moment = told.time.moment();
            let client = told.client.0.as_bytes();
            let Some(index) = self.record_of(client) else { return };
            let record = &mut self.records[index];
            let start = line.len() - told.time.text().len() - told.location.text().len() - client.len() - 3;
            let digest = record_hash(trimmed(line));
            self.totals.digest.replace(record.bucket, record.digest, digest);
            record.line.set(line);
            record.meta = Meta { client: Span::new(start, start + client.len()), moment, ..record.meta };
            record.digest = digest;
        }
    }
}
