//! Journals that are written in lanes: files to which threads append at the same time.

use std::sync::Arc;

use super::image::{
    FRESH, Image, Look, PlainDisk, Writable, folder, frame, known, open, open_in_lanes, open_on,
};
use super::{FIRST, append, bytes, up_to};
use crate::journal::{Disk, Lane, RealDisk};
use crate::proto::model::epoch::Epoch;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::Source;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, MAGIC, MAGIC_OF_LANES, Record};

/// The lanes of these journals.
const LANES: u8 = 3;

/// What is appended to which lane, in the order of the merges.
const APPENDED: [(usize, &[u64]); 7] =
    [(1, &[1]), (0, &[2, 3]), (2, &[4]), (2, &[5]), (1, &[6]), (0, &[7]), (2, &[8, 9])];

/// The files of a journal, lane by lane.
const FILES: [&str; LANES as usize] =
    ["journal-0000000001.log", "journal-0000000001.1.log", "journal-0000000001.2.log"];

fn append_to(journal: &mut Writable, lane: usize, numbers: &[u64]) {
    journal.append_to(lane, &mut frame(numbers.iter().copied())).unwrap();
}

fn end(journal: &mut Writable, lane: usize) {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    Record::Stopped.push_to(&mut frame);
    journal.append_to(lane, &mut frame).unwrap();
}

/// A life that was killed.
fn killed() -> Image {
    let folder = folder();
    let mut journal = open_in_lanes(folder.path(), FIRST, LANES).unwrap().journal;
    APPENDED.iter().for_each(|(lane, numbers)| append_to(&mut journal, *lane, numbers));
    Image::of(folder.path())
}

fn assert_whole(look: &Look, what: &str) {
    assert!(!look.found.needs_rewrite(), "{what}: {:?}", look.found);
    assert_eq!(look.epoch, Epoch(FIRST), "{what}");
}

#[test]
fn lanes_are_read_in_the_order_of_the_merges() {
    let image = killed();
    let look = image.look().unwrap();
    // The position that was recorded last is that of the last frame.
    assert_eq!((look.seen.clone(), look.heard), (up_to(9), 9));
    assert_whole(&look, "killed");
    let folder = folder();
    image.put(folder.path());
    let opened = open_in_lanes(folder.path(), FRESH, LANES).unwrap();
    let me = crate::proto::node::Identity::new(super::image::name("Alford"), Vec::new(), opened.epoch);
    let node = crate::proto::node::Node::from_recovered(std::sync::Arc::new(me), opened.memory);
    let mut seqs = Vec::new();
    let _ = Cursor::new(0, Source::NONE).scan(node.store(), u64::MAX, 64, |change, _| seqs.push(change.seq));
    assert_eq!(seqs, Vec::from_iter(1..=9), "a neighbour that has heard of a change is not told again");
}

#[test]
fn each_lane_may_end_in_half_a_frame() {
    let image = killed();
    for torn in FILES {
        let last = image.frames(torn).pop().unwrap();
        let lost = |look: &Look| last.sightings.iter().all(|number| !look.seen.contains(number));
        for length in last.from + 1..last.to {
            let look = image.with(torn, |bytes| bytes.truncate(length)).look().unwrap();
            assert_whole(&look, torn);
            assert!(lost(&look) && look.seen.len() == 9 - last.sightings.len());
            assert_eq!(look.found.cut_bytes, (length - last.from) as u64);
            let again = look.after.look().unwrap();
            assert_eq!((again.seen, again.found.cut_bytes), (look.seen, 0));
        }
    }
    // All of them at once, as a kill under load leaves them.
    let all = FILES.iter().fold(image.clone(), |all, file| {
        let to = image.frames(file).pop().unwrap().to;
        all.with(file, |bytes| bytes.truncate(to - 1))
    });
    let look = all.look().unwrap();
    assert_whole(&look, "all are torn");
    assert_eq!(look.seen, [1, 2, 3, 4, 5].into());
    let again = look.after.look().unwrap();
    assert_whole(&again, "all were torn");
    assert_eq!((again.seen, again.found.cut_bytes), (look.seen, 0));
}

#[test]
fn it_has_stopped_only_if_all_lanes_say_so() {
    for stopped in [vec![0, 1, 2], vec![0, 1], vec![0, 2], vec![1, 2], vec![]] {
        let folder = folder();
        let mut journal = open_in_lanes(folder.path(), FIRST, LANES).unwrap().journal;
        APPENDED.iter().for_each(|(lane, numbers)| append_to(&mut journal, *lane, numbers));
        stopped.iter().for_each(|&lane| end(&mut journal, lane));
        drop(journal);
        let look = Image::of(folder.path()).in_another_boot(false).look().unwrap();
        let is_kept = stopped.len() == 3;
        assert_eq!(look.epoch, Epoch(if is_kept { FIRST } else { FRESH }), "{stopped:?}");
        assert_eq!((look.seen, look.found.is_epoch_kept), (up_to(9), is_kept));
    }
}

#[test]
fn lane_that_is_gone_is_found_out() {
    let image = killed();
    for file in FILES {
        let look = image.without(file).look().unwrap();
        assert_eq!(look.seen, image.sightings(|name, _| name != file), "{file}");
        assert!(look.found.to_string().contains("DAMAGE"), "{file}: {}", look.found);
        assert_eq!((look.heard, look.epoch, look.found.missing_files), (0, Epoch(FRESH), 1), "{file}");
    }
    // An older one, too.
    let after = image.look().unwrap().after;
    for file in FILES {
        let look = after.without(file).look().unwrap();
        assert_eq!(look.seen, image.sightings(|name, _| name != file), "{file}");
        assert!(look.found.to_string().contains("DAMAGE"), "{file}: {}", look.found);
    }
}

#[test]
fn lanes_that_were_begun_without_the_first_are_of_no_use() {
    let image = killed();
    let mut after = image.look().unwrap().after;
    // The next ones have been made, but for the one that has its name last.
    let first = "journal-0000000002.log";
    let removed = after.0.remove(first);
    assert!(removed.is_some_and(|heading| heading.starts_with(MAGIC_OF_LANES)));
    let look = after.look().unwrap();
    assert_whole(&look, "begun");
    assert_eq!((look.seen, look.found.files), (up_to(9), LANES.into()));
    assert!(look.after.0.contains_key(first) && look.after.0.len() == 6, "{:?}", look.after.0.keys());
    // A journal without lanes takes none of them for its own.
    let folder = folder();
    after.put(folder.path());
    let mut journal = open(folder.path(), FRESH).unwrap().journal;
    append(&mut journal, [10]);
    drop(journal);
    let after = Image::of(folder.path());
    assert_eq!(after.0.len(), 4, "{:?}", after.0.keys());
    assert_eq!(known(open(folder.path(), FRESH).unwrap()).0, up_to(10));
}

#[test]
fn journals_with_lanes_and_without_follow_each_other() {
    let folder = folder();
    let mut last = 0;
    for life in 0..6_u64 {
        let lanes = if life % 2 == 0 { 1 } else { LANES };
        let opened = open_in_lanes(folder.path(), FIRST + life, lanes).unwrap();
        assert!(!opened.found.needs_rewrite() && opened.epoch == Epoch(FIRST), "{:?}", opened.found);
        let mut journal = opened.journal;
        for lane in 0..lanes {
            last += 1;
            append_to(&mut journal, lane.into(), &[last]);
        }
        assert_eq!(journal.files(), life as usize + 1, "lanes count as one");
        assert_eq!(journal.bytes(), bytes(&Image::of(folder.path())));
    }
    assert_eq!(known(open(folder.path(), FRESH).unwrap()).0, up_to(last));
}

#[test]
fn releases_that_know_of_no_lanes_refuse_them() {
    for (file, bytes) in killed().0 {
        assert!(bytes.starts_with(MAGIC_OF_LANES) && !bytes.starts_with(MAGIC), "{file}");
    }
    // They look at the first lane, whose name is one that they know.
    assert!(killed().0.contains_key(FILES[0]));
}

#[test]
fn no_step_of_making_lanes_smaller_loses_anything() {
    make_smaller(Arc::new(PlainDisk), |journal, after| assert_eq!(journal.bytes(), bytes(after)));
    // Each file that is not appended to has all of it.
    make_smaller(Arc::new(RealDisk), |_, after| {
        let buffers = after.0.keys().filter(|name| name.ends_with(".buffer")).count();
        assert_eq!(buffers, usize::from(LANES), "{:?}", after.0.keys());
    });
}

fn make_smaller(disk: Arc<dyn Disk>, check: impl Fn(&Writable, &Image)) {
    let folder = folder();
    let mut journal = open_on(disk, folder.path(), FIRST, LANES).unwrap().journal;
    let mut last = 0;
    let mut states: Vec<(&str, u64, Image)> = Vec::new();
    let mut append_all = |journal: &mut Writable| {
        for lane in [2, 0, 1] {
            last += 1;
            append_to(journal, lane, &[last]);
        }
        last
    };
    for _ in 0..2 {
        let mut note = |step, last| states.push((step, last, Image::of(folder.path())));
        append_all(&mut journal);
        let plan = journal.plan_next();
        let next = plan.make().unwrap();
        let in_snapshot = append_all(&mut journal);
        note("made", in_snapshot);
        journal.switch(next);
        note("switched", in_snapshot);
        let mut snapshot = plan.snapshot().unwrap();
        for number in 1..=in_snapshot {
            snapshot.append(&mut frame([number])).unwrap();
        }
        let last = append_all(&mut journal);
        note("appended", last);
        let finished = snapshot.finish().unwrap();
        note("finished", last);
        let replaced = journal.finished(finished);
        let before = Image::of(folder.path());
        replaced.remove().unwrap();
        let after = Image::of(folder.path());
        check(&journal, &after);
        let mut partly = before.clone();
        for gone in before.0.keys().filter(|name| !after.0.contains_key(*name)) {
            partly.0.remove(gone);
            states.push(("partly removed", last, partly.clone()));
        }
        assert_eq!(partly, after);
    }
    for (step, last, image) in states {
        let look = image.look().unwrap();
        assert_whole(&look, step);
        assert_eq!((look.seen, look.heard), (up_to(last), last), "{step}");
        let again = look.after.look().unwrap();
        assert_whole(&again, step);
        assert_eq!(again.seen, up_to(last), "{step}");
    }
}

#[test]
fn mending_that_is_broken_off_behind_its_snapshot_loses_nothing() {
    let folder = folder();
    let mut journal = open_in_lanes(folder.path(), FIRST, LANES).unwrap().journal;
    append_to(&mut journal, 0, &[1, 2, 3]);
    let begin = |journal: &mut Writable| {
        journal.lanes.iter_mut().for_each(Lane::distrust);
        let plan = journal.plan_next();
        let next = plan.make().unwrap();
        journal.switch(next);
        plan.snapshot().unwrap()
    };
    let mut snapshot = begin(&mut journal);
    // In place of 3, which the snapshot lacks therefore.
    append_to(&mut journal, 1, &[4]);
    snapshot.append(&mut frame([1, 2])).unwrap();
    journal.journal.keep_lanes();
    let _named = snapshot.finish().unwrap();
    let mut again = begin(&mut journal);
    let look = Image::of(folder.path()).look().unwrap();
    assert!(look.seen.contains(&4), "{:?}", look.seen);
    again.append(&mut frame([1, 2, 4])).unwrap();
    journal.journal.keep_lanes();
    let finished = again.finish().unwrap();
    journal.finished(finished).remove().unwrap();
    let look = Image::of(folder.path()).look().unwrap();
    assert_eq!(look.seen, [1, 2, 4].into());
    assert_whole(&look, "mended");
}
