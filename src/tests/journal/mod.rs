//! What a journal gives back: after any kill, after any damage, and that it never gives what was not written.

mod buffers;
mod damage;
mod image;
mod lanes;
mod refusals;
mod room;

use std::collections::BTreeSet;

use image::{FRESH, Image, Opened, Writable, folder, frame, known, open};

use crate::journal::Replaced;
use crate::proto::model::epoch::Epoch;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};

/// The first epoch of the tests' journals.
const FIRST: u64 = 0xa1;

fn append(journal: &mut Writable, numbers: impl IntoIterator<Item = u64>) {
    journal.append(&mut frame(numbers)).unwrap();
}

fn stop(mut journal: Writable) {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    Record::Stopped.push_to(&mut frame);
    journal.append(&mut frame).unwrap();
}

/// Three lives without a clean stop, two frames each; the second file's second frame has two sightings.
fn three_lives() -> Image {
    let folder = folder();
    for (life, frames) in [[vec![1], vec![2]], [vec![3], vec![4, 5]], [vec![6], vec![7]]].iter().enumerate() {
        let mut journal = open(folder.path(), FIRST + life as u64).unwrap().journal;
        frames.iter().for_each(|numbers| append(&mut journal, numbers.iter().copied()));
    }
    Image::of(folder.path())
}

/// A snapshot, the file that was begun with it, and one of another life.
fn after_a_snapshot() -> Image {
    let folder = folder();
    let mut journal = open(folder.path(), FIRST).unwrap().journal;
    append(&mut journal, [1]);
    append(&mut journal, [2, 3]);
    let plan = journal.plan_next();
    journal.switch(plan.make().unwrap());
    append(&mut journal, [4]);
    let mut snapshot = plan.snapshot().unwrap();
    snapshot.append(&mut frame([1])).unwrap();
    snapshot.append(&mut frame([2, 3])).unwrap();
    let finished = snapshot.finish().unwrap();
    journal.finished(finished).remove().unwrap();
    append(&mut journal, [5]);
    drop((journal, plan));
    append(&mut open(folder.path(), 2).unwrap().journal, [6]);
    Image::of(folder.path())
}

fn up_to(last: u64) -> BTreeSet<u64> {
    (1..=last).collect()
}

#[test]
fn what_was_recorded_is_known_in_all_lives_that_follow() {
    let folder = folder();
    for life in 1..=6_u64 {
        let Opened { mut journal, memory, epoch, found } = open(folder.path(), FIRST + life).unwrap();
        assert_eq!(epoch, Epoch(FIRST + 1), "the first life's, in all");
        assert!(!found.needs_rewrite() && found.cut_bytes == 0, "{found:?}");
        assert_eq!((found.clients, found.files), (3 * (life as usize - 1), life as usize - 1));
        assert_eq!(memory.len(), found.clients);
        append(&mut journal, [3 * life - 2]);
        append(&mut journal, [3 * life - 1, 3 * life]);
        assert_eq!((journal.files(), journal.bytes()), (life as usize, bytes(&Image::of(folder.path()))));
        if life % 2 == 0 {
            stop(journal);
        }
    }
    let look = Image::of(folder.path()).look().unwrap();
    assert_eq!((look.seen, look.heard), (up_to(18), 18));
}

fn bytes(image: &Image) -> u64 {
    image.0.values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn the_epoch_is_kept_unless_the_system_has_gone_down_with_what_it_had_not_written() {
    let killed = three_lives();
    let folder = folder();
    killed.put(folder.path());
    let mut last = open(folder.path(), FRESH).unwrap().journal;
    append(&mut last, [8]);
    stop(last);
    let stopped = Image::of(folder.path());
    for (image, is_kept) in [
        (killed.clone(), true),
        (killed.in_another_boot(false), false),
        (killed.in_another_boot(true), true),
        (stopped.in_another_boot(false), true),
    ] {
        let look = image.look().unwrap();
        assert_eq!(look.epoch, Epoch(if is_kept { FIRST } else { FRESH }));
        assert_eq!((look.found.is_epoch_kept, look.found.needs_rewrite()), (is_kept, false));
        assert_eq!(look.seen, up_to(look.heard), "positions are as good as what they cover");
        // A life in which nothing happens changes nothing but this: it was not stopped.
        assert_eq!(look.after.look().unwrap().epoch, look.epoch);
    }
}

/// The states of a folder, one after each step, with what must be known in each.
struct Steps {
    folder: tempfile::TempDir,
    states: Vec<(&'static str, u64, Image)>,
}

impl Steps {
    fn note(&mut self, step: &'static str, known: u64) {
        self.states.push((step, known, Image::of(self.folder.path())));
    }
}

fn rotations() -> Steps {
    let mut steps = Steps { folder: folder(), states: Vec::new() };
    append(&mut open(steps.folder.path(), FIRST).unwrap().journal, [1]);
    let mut journal = open(steps.folder.path(), 2).unwrap().journal;
    append(&mut journal, [2]);
    let mut last = 2;
    for _ in 0..3 {
        append(&mut journal, [last + 1]);
        append(&mut journal, [last + 2]);
        last += 2;
        steps.note("before", last);
        let plan = journal.plan_next();
        let next = plan.make().unwrap();
        steps.note("made", last);
        append(&mut journal, [last + 1]);
        last += 1;
        steps.note("appended to the old one", last);
        journal.switch(next);
        steps.note("switched", last);
        let (in_snapshot, mut snapshot) = (last, plan.snapshot().unwrap());
        steps.note("begun", last);
        append(&mut journal, [last + 1]);
        last += 1;
        steps.note("appended to the new one", last);
        for number in 1..=in_snapshot {
            snapshot.append(&mut frame([number])).unwrap();
            if number == in_snapshot / 2 {
                steps.note("half written", last);
            }
        }
        let finished = snapshot.finish().unwrap();
        steps.note("finished", last);
        append(&mut journal, [last + 1]);
        last += 1;
        let replaced: Replaced = journal.finished(finished);
        let before = Image::of(steps.folder.path());
        replaced.remove().unwrap();
        let after = Image::of(steps.folder.path());
        // Removed one after the other.
        let mut partly = before.clone();
        for gone in before.0.keys().filter(|name| !after.0.contains_key(*name)) {
            partly.0.remove(gone);
            steps.states.push(("partly removed", last, partly.clone()));
        }
        assert_eq!(partly, after);
        assert_eq!(journal.bytes(), bytes(&after));
    }
    steps
}

#[test]
fn no_step_of_making_it_smaller_loses_anything() {
    for (step, last, image) in rotations().states {
        let look = image.look().unwrap();
        let found = &look.found;
        assert!(!found.needs_rewrite() && found.cut_bytes == 0, "{step}: {found:?}");
        assert_eq!((look.seen, look.heard, look.epoch), (up_to(last), last, Epoch(FIRST)), "{step}");
        // What a kill right after the next start would leave is as good.
        let again = look.after.look().unwrap();
        assert!(!again.found.needs_rewrite() && again.found.cut_bytes == 0, "{step}: {:?}", again.found);
        assert_eq!((again.seen, again.epoch), (up_to(last), Epoch(FIRST)), "{step}");
        assert!(
            again.after.0.keys().all(|name| name.ends_with(".log")),
            "{step}: {:?}",
            again.after.0.keys()
        );
    }
}

#[test]
fn a_kill_in_the_middle_of_an_append_costs_that_append_at_any_step() {
    for (step, last, image) in rotations().states {
        let mut journals =
            image.0.keys().filter(|name| name.starts_with("journal") && name.ends_with(".log"));
        // The one that is appended to: the last one that has more than its heading.
        let Some(torn) = journals.rfind(|name| image.frames(name).len() > 1) else { continue };
        let last_frame = image.frames(torn).pop().unwrap();
        for length in last_frame.from + 1..last_frame.to {
            let look = image.with(torn, |bytes| bytes.truncate(length)).look().unwrap();
            // The end of a file that was switched from holds no sighting.
            let lost = last_frame.sightings.len() as u64;
            assert_eq!((look.seen, look.heard, look.epoch), (up_to(last - lost), last - lost, Epoch(FIRST)));
            assert!(!look.found.needs_rewrite(), "{step}, {length} of {torn}: {:?}", look.found);
            assert_eq!(look.found.cut_bytes, (length - last_frame.from) as u64, "{step}");
            let again = look.after.look().unwrap();
            assert_eq!((again.seen, again.epoch), (up_to(last - lost), Epoch(FIRST)), "{step}");
            assert!(!again.found.needs_rewrite() && again.found.cut_bytes == 0, "{step}: {:?}", again.found);
        }
    }
}

#[test]
fn kills_while_it_starts_lose_nothing() {
    // The next file is there, and the one before it does not say yet where it ends.
    let image = three_lives();
    let after = image.look().unwrap().after;
    let last = "journal-0000000003.log";
    let end = after.frames(last).pop().unwrap();
    for length in end.from..=end.to {
        let look = after.with(last, |bytes| bytes.truncate(length)).look().unwrap();
        assert_eq!((look.seen, look.heard, look.epoch), (up_to(7), 7, Epoch(FIRST)));
        assert!(!look.found.needs_rewrite(), "{:?}", look.found);
    }
    // Several that came to nothing.
    let mut image = image;
    for _ in 0..4 {
        image = image.look().unwrap().after;
    }
    let look = image.look().unwrap();
    assert_eq!((look.found.files, look.seen, look.epoch), (7, up_to(7), Epoch(FIRST)));
}

#[test]
fn a_folder_that_lies_deep_is_made() {
    let folder = folder();
    let deep = folder.path().join("a/b/c");
    append(&mut open(&deep, FIRST).unwrap().journal, [1]);
    assert_eq!(known(open(&deep, FIRST).unwrap()).0, up_to(1));
}
