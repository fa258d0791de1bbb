//! From a client's name to its record, in many small tables.
//!
//! A table doubles when it is full, and moves all that it has: one for ten million clients would do that for a fifth of
//! a second, under the lock. These do it one by one, each in some tens of microseconds, and as no two have the same
//! clients, at different times. A table that is emptied into its successor little by little would not do: the successor
//! has to be allocated and marked as empty at once.

use std::array;

use hashbrown::HashTable;

use crate::proto::store::hasher::NameHasher;

/// How many tables there are: with ten million clients each has five thousand, which it moves in a tenth of a
/// millisecond, and a batch lets few of them grow. A table that is empty takes 32 bytes.
const TABLES: usize = 2_048;

/// The records for which a table makes room with its first one: it would soon double twice otherwise.
const FIRST_RECORDS: usize = 7;

/// The bytes of memory that a record takes in a table: those of a slot, and one beside it. A table is filled to seven
/// eighths at most, and to half of that when it has doubled.
const RECORD_BYTES: usize = (size_of::<Slot>() + 1) * 16 / 7 + 1;

/// Where a record is found by the hash of its client's name.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: HalfHash,
    record: u32,
}

/// Where a client's record is, as far as the hash of its name tells, if there is one: another name may have the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(super) hash: u64,
    pub(super) record: Option<u32>,
}

/// The higher half of a hash. The lower one chooses the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HalfHash(u32);

/// From a client's name to its record.
#[derive(Debug)]
pub(super) struct Index {
    hasher: NameHasher,
    tables: Box<[HashTable<Slot>; TABLES]>,
    len: usize,
}

impl HalfHash {
    #[inline(always)]
    fn of(hash: u64) -> HalfHash {
        HalfHash((hash >> 32) as u32)
    }

    /// As a table takes it: the lowest bits choose the place, the seven highest what is looked at there.
    #[inline(always)]
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

impl Index {
    /// The hash of a name.
    #[inline(always)]
    pub(super) fn hash(&self, client: &[u8]) -> u64 {
        self.hasher.hash(client)
    }

    /// A record with the hash of this name. It is very likely that of its client, because 43 bits of the hash are
    /// compared.
    #[inline(always)]
    pub(super) fn place_of(&self, client: &[u8]) -> Place {
        let hash = self.hash(client);
        Place { hash, record: self.find_if(hash, |_| true) }
    }

    /// The record with this hash of which that is true.
    #[inline(always)]
    pub(super) fn find_if(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let half = HalfHash::of(hash);
        let table = &self.tables[hash as usize % TABLES];
        table.find(half.spread(), |slot| slot.hash == half && is_it(slot.record)).map(|slot| slot.record)
    }

    /// Adds a record, which is not there.
    pub(super) fn insert(&mut self, hash: u64, record: u32) {
        let table = &mut self.tables[hash as usize % TABLES];
        let slot = Slot { hash: HalfHash::of(hash), record };
        if table.is_empty() {
            table.reserve(FIRST_RECORDS, |slot| slot.hash.spread());
        }
        table.insert_unique(slot.hash.spread(), slot, |slot| slot.hash.spread());
        self.len += 1;
    }

    /// Removes a record.
    pub(super) fn remove(&mut self, hash: u64, record: u32) {
        let table = &mut self.tables[hash as usize % TABLES];
        if let Ok(entry) = table.find_entry(HalfHash::of(hash).spread(), |slot| slot.record == record) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of memory that it takes for so many records at most, unless they are few. It does not depend on which
    /// they are, because servers that know the same must not differ in what they refuse.
    pub(super) fn memory_bytes(records: usize) -> usize {
        records * RECORD_BYTES
    }
}

impl Default for Index {
    /// Of no record.
    fn default() -> Index {
        let tables: Box<[HashTable<Slot>; TABLES]> = Box::new(array::from_fn(|_| HashTable::new()));
        Index { hasher: NameHasher::random(), tables, len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: u32 = 200_000;

    fn filled() -> Index {
        let mut index = Index::default();
        for record in 0..RECORDS {
            index.insert(index.hash(record.to_string().as_bytes()), record);
        }
        index
    }

    #[test]
    fn tables_are_filled_alike_and_grow_at_different_times() {
        let index = filled();
        let mean = RECORDS as usize / TABLES;
        assert!(index.tables.iter().all(|table| (mean / 2..mean * 2).contains(&table.len())));
        let capacities = index.tables.iter().map(HashTable::capacity);
        assert!(capacities.clone().min() < capacities.max(), "they should double one by one");
        let allocated = index.tables.iter().map(HashTable::allocation_size).sum::<usize>();
        assert!((allocated..2 * allocated).contains(&Index::memory_bytes(index.len())), "{allocated} bytes");
    }

    #[test]
    fn records_are_found_until_they_are_removed() {
        let mut index = filled();
        for record in 0..RECORDS {
            let hash = index.hash(record.to_string().as_bytes());
            assert_eq!(index.find_if(hash, |found| found == record), Some(record));
            if record % 3 == 0 {
                index.remove(hash, record);
                assert_eq!(index.find_if(hash, |found| found == record), None);
            }
        }
        assert_eq!(index.len(), RECORDS as usize - RECORDS.div_ceil(3) as usize);
    }

    #[test]
    fn names_with_one_hash_are_told_apart() {
        let mut index = Index::default();
        let hash = index.hash(b"some");
        index.insert(hash, 7);
        index.insert(hash, 8);
        assert_eq!([7, 8].map(|wanted| index.find_if(hash, |found| found == wanted)), [Some(7), Some(8)]);
        assert!(index.find_if(hash, |_| true).is_some());
        index.remove(hash, 7);
        assert_eq!((index.find_if(hash, |_| true), index.len()), (Some(8), 1));
    }
}
