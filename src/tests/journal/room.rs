//! Journals each commit of which is flushed: they have room behind the last frame, which is no damage and ends a file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::damage::assert_reported;
use super::image::{Image, Look, Writable, folder, frame, open_as};
use super::{FIRST, append, up_to};
use crate::journal::{Disk, Layout, RealDisk};
use crate::proto::model::epoch::Epoch;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};
use crate::tests::harness::FailingDisk;

const FILE: &str = "journal-0000000001.log";
const NEXT_FILE: &str = "journal-0000000002.log";

/// Bytes of a sector.
const SECTOR: usize = 512;

fn open(disk: Arc<dyn Disk>, folder: &Path) -> Writable {
    open_as(Layout { is_synced: true, lanes: 1 }, disk, folder, FIRST).unwrap().journal
}

/// The folder of a journal to which these frames were appended, and where in its file each of them ends.
fn appended(frames: &[std::ops::RangeInclusive<u64>]) -> (Image, Vec<usize>) {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    let mut append = |numbers: &std::ops::RangeInclusive<u64>| {
        append(&mut journal, numbers.clone());
        journal.bytes() as usize
    };
    let ends = frames.iter().map(&mut append).collect();
    (Image::of(folder.path()), ends)
}

fn end(journal: &mut Writable) {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    Record::Stopped.push_to(&mut frame);
    journal.append(&mut frame).unwrap();
}

/// What was recorded up to here is known, nothing is damaged, and so it is after the next start.
fn assert_known(image: &Image, last: u64, what: &str) -> Look {
    let look = image.look().unwrap();
    assert!(!look.found.needs_rewrite(), "{what}: {:?}", look.found);
    assert_eq!((&look.seen, look.heard, look.epoch), (&up_to(last), last, Epoch(FIRST)), "{what}");
    let again = look.after.look().unwrap();
    assert!(!again.found.needs_rewrite() && again.found.cut_bytes == 0, "{what}: {:?}", again.found);
    assert_eq!((&again.seen, again.heard, again.epoch), (&up_to(last), last, Epoch(FIRST)), "{what}");
    look
}

#[test]
fn a_kill_between_commits_leaves_room_that_the_next_start_cuts_off() {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    assert_known(&Image::of(folder.path()), 0, "nothing was appended");
    for last in 1..=5 {
        append(&mut journal, [last]);
        let image = Image::of(folder.path());
        let bytes = journal.bytes() as usize;
        assert!(image.0[FILE].len() > bytes && image.0[FILE][bytes..].iter().all(|&byte| byte == 0));
        let look = assert_known(&image, last, "killed");
        assert_eq!(look.found.cut_bytes, 0);
        // As it would be without room.
        let cut = image.with(FILE, |file| file.truncate(bytes)).look().unwrap().after;
        assert_eq!(look.after.0[FILE], cut.0[FILE]);
    }
}

#[test]
fn few_commits_make_the_file_longer() {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    let mut lengths = Vec::new();
    for number in 0..6000 {
        append(&mut journal, [number]);
        let length = std::fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert!(length >= journal.bytes(), "commits of {number}");
        lengths.push(length);
    }
    lengths.dedup();
    assert!(journal.bytes() > 600_000 && lengths.len() == 3, "{lengths:?}");
}

#[test]
fn no_room_is_made_behind_a_commit_that_is_as_large() {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    append(&mut journal, 1..=3000);
    let image = Image::of(folder.path());
    assert!(journal.bytes() > 270_000 && journal.bytes() == super::bytes(&image), "{}", journal.bytes());
    assert_known(&image, 3000, "killed");
    append(&mut journal, [3001]);
    assert!(super::bytes(&Image::of(folder.path())) > journal.bytes());
}

#[test]
fn a_power_cut_costs_the_commit_that_was_not_finished_whatever_sectors_of_it_are_on_disk() {
    let (image, ends) = appended(&[1..=1, 2..=3, 4..=30]);
    let (from, to) = (ends[1], ends[2]);
    let sectors: Vec<usize> = (from / SECTOR..=(to - 1) / SECTOR).collect();
    assert!((5..8).contains(&sectors.len()), "{sectors:?}");
    for on_disk in 0..1 << sectors.len() {
        let is_lost = |at: usize| on_disk & (1 << (at / SECTOR - sectors[0])) == 0;
        let torn = image.with(FILE, |file| {
            (from..to).filter(|&at| is_lost(at)).for_each(|at| file[at] = 0);
        });
        let is_whole = torn.0[FILE] == image.0[FILE];
        assert_eq!(is_whole, on_disk + 1 == 1 << sectors.len());
        assert_known(&torn, if is_whole { 30 } else { 3 }, &format!("{on_disk:b} are on disk"));
        // It made the file longer, and that is on disk in part.
        for length in sectors.iter().map(|sector| (sector * SECTOR).max(from)) {
            let shorter = torn.with(FILE, |file| file.truncate(length));
            let look = assert_known(&shorter, 3, &format!("{on_disk:b} up to {length} are on disk"));
            assert!(look.found.cut_bytes <= (length - from) as u64, "{:?}", look.found);
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_a_commit_costs_that_commit() {
    let (image, ends) = appended(&[1..=1, 2..=3, 4..=10]);
    for length in ends[1]..ends[2] {
        let torn = image.with(FILE, |file| file[length..].fill(0));
        let look = assert_known(&torn, 3, &format!("{length}"));
        assert!(look.found.cut_bytes <= (length - ends[1]) as u64);
        assert!(look.found.cut_bytes > 0 || length < ends[1] + 4, "{length}");
    }
}

#[test]
fn every_flipped_bit_of_what_was_acknowledged_is_found_out() {
    let (image, ends) = appended(&[1..=1, 2..=3, 4..=4]);
    let folder = folder();
    open(Arc::new(RealDisk), folder.path());
    let mut from = Image::of(folder.path()).0[FILE].len();
    for (to, numbers) in ends.into_iter().zip([1..=1, 2..=3, 4..=4]) {
        for bit in from * 8..to * 8 {
            let look = image.with(FILE, |file| file[bit / 8] ^= 1 << (bit % 8)).look().unwrap();
            let known = (1..=4).filter(|number| !numbers.contains(number)).collect();
            assert_reported(&look, &known, &format!("bit {bit}"));
        }
        from = to;
    }
}

#[test]
fn room_in_a_file_that_is_not_the_last_is_damage() {
    let (image, _) = appended(&[1..=1, 2..=3]);
    let folder = folder();
    image.put(folder.path());
    append(&mut open(Arc::new(RealDisk), folder.path()), [4]);
    let image = Image::of(folder.path());
    assert_known(&image, 4, "killed");
    let look = image.with(FILE, |file| file.extend_from_slice(&[0; 100])).look().unwrap();
    assert_reported(&look, &up_to(4), "room");
    assert_eq!(look.found.unreadable_bytes, 100);
    // Nor may a snapshot or a file end in it of which commits need not be flushed.
    let image = super::after_a_snapshot();
    for file in image.0.keys() {
        let look = image.with(file, |file| file.extend_from_slice(&[0; 100])).look().unwrap();
        assert_reported(&look, &up_to(6), file);
    }
}

#[test]
fn room_of_a_first_commit_that_was_lost_makes_no_file_before_it_damaged() {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    append(&mut journal, [1]);
    let _next = journal.plan_next().make().unwrap();
    let image = Image::of(folder.path());
    assert_known(&image.with(NEXT_FILE, |file| file.extend_from_slice(&[0; 5000])), 1, "begun");
}

#[test]
fn a_file_that_is_ended_is_cut_to_its_length() {
    let folder = folder();
    let mut journal = open(Arc::new(RealDisk), folder.path());
    append(&mut journal, [1]);
    let next = journal.plan_next().make().unwrap();
    journal.switch(next);
    append(&mut journal, [2]);
    end(&mut journal);
    // A kill before it is cut.
    assert_known(&Image::of(folder.path()), 2, "ended");
    journal.lanes[0].close().unwrap();
    let image = Image::of(folder.path());
    for file in [FILE, NEXT_FILE] {
        assert_eq!(image.0[file].last(), Some(&b'Z'), "{file}");
    }
    assert_eq!(journal.bytes(), super::bytes(&image));
    assert_known(&image, 2, "stopped");
}

/// A disk on which there is a little less room than would be written.
#[derive(Debug, Default)]
struct LittleRoom {
    refused: AtomicUsize,
}

impl Disk for LittleRoom {
    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.iter().any(|&byte| byte != 0) {
            return RealDisk.write(file, offset, bytes);
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        RealDisk.write(file, offset, &bytes[1..])?;
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn commits_make_the_file_longer_where_there_is_no_room() {
    let (folder, disk) = (folder(), Arc::new(LittleRoom::default()));
    let mut journal = open(Arc::<LittleRoom>::clone(&disk), folder.path());
    for number in 1..=5 {
        append(&mut journal, [number]);
        let image = Image::of(folder.path());
        assert_eq!(journal.bytes(), super::bytes(&image), "room is given back");
        assert_known(&image, number, "killed");
    }
    assert_eq!(disk.refused.load(Ordering::Relaxed), 1, "room is not asked for again");
}

#[test]
fn a_commit_that_fails_leaves_no_part_of_it() {
    let (folder, disk) = (folder(), Arc::new(FailingDisk::default()));
    let mut journal = open(Arc::<FailingDisk>::clone(&disk), folder.path());
    append(&mut journal, [1]);
    disk.fails.store(true, Ordering::Relaxed);
    assert!(journal.append(&mut frame([2])).is_err());
    disk.fails.store(false, Ordering::Relaxed);
    let image = Image::of(folder.path());
    assert_eq!(journal.bytes(), super::bytes(&image));
    assert_known(&image, 1, "failed");
}
