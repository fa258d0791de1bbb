//! Bugs for tests, which no release build has: lines that make a conversation panic, or that look into the store.

use std::sync::atomic::Ordering;

use super::shared::Shared;
use crate::proto::line::batch::Batch;
use crate::proto::store::digest::{Bucket, Digest, record_hash};
use crate::proto::store::update::Source;
use crate::proto::store::{SCAN_RECORDS_MAX, Store};

/// Panics with nothing held.
pub(crate) const PANIC: &str = "PLANTED panic";
/// Panics while it holds the write lock.
pub(crate) const PANIC_UNDER_LOCK: &str = "PLANTED panic under the lock";
/// Is answered with how many records there are, after comparing the fingerprint with one made anew of all.
pub(crate) const COUNT: &str = "PLANTED count";

/// From now on nothing can be written to the journal.
pub(crate) const DISK_FAILS: &str = "PLANTED the disk fails";
/// And now it can again.
pub(crate) const DISK_HEALS: &str = "PLANTED the disk heals";

/// Does what a line with one of these texts asks for, and says whether it was one.
pub(super) fn line(text: &[u8], shared: &Shared, batch: &mut Batch) -> bool {
    match str::from_utf8(text).unwrap_or_default() {
        PANIC => panic!("planted: nothing is held"),
        PANIC_UNDER_LOCK => {
            let mut node = shared.node.write();
            // What came before on this connection is merged, and not acknowledged any more.
            node.settle(batch);
            panic!("planted: the write lock is held");
        }
        COUNT => {
            let node = shared.node.write();
            let counted = check(node.store());
            batch.reply().extend_from_slice(format!("{counted}\n").as_bytes());
            true
        }
        DISK_FAILS | DISK_HEALS => {
            let fails = text == DISK_FAILS.as_bytes();
            shared.commits.as_ref().expect("it has a journal").is_disk_broken.store(fails, Ordering::Relaxed);
            batch.reply().extend_from_slice(b"planted\n");
            true
        }
        _ => false,
    }
}

/// Holds the store against itself, and returns how many records it has.
fn check(store: &Store) -> usize {
    let mut lines = Vec::new();
    let mut position = 0;
    while position < store.last_seq() {
        position = store.scan_after(position, u64::MAX, Source::NOBODY, SCAN_RECORDS_MAX, &mut lines).reached;
    }
    let mut digest = Digest::empty();
    let mut count = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").expect("a stored line has its line feed");
        let client = text.split(|&byte| byte == b' ').nth(3).expect("a stored line has a client");
        assert_eq!(store.line_of(client), Some(line));
        digest.replace(Bucket::of(client), 0, record_hash(text));
        count += 1;
    }
    assert_eq!(&digest, store.digest());
    assert_eq!(count, store.len());
    count
}
