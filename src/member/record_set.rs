//! A set of records, small where they are few and where they are many.

use std::collections::HashMap;

/// A set of records.
#[derive(Debug, Default)]
pub(super) struct RecordSet(HashMap<u32, u64>);

impl RecordSet {
    pub(super) fn insert(&mut self, record: u32) {
        *self.0.entry(record / 64).or_default() |= 1 << (record % 64);
    }

    pub(super) fn has(&self, record: u32) -> bool {
        self.0.get(&(record / 64)).is_some_and(|bits| bits & 1 << (record % 64) != 0)
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, record: u32) -> bool {
        let has = self.has(record);
        if has && let Some(bits) = self.0.get_mut(&(record / 64)) {
            *bits &= !(1 << (record % 64));
            if *bits == 0 {
                self.0.remove(&(record / 64));
            }
        }
        has
    }
}
