//! The sums over all records, and the hash of the last change, which every change keeps up to date.

use crate::proto::store::digest::{Digest, record_hash};
use crate::proto::store::record::Record;
use crate::proto::store::update::Update;

/// The sums over all records, and the hash of the last change.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) digest: Digest,
    /// The bytes of all lines.
    pub(super) line_bytes: u64,
    /// The bytes of lines that stand outside of their records.
    pub(super) outside_bytes: usize,
    /// How many records say that their client was forgotten.
    pub(super) tombstones: usize,
    /// The hash of the record that changed last.
    pub(super) newest_hash: u64,
}

impl Totals {
    /// Takes a record away.
    pub(super) fn remove(&mut self, record: &Record) {
        self.digest.replace(record.bucket, record.digest, 0);
        self.line_bytes -= record.line.len() as u64;
        self.outside_bytes -= record.line.outside_bytes();
        self.tombstones -= usize::from(record.is_tombstone());
    }

    /// Replaces what a record holds, which is in the bucket of its client. Whether it is a tombstone, or was, only its
    /// caller knows.
    #[inline(always)]
    pub(super) fn replace(&mut self, record: &mut Record, update: &Update<'_>) {
        let digest = record_hash(update.text());
        self.digest.replace(record.bucket, record.digest, digest);
        self.line_bytes = self.line_bytes + update.line.len() as u64 - record.line.len() as u64;
        let grown = record.line.set(update.line);
        if grown != 0 {
            self.outside_bytes = self.outside_bytes.wrapping_add_signed(grown);
        }
        record.meta = update.meta;
        record.digest = digest;
        record.era = update.era;
        self.newest_hash = digest;
    }
}

impl Default for Totals {
    /// Those of no record.
    fn default() -> Totals {
        Totals { digest: Digest::empty(), line_bytes: 0, outside_bytes: 0, tombstones: 0, newest_hash: 0 }
    }
}
