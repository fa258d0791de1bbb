//! Journals whose lanes have log buffers: what a kill leaves of them at any moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::image::{FRESH, Image, Writable, folder, frame, open_on};
use super::{FIRST, up_to};
use crate::journal::RealDisk;
use crate::proto::model::epoch::Epoch;
use crate::tests::harness::FailingDisk;

const FILE: &str = "journal-0000000001.log";
const BUFFER: &str = "journal-0000000001.log.buffer";

fn assert_known(image: &Image, last: u64) {
    let look = image.look().unwrap();
    assert!(!look.found.needs_rewrite() && look.found.cut_bytes == 0, "{:?}", look.found);
    assert_eq!((look.seen, look.heard, look.epoch), (up_to(last), last, Epoch(FIRST)));
    assert!(!look.after.0.contains_key(BUFFER), "all of it is in the file now");
    let again = look.after.look().unwrap();
    assert_eq!((again.seen, again.epoch), (up_to(last), Epoch(FIRST)));
}

fn append(journal: &mut Writable, numbers: impl IntoIterator<Item = u64>) {
    journal.append(&mut frame(numbers)).unwrap();
}

#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let folder = folder();
    let mut journal = open_on(Arc::new(RealDisk), folder.path(), FIRST, 1).unwrap().journal;
    let mut last = 0;
    for count in [1, 2, 5, 1, 3, 1] {
        for _ in 0..count {
            append(&mut journal, [last + 1, last + 2]);
            last += 2;
            assert_known(&Image::of(folder.path()), last);
        }
        let before = Image::of(folder.path());
        journal.lanes[0].drain().unwrap();
        let after = Image::of(folder.path());
        assert_known(&after, last);
        // A part of what is drained has reached the file.
        let whole = &after.0[FILE];
        for length in (before.0[FILE].len()..whole.len()).step_by(7) {
            assert_known(&before.with(FILE, |file| *file = whole[..length].to_vec()), last);
        }
    }
}

#[test]
fn a_buffer_that_is_full_goes_to_the_file_and_a_frame_that_is_too_large_for_one_does_too() {
    let folder = folder();
    let mut journal = open_on(Arc::new(RealDisk), folder.path(), FIRST, 1).unwrap().journal;
    let mut last = 0;
    while Image::of(folder.path()).0[FILE].len() < 300_000 {
        let count = 1 + last % 50;
        append(&mut journal, last + 1..=last + count);
        last += count;
    }
    assert_known(&Image::of(folder.path()), last);
    append(&mut journal, [last + 1]);
    let large = 1500;
    append(&mut journal, last + 2..=last + large);
    append(&mut journal, [last + large + 1]);
    assert_known(&Image::of(folder.path()), last + large + 1);
}

#[test]
fn a_drain_that_fails_leaves_all_in_the_buffer() {
    let folder = folder();
    let disk = Arc::new(FailingDisk { maps: true, ..FailingDisk::default() });
    let opened = open_on(Arc::<FailingDisk>::clone(&disk), folder.path(), FIRST, 1).unwrap();
    let mut journal = opened.journal;
    append(&mut journal, [1]);
    journal.lanes[0].drain().unwrap();
    append(&mut journal, [2]);
    disk.fails.store(true, Ordering::Relaxed);
    append(&mut journal, [3]);
    assert!(journal.lanes[0].drain().is_err());
    disk.fails.store(false, Ordering::Relaxed);
    assert!(journal.append(&mut frame([4])).is_err(), "what stands at the end of the file is unknown");
    assert_known(&Image::of(folder.path()), 3);
    // The next lanes have other buffers, until a snapshot has all of it.
    let next = journal.plan_next().make().unwrap();
    journal.switch(next);
    append(&mut journal, [4]);
    let look = Image::of(folder.path()).look().unwrap();
    assert_eq!(look.seen, up_to(4), "{:?}", look.found);
}

#[test]
fn buffers_that_are_gone_empty_or_of_rubbish_cost_what_only_they_had() {
    let folder = folder();
    let mut journal = open_on(Arc::new(RealDisk), folder.path(), FIRST, 1).unwrap().journal;
    append(&mut journal, [1]);
    journal.lanes[0].drain().unwrap();
    append(&mut journal, [2]);
    append(&mut journal, [3]);
    let image = Image::of(folder.path());
    assert_known(&image.without(BUFFER), 1);
    assert_known(&image.with(BUFFER, Vec::clear), 1);
    assert_known(&image.with(BUFFER, |bytes| bytes.fill(b'x')), 1);
    // The second entry, which ends behind the third.
    let end = image.0[BUFFER].iter().rposition(|&byte| byte != 0).unwrap();
    assert_known(&image.with(BUFFER, |bytes| bytes[end] ^= 1), 2);
    let look = image.with(FILE, |bytes| bytes.truncate(bytes.len() - 1)).look().unwrap();
    assert_eq!((look.seen, look.epoch), (up_to(0), Epoch(FIRST)), "behind a gap nothing is believed");
    assert_ne!(FRESH, FIRST);
}
