//! What a server knows of every client: last writer wins, and what changed since.
//!
//! Updates are totally ordered ([`Update::cmp_stored`]), so arrival order, duplicates and replays do not matter:
//! flooding, catching up, restoring and simulating are all one operation. Records are never removed.

pub mod change_log;
pub mod cursor;
pub mod digest;
pub(crate) mod hasher;
pub(crate) mod record;
pub mod update;

use std::cmp::Ordering;

use hashbrown::HashTable;

use crate::proto::model::time::Moment;
use crate::proto::store::change_log::{ChangeLog, Flushed};
use crate::proto::store::digest::{BUCKETS, Bucket, Digest, record_hash};
use crate::proto::store::hasher::NameHasher;
use crate::proto::store::record::{InlineLine, Record};
use crate::proto::store::update::{Reject, Source, Update, narrow, trimmed};

/// The most clients that are stored if nothing else is asked for: 2.5 GB, as 255 bytes were measured for each of two
/// million with real reports.
pub const CLIENTS_MAX: usize = 10_000_000;

/// The most clients that may be asked for; records are numbered with 32 bits.
pub const CLIENTS_CEILING: usize = 1_000_000_000;

/// With room for this many new clients or fewer a store is near its capacity: the original lines of reports are then
/// retained until they are merged, because they may have to be copied back. More reports than these are hardly ever
/// between their parsing and their merging.
const NEAR_CAPACITY_CLIENTS: usize = 16 * 1024;

/// The most records that one scan copies: what a link holds the lock for.
pub const SCAN_RECORDS_MAX: usize = 64;

/// The most entries of the log that one scan looks at, those included that are skipped.
pub(crate) const SCAN_ENTRIES_MAX: usize = 4 * SCAN_RECORDS_MAX;

/// The most records that one scan of buckets looks at, nearly all of which are in other buckets.
const BUCKET_SCAN_RECORDS_MAX: usize = 16 * SCAN_RECORDS_MAX;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is stored.
    Applied,
    /// It was known, or what is stored is later.
    Outdated,
    /// It is not stored, for this reason.
    Rejected(Reject),
}

/// Everything that a server knows.
#[derive(Debug)]
pub struct Store {
    clients_max: usize,
    /// From the hash of a client's name to its record.
    table: HashTable<Slot>,
    hasher: NameHasher,
    records: Vec<Record>,
    log: ChangeLog,
    digest: Digest,
    line_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    record: u32,
}

impl Store {
    /// A store that knows nothing.
    pub fn new() -> Store {
        Store {
            clients_max: CLIENTS_MAX,
            table: HashTable::new(),
            hasher: NameHasher::random(),
            records: Vec::new(),
            log: ChangeLog::default(),
            digest: Digest::empty(),
            line_bytes: 0,
        }
    }

    /// Caps the clients that may register themselves. Replicated clients are never capped.
    #[must_use]
    pub fn bounded(self, clients_max: usize) -> Store {
        Store { clients_max, ..self }
    }

    /// Stores the update if it is greater than what is stored of its client, or the first of its client.
    pub fn merge(&mut self, update: &Update<'_>) -> Merged {
        let client = &update.line[update.client.0..update.client.1];
        let hash = self.hasher.hash(client);
        match self.find(hash, client) {
            Some(record) if self.replace(record, update) => Merged::Applied,
            Some(_) => Merged::Outdated,
            None if update.source == Source::CLIENT && self.records.len() >= self.clients_max => {
                Merged::Rejected(Reject::TooManyClients)
            }
            None => {
                self.insert(hash, update.line, update.client, update.moment, update.source);
                Merged::Applied
            }
        }
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
        self.line_bytes
    }

    /// The `AT` line of a client, with its line feed.
    pub fn line_of(&self, client: &[u8]) -> Option<&[u8]> {
        let hash = self.hasher.hash(client);
        self.find(hash, client).map(|record| self.records[record as usize].line.bytes())
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether new clients are rejected soon, or now, because nearly as many are known as may be.
    pub fn is_near_capacity(&self) -> bool {
        self.records.len().saturating_add(NEAR_CAPACITY_CLIENTS) >= self.clients_max
    }

    /// Whether no client is known.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The sequence number of the last change; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.log.last_seq()
    }

    /// The fingerprint of everything that is known.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Appends the lines of at most [`SCAN_RECORDS_MAX`] records of the chosen buckets whose last change is `durable`,
    /// from the record with the index `from` on; returns the index of the next one to look at, or `None` after the
    /// last.
    pub fn scan_buckets(
        &self,
        chosen: &[bool; BUCKETS],
        from: usize,
        durable: u64,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut copied = 0;
        for (index, record) in self.records.iter().enumerate().skip(from).take(BUCKET_SCAN_RECORDS_MAX) {
            if copied == SCAN_RECORDS_MAX {
                return Some(index);
            }
            if chosen[usize::from(record.bucket.0)] && self.log.seq_of(index as u32) <= durable {
                out.extend_from_slice(record.line.bytes());
                copied += 1;
            }
        }
        let next = from + BUCKET_SCAN_RECORDS_MAX;
        (next < self.records.len()).then_some(next)
    }

    /// The record of the client with this name, which has this hash.
    #[inline(always)]
    fn find(&self, hash: u64, client: &[u8]) -> Option<u32> {
        // Two names have one hash once in 2^64 times, so names are compared when the search is over.
        let record = self.table.find(hash, |slot| slot.hash == hash)?.record;
        if self.records[record as usize].client() == client {
            Some(record)
        } else {
            self.find_other(hash, client)
        }
    }

    /// Finds the record where another name has the same hash.
    #[cold]
    fn find_other(&self, hash: u64, client: &[u8]) -> Option<u32> {
        let same = |slot: &Slot| slot.hash == hash && self.records[slot.record as usize].client() == client;
        self.table.find(hash, same).map(|slot| slot.record)
    }

    /// Replaces what is stored of a client if the update is greater.
    fn replace(&mut self, index: u32, update: &Update<'_>) -> bool {
        let record = &mut self.records[index as usize];
        if update.cmp_stored(record.moment, &record.line) != Ordering::Greater {
            return false;
        }
        let digest = record_hash(update.text());
        self.digest.replace(record.bucket, record.digest, digest);
        self.line_bytes = self.line_bytes + update.line.len() as u64 - record.line.len() as u64;
        record.line.set(update.line);
        record.client = narrow(update.client);
        record.moment = update.moment;
        record.source = update.source;
        record.digest = digest;
        self.log.push(index);
        true
    }

    /// Takes the parts of an update, because an update that is passed on as a whole has to be put together first.
    #[inline(never)]
    fn insert(&mut self, hash: u64, line: &[u8], client: (usize, usize), moment: Moment, source: Source) {
        let bucket = Bucket::of(&line[client.0..client.1]);
        let digest = record_hash(trimmed(line));
        let index = self.records.len() as u32;
        self.line_bytes += line.len() as u64;
        self.records.push(Record {
            line: InlineLine::new(line),
            client: narrow(client),
            moment,
            source,
            digest,
            bucket,
        });
        self.table.insert_unique(hash, Slot { hash, record: index }, |slot| slot.hash);
        self.digest.replace(bucket, 0, digest);
        self.log.push(index);
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Store {
        /// Replaces a record that is known, without making it a change that any follower is told of.
        pub(crate) fn plant(&mut self, line: &[u8]) {
            let (told, _) = crate::proto::model::sighting::at_line(line).unwrap();
            let moment = told.time.moment();
            let client = told.client.0.as_bytes();
            let Some(record) = self.records.iter_mut().find(|record| record.client() == client) else {
                return;
            };
            let start = line.len() - told.time.text().len() - told.location.text().len() - client.len() - 3;
            let digest = record_hash(trimmed(line));
            self.digest.replace(record.bucket, record.digest, digest);
            record.line.set(line);
            record.client = start as u32..(start + client.len()) as u32;
            (record.moment, record.digest) = (moment, digest);
        }
    }
}
