//! What a server knows of every client: last writer wins, and what changed since.
//!
//! The merge is a total order, so arrival order, duplicates and replays do not matter: flooding, catching
//! up, restoring and simulating are all one operation. Records are never removed.

pub mod change_log;
pub mod cursor;
pub mod digest;
pub(crate) mod hasher;
pub(crate) mod record;
pub mod update;

use hashbrown::HashTable;

use crate::proto::model::time::Moment;
use crate::proto::store::change_log::{ChangeLog, Flushed};
use crate::proto::store::cursor::{Scanned, SupersededRange};
use crate::proto::store::digest::{BUCKETS, Bucket, Digest, record_hash};
use crate::proto::store::hasher::Seed;
use crate::proto::store::record::{InlineLine, Record};
use crate::proto::store::update::{Source, Update, narrow, trimmed, wins_tie};

/// The most clients kept if nothing else is asked for: 2.5 GB, as 255 bytes were measured for each of two million
/// with real reports.
pub const CLIENTS_MAX: usize = 10_000_000;

/// The most clients that may be asked for; records are numbered with 32 bits.
pub const CLIENTS_CEILING: usize = 1_000_000_000;

/// Room for so many new clients or fewer is little: the lines of reports are then kept until they are merged, for
/// they may have to be copied back. More reports than these are hardly ever between their parsing and their merging.
const CROWDED_CLIENTS: usize = 16 * 1024;

/// The most records of one walk step: what a link holds the lock for.
pub const SCAN_RECORDS_MAX: usize = 64;

/// The most log entries that one walk step looks at, those included that are skipped.
const SCAN_ENTRIES_MAX: usize = 4 * SCAN_RECORDS_MAX;

/// The most records that one step of a repair looks at, nearly all of which are in other buckets.
const REPAIR_RECORDS_MAX: usize = 16 * SCAN_RECORDS_MAX;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is stored.
    News,
    /// It was known, or overtaken.
    Stale,
    /// A client reported itself that is new here, and as many as may be are known.
    Refused,
}

/// Everything that a server knows.
#[derive(Debug)]
pub struct Store {
    clients_max: usize,
    /// From the hash of a client's name to its record; the hash is seeded, so that nobody can aim at it.
    table: HashTable<Slot>,
    seed: Seed,
    records: Vec<Record>,
    order: ChangeLog,
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
            seed: Seed::random(),
            records: Vec::new(),
            order: ChangeLog::default(),
            digest: Digest::empty(),
            line_bytes: 0,
        }
    }

    /// The same, where so many clients may bring themselves in. What neighbours tell is always kept.
    #[must_use]
    pub fn bounded(self, clients_max: usize) -> Store {
        Store { clients_max, ..self }
    }

    /// Stores the entry if it is news.
    pub fn merge(&mut self, entry: &Update<'_>) -> Merged {
        let client = &entry.line[entry.client.0..entry.client.1];
        let hash = self.seed.hash(client);
        match self.find(hash, client) {
            Some(record) if self.update(record, entry) => Merged::News,
            Some(_) => Merged::Stale,
            None if entry.teller == Source::CLIENT && self.records.len() >= self.clients_max => {
                Merged::Refused
            }
            None => {
                self.insert(hash, entry.line, entry.client, entry.moment, entry.teller);
                Merged::News
            }
        }
    }

    /// Merges what a journal holds, which had this number.
    pub fn restore(&mut self, number: u64, entry: &Update<'_>) -> Merged {
        self.order.resume_after(number.saturating_sub(1));
        self.merge(entry)
    }

    /// Lets the numbers of the changes to come begin after `last`.
    pub fn resume_after(&mut self, last: u64) {
        self.order.resume_after(last);
    }

    /// So much would be left by a crash now. Where nothing is said, it takes everything.
    pub fn keep(&mut self, kept: Flushed) {
        self.order.keep(kept);
    }

    /// The bytes of all lines.
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// The `AT` line of a client, with its line feed.
    pub fn line_of(&self, client: &[u8]) -> Option<&[u8]> {
        let hash = self.seed.hash(client);
        self.find(hash, client).map(|record| self.records[record as usize].line.bytes())
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether so many clients are known that new ones are refused soon, or now.
    pub fn is_crowded(&self) -> bool {
        self.records.len().saturating_add(CROWDED_CLIENTS) >= self.clients_max
    }

    /// Whether no client is known.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number of the last change; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.order.last()
    }

    /// The fingerprint of everything that is known.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Appends the lines of at most `records_max` records that changed after `position`, up to the number `until`,
    /// and were not told by `except`.
    pub fn scan_after(
        &self,
        position: u64,
        until: u64,
        except: Source,
        records_max: usize,
        out: &mut Vec<u8>,
    ) -> Scanned {
        self.scan(position, until, except, records_max, |_, line| out.extend_from_slice(line))
    }

    /// Calls `push` with the number and the line of at most `records_max` records, of which [`Store::scan_after`] says more.
    pub fn scan(
        &self,
        position: u64,
        until: u64,
        except: Source,
        records_max: usize,
        mut push: impl FnMut(u64, &[u8]),
    ) -> Scanned {
        let mut walked = Scanned { reached: position, lines: 0, passed: None };
        let mut changes = self.order.after(position);
        for change in changes.by_ref().take(SCAN_ENTRIES_MAX) {
            if walked.lines == records_max || change.number > until {
                return walked;
            }
            walked.reached = change.number;
            let record = &self.records[change.record as usize];
            let latest = self.order.number_of(change.record);
            if latest > until {
                walked.passed = Some(SupersededRange::and(walked.passed, change.number, latest));
            } else if latest == change.number && record.teller != except {
                push(change.number, record.line.bytes());
                walked.lines += 1;
            }
        }
        if changes.next().is_none() {
            // After a recovery the last number is greater than that of any change.
            walked.reached = walked.reached.max(until.min(self.last_seq()));
        }
        walked
    }

    /// Appends the lines of at most [`SCAN_RECORDS_MAX`] records of the chosen buckets whose last change has no greater
    /// number than `until`, from the record with the index `from` on; returns the index of the next one to look at,
    /// or `None` after the last.
    pub fn scan_buckets(
        &self,
        chosen: &[bool; BUCKETS],
        from: usize,
        until: u64,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut copied = 0;
        for (index, record) in self.records.iter().enumerate().skip(from).take(REPAIR_RECORDS_MAX) {
            if copied == SCAN_RECORDS_MAX {
                return Some(index);
            }
            if chosen[usize::from(record.bucket.0)] && self.order.number_of(index as u32) <= until {
                out.extend_from_slice(record.line.bytes());
                copied += 1;
            }
        }
        let next = from + REPAIR_RECORDS_MAX;
        (next < self.records.len()).then_some(next)
    }

    /// The record of the client with this name, which has this hash.
    #[inline(always)]
    fn find(&self, hash: u64, client: &[u8]) -> Option<u32> {
        // The hash is the client's but for one time in 2^64, so names are compared when the search is over.
        let record = self.table.find(hash, |slot| slot.hash == hash)?.record;
        if self.records[record as usize].client() == client {
            Some(record)
        } else {
            self.find_other(hash, client)
        }
    }

    /// The same, where another name has the same hash.
    #[cold]
    fn find_other(&self, hash: u64, client: &[u8]) -> Option<u32> {
        let same = |slot: &Slot| slot.hash == hash && self.records[slot.record as usize].client() == client;
        self.table.find(hash, same).map(|slot| slot.record)
    }

    fn update(&mut self, index: u32, entry: &Update<'_>) -> bool {
        let record = &mut self.records[index as usize];
        let is_newer = entry.moment > record.moment;
        let is_tie = entry.moment == record.moment;
        if !(is_newer || (is_tie && wins_tie(entry.line, entry.newness, record.line.bytes()))) {
            return false;
        }
        let digest = record_hash(entry.text());
        self.digest.replace(record.bucket, record.digest, digest);
        self.line_bytes = self.line_bytes + entry.line.len() as u64 - record.line.len() as u64;
        record.line.set(entry.line);
        record.client = narrow(entry.client);
        record.moment = entry.moment;
        record.teller = entry.teller;
        record.digest = digest;
        self.order.push(index);
        true
    }

    /// By its parts, for an entry that is passed on as a whole has to be put together first.
    #[inline(never)]
    fn insert(&mut self, hash: u64, line: &[u8], client: (usize, usize), moment: Moment, teller: Source) {
        let bucket = Bucket::of(&line[client.0..client.1]);
        let digest = record_hash(trimmed(line));
        let index = self.records.len() as u32;
        self.line_bytes += line.len() as u64;
        self.records.push(Record {
            line: InlineLine::new(line),
            client: narrow(client),
            moment,
            teller,
            digest,
            bucket,
        });
        self.table.insert_unique(hash, Slot { hash, record: index }, |slot| slot.hash);
        self.digest.replace(bucket, 0, digest);
        self.order.push(index);
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
        /// Replaces a record that is known, without making it a change that anybody is told of.
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
