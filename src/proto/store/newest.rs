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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::update::{Source, Update};

    /// Which of these clients, each of which reports in turn, changed last.
    fn newest(clients: &str, records_max: usize, entries_max: usize) -> String {
        let mut store = Store::new();
        for (time, client) in clients.chars().enumerate() {
            let line = format!("AT A +1 {client} +1+1 {}\n", time + 1);
            store.merge(&Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap());
        }
        let records = newest_records(&store, records_max, entries_max);
        let client = |record| line_at(&store, record).map(|line| char::from(line[8]));
        records.into_iter().filter_map(client).collect()
    }

    #[test]
    fn newest_records_are_those_of_the_last_entries() {
        let many = "c".repeat(200);
        for (clients, records_max, entries_max, expected) in [
            ("", 9, 9, ""),
            ("abcab", 9, 9, "bac"),
            ("abcab", 2, 9, "ba"),
            ("abcab", 9, 3, "bac"),
            ("abcab", 9, 2, "ba"),
            ("abcab", 9, 0, ""),
            (&format!("ab{many}"), 9, 202, "cba"),
            (&format!("ab{many}"), 9, 201, "cb"),
            (&format!("ab{many}"), 9, 200, "c"),
        ] {
            let found = newest(clients, records_max, entries_max);
            assert_eq!(found, expected, "{clients} {records_max} {entries_max}");
        }
    }
}
