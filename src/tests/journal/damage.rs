//! Journals that are not as they were written. What is whole is known, what is not is reported, and nothing is made up.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::image::{FRESH, FrameAt, Image, Look, Opened, folder, frame, known, open};
use super::{FIRST, after_a_snapshot, append, three_lives, up_to};
use crate::journal::Replaced;
use crate::proto::model::epoch::Epoch;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, MAGIC};

const FIRST_FILE: &str = "journal-0000000001.log";
const MIDDLE_FILE: &str = "journal-0000000002.log";
const LAST_FILE: &str = "journal-0000000003.log";

/// These are known, and it is said that something is damaged.
pub(super) fn assert_reported(look: &Look, seen: &BTreeSet<u64>, what: &str) {
    assert_eq!(&look.seen, seen, "{what}: {:?}", look.found);
    assert!(look.found.needs_rewrite(), "{what}: {:?}", look.found);
    assert!(look.found.to_string().contains("DAMAGE"), "{}", look.found);
    assert_eq!((look.heard, look.epoch), (0, Epoch(FRESH)), "{what}");
    assert!(!look.found.is_epoch_kept);
}

/// What is known if some bytes of a file are not what they were: all but the frames that they belong to.
fn without(image: &Image, file: &str, changed: &Range<usize>) -> BTreeSet<u64> {
    let is_whole =
        |name: &str, at: &FrameAt| name != file || at.to <= changed.start || at.from >= changed.end;
    image.sightings(is_whole)
}

fn images() -> [Image; 2] {
    [three_lives(), after_a_snapshot()]
}

#[test]
fn a_cut_at_any_byte_is_found_out() {
    for image in images() {
        let last_file = LAST_FILE;
        for (file, bytes) in &image.0 {
            let heading_ends = image.frames(file)[0].to;
            for length in 0..bytes.len() {
                let what = format!("{file} cut to {length}");
                let look = image.with(file, |bytes| bytes.truncate(length)).look().unwrap();
                let expected = without(&image, file, &(length..bytes.len()));
                if file != last_file || length < heading_ends {
                    assert_reported(&look, &expected, &what);
                    continue;
                }
                let frames = image.frames(file);
                let whole = frames.iter().map(|at| at.to).filter(|&to| to <= length).max().unwrap();
                assert_eq!((look.seen, look.epoch), (expected.clone(), Epoch(FIRST)), "{what}");
                assert_eq!(look.heard, expected.last().copied().unwrap());
                assert!(!look.found.needs_rewrite(), "{what}");
                assert_eq!(look.found.cut_bytes, (length - whole) as u64, "{what}");
                assert_eq!(look.after.0[file][..whole], bytes[..whole], "{what}");
                let again = look.after.look().unwrap();
                assert_eq!((again.seen, again.found.cut_bytes), (expected, 0), "{what}");
                assert!(!again.found.needs_rewrite(), "{what}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_out() {
    for image in images() {
        for (file, bytes) in &image.0 {
            for bit in 0..bytes.len() * 8 {
                let byte = bit / 8;
                let what = format!("bit {bit} of {file}, byte {byte}");
                let flipped = image.with(file, |bytes| bytes[byte] ^= 1 << (bit % 8)).look();
                match flipped {
                    // Whether it is a journal at all cannot be known.
                    Err(_) => assert!(byte < MAGIC.len(), "{what}"),
                    Ok(look) => {
                        assert_reported(&look, &without(&image, file, &(byte..byte + 1)), &what);
                        assert!(
                            look.after.0.contains_key(file),
                            "{what}: it is kept until all is written again"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn ranges_of_zeros_are_found_out() {
    for image in images() {
        for (file, bytes) in &image.0 {
            for from in (MAGIC.len()..bytes.len()).step_by(3) {
                for to in [from + 1, from + 4, from + FRAME_HEAD_BYTES, from + 100, from + 200, bytes.len()] {
                    let to = to.min(bytes.len());
                    let (from, to) = match bytes[from..to].iter().position(|&byte| byte != 0) {
                        Some(first) => (from + first, to),
                        None => continue,
                    };
                    let last = bytes[from..to].iter().rposition(|&byte| byte != 0).unwrap();
                    let changed = from..from + last + 1;
                    let zeroed = image.with(file, |bytes| bytes[changed.clone()].fill(0));
                    let what = format!("{changed:?} of {file} are zero");
                    assert_reported(&zeroed.look().unwrap(), &without(&image, file, &changed), &what);
                }
            }
        }
    }
}

#[test]
fn files_that_are_gone_or_empty_are_found_out() {
    let image = three_lives();
    for file in [FIRST_FILE, MIDDLE_FILE] {
        let without_it = image.sightings(|name, _| name != file);
        let look = image.without(file).look().unwrap();
        assert_reported(&look, &without_it, file);
        assert_eq!(look.found.missing_files, 1);
        assert_reported(&image.with(file, Vec::clear).look().unwrap(), &without_it, file);
    }
    // The last file's name was there when its heading was on disk.
    assert_reported(&image.with(LAST_FILE, Vec::clear).look().unwrap(), &up_to(5), LAST_FILE);
    let image = after_a_snapshot();
    for file in image.0.keys().filter(|file| *file != LAST_FILE) {
        let look = image.without(file).look().unwrap();
        assert_reported(&look, &image.sightings(|name, _| name != file), file);
    }
    let only_snapshot = image.without(MIDDLE_FILE).without(LAST_FILE);
    assert_reported(&only_snapshot.look().unwrap(), &up_to(3), "only the snapshot is left");
}

#[test]
fn a_damaged_snapshot_hides_no_file_that_is_there_and_misses_none_that_it_replaced() {
    let image = after_a_snapshot();
    let snapshot = "snapshot-0000000002.log";
    let middle = image.frames(snapshot)[1].clone();
    let look = image.with(snapshot, |bytes| bytes[middle.to - 1] ^= 1).look().unwrap();
    assert_reported(&look, &(2..=6).collect(), "a frame of the snapshot");
    assert_eq!((look.found.damaged_frames, look.found.missing_files, look.found.missing_ends), (1, 0, 0));
}

#[test]
fn garbage_behind_good_frames_is_found_out() {
    for image in images() {
        for file in image.0.keys() {
            for garbage in [&[0; 64][..], &[0xff; 5000], b"AT Bolden +0.1 evil +1-1 99999999\n"] {
                let look = image.with(file, |bytes| bytes.extend_from_slice(garbage)).look().unwrap();
                assert_reported(&look, &image.sightings(|_, _| true), file);
                assert_eq!(look.found.unreadable_bytes, garbage.len() as u64);
            }
            // Less than a frame could be the beginning of one, where one may follow.
            let look = image.with(file, |bytes| bytes.extend_from_slice(b"x")).look().unwrap();
            assert_eq!(look.seen, image.sightings(|_, _| true));
            assert_eq!(look.found.needs_rewrite(), file != LAST_FILE);
        }
    }
}

#[test]
fn damage_in_a_large_file_costs_no_more_than_the_frames_that_it_hit() {
    const FRAMES: u64 = 400;
    const PER_FRAME: u64 = 100;
    let folder = folder();
    let mut journal = open(folder.path(), FIRST).unwrap().journal;
    for at in 0..FRAMES {
        append(&mut journal, at * PER_FRAME + 1..=(at + 1) * PER_FRAME);
    }
    drop(journal);
    let image = Image::of(folder.path());
    let bytes = image.0[FIRST_FILE].len();
    assert!(bytes > 3 << 20, "more than is read at once");
    for changed in [1 << 20..(1 << 20) + 5, 100..2_000_000, (2 << 20) - 10..(2 << 20) + 70_000] {
        let damaged = image.with(FIRST_FILE, |bytes| bytes[changed.clone()].fill(0xa5));
        let expected = without(&image, FIRST_FILE, &changed);
        assert_reported(&damaged.look().unwrap(), &expected, &format!("{changed:?}"));
        assert!(expected.len() > 10_000, "{}", expected.len());
    }
}

/// Opens a damaged folder and writes everything again, as a server does; the states of the folder meanwhile.
fn rewritten(image: &Image) -> (BTreeSet<u64>, Vec<Image>) {
    let folder = folder();
    image.put(folder.path());
    let all = image.look().unwrap().seen;
    let mut states = Vec::new();
    let mut note = || states.push(Image::of(folder.path()));
    let Opened { mut journal, .. } = open(folder.path(), FRESH).unwrap();
    note();
    let plan = journal.plan_next();
    let next = plan.make().unwrap();
    note();
    journal.switch(next);
    note();
    let mut snapshot = plan.snapshot().unwrap();
    note();
    for &number in &all {
        snapshot.append(&mut frame([number])).unwrap();
        note();
    }
    let finished = snapshot.finish().unwrap();
    note();
    let replaced: Replaced = journal.finished(finished);
    let before = Image::of(folder.path());
    replaced.remove().unwrap();
    let after = Image::of(folder.path());
    let mut partly = before.clone();
    for gone in before.0.keys().filter(|name| !after.0.contains_key(*name)) {
        let bytes = partly.0.remove(gone).unwrap();
        let aside = format!("{gone}.damaged");
        if after.0.contains_key(&aside) {
            partly.0.insert(aside, bytes);
        }
        states.push(partly.clone());
    }
    assert_eq!(partly, after);
    (all, states)
}

#[test]
fn what_is_damaged_is_set_aside_once_all_that_was_recovered_is_written_again() {
    for image in images() {
        for file in image.0.keys() {
            for at in image.frames(file) {
                let damaged = image.with(file, |bytes| bytes[at.from] ^= 1);
                let (all, states) = rewritten(&damaged);
                for state in &states {
                    assert_eq!(state.look().unwrap().seen, all);
                }
                let last = states.last().unwrap();
                let look = last.look().unwrap();
                assert!(!look.found.needs_rewrite() && look.found.is_epoch_kept, "{:?}", look.found);
                assert_eq!(last.0[&format!("{file}.damaged")], damaged.0[file]);
                assert_eq!(look.after.0[&format!("{file}.damaged")], damaged.0[file]);
                assert_eq!(last.0.keys().filter(|name| name.ends_with(".damaged")).count(), 1);
            }
        }
    }
}

#[test]
fn a_missing_file_is_missed_until_all_is_written_again() {
    let image = three_lives().without(MIDDLE_FILE);
    let again = image.look().unwrap().after;
    assert_reported(&again.look().unwrap(), &[1, 2, 6, 7].into(), "it has been opened once");
    let (_, states) = rewritten(&image);
    let look = states.last().unwrap().look().unwrap();
    assert_eq!((look.seen, look.found.needs_rewrite()), ([1, 2, 6, 7].into(), false));
}

#[test]
fn a_file_is_not_at_its_end_only_because_the_next_one_has_begun() {
    // As after a failed append: the next file is in use, and no snapshot has made good for what was merged meanwhile.
    let image = three_lives();
    let end = image.frames(MIDDLE_FILE).pop().unwrap();
    let look = image.with(MIDDLE_FILE, |bytes| bytes.truncate(end.from)).look().unwrap();
    assert_reported(&look, &up_to(7), "the end of a file");
    assert_eq!(look.found.missing_ends, 1);
    // Two halves of frames: the second file was begun when the first could not be written.
    let torn = |image: &Image, file: &str| {
        let end = image.frames(file).pop().unwrap().to;
        image.with(file, |bytes| bytes.truncate(end - 1))
    };
    let only_half = {
        let frames = image.frames(LAST_FILE);
        image.with(LAST_FILE, |bytes| bytes.truncate(frames[1].to - 1))
    };
    let look = torn(&only_half, MIDDLE_FILE);
    assert_reported(&look.look().unwrap(), &up_to(5), "two halves");
    let folder = folder();
    image.put(folder.path());
    assert_eq!(known(open(folder.path(), 1).unwrap()).0, up_to(7));
}

/// Something that happens to a file, in shares of its length.
#[derive(Clone, Debug)]
enum Blow {
    Overwrite(f64, Vec<u8>),
    Cut(f64),
    Zero(f64, f64),
    Swap(f64, f64, f64),
    Duplicate(f64, f64),
    Delete,
    Exchange(usize),
}

fn blow() -> impl Strategy<Value = Blow> {
    let share = || 0.0..1.0_f64;
    prop_oneof![
        (share(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Blow::Overwrite(at, bytes)),
        share().prop_map(Blow::Cut),
        (share(), share()).prop_map(|(a, b)| Blow::Zero(a, b)),
        (share(), share(), share()).prop_map(|(a, b, c)| Blow::Swap(a, b, c)),
        (share(), share()).prop_map(|(a, b)| Blow::Duplicate(a, b)),
        Just(Blow::Delete),
        (0..4_usize).prop_map(Blow::Exchange),
    ]
}

/// Strikes a file. Mostly its magic is spared, for without it the folder is refused.
fn strike(image: &mut Image, file: usize, blow: &Blow, spares_magic: bool) {
    let names: Vec<String> = image.0.keys().cloned().collect();
    let Some(name) = names.get(file % names.len().max(1)) else { return };
    if let Blow::Exchange(other) = blow {
        let (one, other) = (
            image.0[name].clone(),
            image.0.insert(names[other % names.len()].clone(), image.0[name].clone()),
        );
        debug_assert!(!one.is_empty() || other.is_some());
        image.0.insert(name.clone(), other.unwrap_or(one));
        return;
    }
    if matches!(blow, Blow::Delete) {
        image.0.remove(name);
        return;
    }
    let Some(bytes) = image.0.get_mut(name) else { return };
    let from = if spares_magic { MAGIC.len().min(bytes.len()) } else { 0 };
    let mut rest = bytes.split_off(from);
    let at = |share: f64| (share * rest.len() as f64) as usize;
    match blow {
        Blow::Overwrite(a, with) => {
            let a = at(*a);
            rest.iter_mut().skip(a).zip(with).for_each(|(byte, with)| *byte = *with);
        }
        Blow::Cut(a) => rest.truncate(at(*a)),
        Blow::Zero(a, b) => {
            let (a, b) = (at(a.min(*b)), at(a.max(*b)));
            rest[a..b].fill(0);
        }
        Blow::Swap(a, b, c) => {
            let mut cuts = [at(*a), at(*b), at(*c)];
            cuts.sort_unstable();
            rest[cuts[0]..cuts[2]].rotate_left(cuts[1] - cuts[0]);
        }
        Blow::Duplicate(a, b) => {
            let (a, b) = (at(a.min(*b)), at(a.max(*b)));
            let copy = rest[a..b].to_vec();
            rest.splice(b..b, copy);
        }
        Blow::Delete | Blow::Exchange(_) => {}
    }
    bytes.append(&mut rest);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_anything_up(
        has_snapshot: bool,
        blows in vec((0..4_usize, blow(), prop::bool::weighted(0.95)), 1..6),
    ) {
        let image = if has_snapshot { after_a_snapshot() } else { three_lives() };
        let mut damaged = image.clone();
        for (file, blow, spares_magic) in &blows {
            strike(&mut damaged, *file, blow, *spares_magic);
        }
        // Looking panics on what was not written, and if a refused folder has changed.
        if let Ok(look) = damaged.look() {
            prop_assert!(look.seen.is_subset(&image.sightings(|_, _| true)));
            // What is known once stays known.
            prop_assert_eq!(look.after.look().unwrap().seen, look.seen);
        }
    }
}
