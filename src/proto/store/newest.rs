//! Which records changed last, for those who want a few of many.

use crate::proto::store::Store;

/// The number of the record of a client, which has one while it is known or remembered as forgotten.
pub fn record_of(store: &Store, client: &[u8]) -> Option<u32> {
    store.record_of(client)
}

/// The sequence number of the last change of a record; 0 while it is vacant.
pub fn seq_of(store: &Store, record: u32) -> u64 {
    store.log.seq_of(record)
}

/// The stored line of a record, with its line feed; `None` while it is vacant.
pub fn line_at(store: &Store, record: u32) -> Option<&[u8]> {
    let line = store.records.get(record).map(|record| record.line.bytes());
    line.filter(|line| !line.is_empty())
}

/// At most `records_max` records, those that changed last first, found among the last `entries_max` entries of the log.
pub fn newest_records(store: &Store, records_max: usize, entries_max: usize) -> Vec<u32> {
    // Behind the last of the known records the log has nothing but what was superseded.
    let most = records_max.min(store.index.len());
    let (mut newest, mut left, mut behind) = (Vec::with_capacity(most), entries_max, None);
    for chunk in store.log.newest_chunks() {
        if newest.len() == most || left == 0 {
            break;
        }
        for change in chunk[chunk.len().saturating_sub(left)..].iter().rev() {
            // Most of them may be superseded, and those of one client that reports often follow each other.
            if behind == Some(change.record) {
                continue;
            }
            behind = Some(change.record);
            if store.log.is_latest(*change) {
                newest.push(change.record);
                if newest.len() == most {
                    return newest;
                }
            }
        }
        left = left.saturating_sub(chunk.len());
    }
    newest
}
