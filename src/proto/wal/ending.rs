//! How a file ends that has room: zeros that were written behind its last frame, and that the next one overwrites.
//!
//! Each commit is on disk before the next one is written. So behind the last whole frame there is at most a part of one
//! other, which was not acknowledged. A disk writes each sector whole or not at all, in any order, and a kill may leave
//! any beginning of what was being written. Where a byte was not written there is a zero.
//!
//! A sector that was written is not all zeros: records are text but for a few numbers, a payload begins with a letter
//! and ends with a line feed or a letter of a name, and a frame has hardly 20 zeros one behind the other. So a frame
//! that was torn can be told from one that was damaged later. Of the last frame, and only of that, these pass for torn
//! although it may have been acknowledged:
//!
//! - it has lost a whole sector to zeros since, or its end;
//! - a bit is wrong in its head, which stands across the border of two sectors, and its part in the first is all zeros;
//! - a bit is wrong, and a client whose name is hundreds of zeros fills a sector of it.

use super::record::{FRAME_HEAD_BYTES, Next, next_frame};

/// What a disk writes whole or not at all, in bytes. The sectors of many are larger, and have a multiple of this.
const SECTOR_BYTES: usize = 512;

/// What stands behind the last whole frame of a file that has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Zeros only.
    Room,
    /// Parts of a frame that was not written in all, and zeros.
    Torn,
    /// Something else.
    Damaged,
}

/// Tells what `rest` is: what stands in a file from offset `at`, where a frame ends, up to its end. It begins with no
/// whole frame.
pub fn ending(rest: &[u8], at: u64) -> Ending {
    let Some(last) = rest.iter().rposition(|&byte| byte != 0) else { return Ending::Room };
    let written = &rest[..=last];
    let is_torn = match next_frame(rest) {
        Next::Short(_) => true,
        // The head says where the frame ends: behind that there was nothing yet.
        Next::Damaged(length) => {
            let lacks_part = parts(rest, at)
                .any(|(from, part)| from < length && from + part.len() > FRAME_HEAD_BYTES && is_zeros(part));
            written.len() < length || (written.len() == length && lacks_part)
        }
        Next::Lost => {
            let lacks_head = parts(rest, at).any(|(from, part)| from < FRAME_HEAD_BYTES && is_zeros(part));
            (written.len() < FRAME_HEAD_BYTES || lacks_head) && !holds_frame(written)
        }
        Next::Frame(_) => false,
    };
    if is_torn { Ending::Torn } else { Ending::Damaged }
}

/// The parts of sectors that bytes from offset `at` of a file consist of, each with where in them it begins.
fn parts(bytes: &[u8], at: u64) -> impl Iterator<Item = (usize, &[u8])> {
    let to_border = SECTOR_BYTES - (at % SECTOR_BYTES as u64) as usize;
    let (first, others) = bytes.split_at(to_border.min(bytes.len()));
    let others = others.chunks(SECTOR_BYTES).enumerate();
    std::iter::once((0, first))
        .chain(others.map(move |(index, part)| (to_border + index * SECTOR_BYTES, part)))
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Whether a whole frame begins anywhere in these bytes: it was written when all before it was on disk.
fn holds_frame(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|from| matches!(next_frame(&bytes[from..]), Next::Frame(_)))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::proto::model::epoch::Epoch;
    use crate::proto::wal::record::tests::frame;
    use crate::proto::wal::record::{Record, seal};

    /// A frame of this many bytes.
    fn of_length(bytes: usize) -> Vec<u8> {
        let line = [&vec![b'x'; bytes - 26][..], b"\n"].concat();
        let frame = frame(&[Record::Sighting(1 << 40, &line)]);
        assert_eq!(frame.len(), bytes);
        frame
    }

    /// Zeros in place of these bytes of a frame, and room behind it.
    fn without(frame: &[u8], bytes: std::ops::Range<usize>) -> Vec<u8> {
        let mut rest = [frame, &[0; 1000]].concat();
        rest[bytes].fill(0);
        rest
    }

    #[test]
    fn room_torn_frames_and_damage_are_told_apart() {
        let frame = of_length(1500);
        let garbage = [&[0; 600][..], &of_length(100)].concat();
        let mut flipped = without(&frame, 0..0);
        flipped[700] ^= 1;
        let zeros_in_a_name = {
            let line = [&b"x"[..], &[0; 1474], b"\n"].concat();
            let mut rest = without(&self::frame(&[Record::Sighting(1, &line)]), 0..0);
            rest[20] ^= 1;
            rest
        };
        for (what, rest, at, expected) in [
            ("nothing", vec![], 100, Ending::Room),
            ("room", vec![0; 5000], 100, Ending::Room),
            ("less room than a head", vec![0; 3], 100, Ending::Room),
            ("the first sector", without(&frame, 0..412), 100, Ending::Torn),
            ("all but a byte of the first sector", without(&frame, 0..411), 100, Ending::Damaged),
            ("a sector in the middle", without(&frame, 412..924), 100, Ending::Torn),
            ("as much, not on its borders", without(&frame, 400..912), 100, Ending::Damaged),
            ("the last sector", without(&frame, 1436..1500), 100, Ending::Torn),
            ("all behind a byte that a kill has left last", without(&frame, 1000..1500), 100, Ending::Torn),
            ("all but a part of the head", without(&frame, 5..1500), 100, Ending::Torn),
            ("the first part of the head", without(&frame, 0..5), 507, Ending::Torn),
            ("the last part of the head, and a sector", without(&frame, 5..517), 507, Ending::Torn),
            ("the end of the file", frame[..700].to_vec(), 100, Ending::Torn),
            ("a bit", flipped.clone(), 100, Ending::Damaged),
            ("a bit, and something is behind it", [&flipped[..], b"x"].concat(), 100, Ending::Damaged),
            ("the first sector before a whole frame", garbage, 0, Ending::Damaged),
            (
                "a sector before a whole frame",
                [&without(&frame, 0..412)[..1500], &frame].concat(),
                100,
                Ending::Damaged,
            ),
            (
                "a sector, behind which is more",
                [&without(&frame, 412..924)[..1500], b"x"].concat(),
                100,
                Ending::Damaged,
            ),
            ("a bit, which cannot be told", zeros_in_a_name, 100, Ending::Torn),
            ("nothing: a whole frame", frame.clone(), 100, Ending::Damaged),
        ] {
            assert_eq!(ending(&rest, at), expected, "{what} is missing");
        }
    }

    /// Frames as servers write them: numbers of any size, lines of text, names.
    fn some_frame() -> impl Strategy<Value = Vec<u8>> {
        let records = vec((0..48_u32, 0..900_usize, any::<bool>()), 1..4);
        records.prop_map(|records| {
            let mut made = vec![0; FRAME_HEAD_BYTES];
            for (shift, bytes, is_position) in records {
                let line = [&vec![b'@'; bytes][..], b"\n"].concat();
                Record::Sighting(1 << shift, &line).push_to(&mut made);
                if is_position {
                    Record::ReceivedUpTo("A", Epoch(0), 1 << shift).push_to(&mut made);
                }
            }
            seal(&mut made);
            made
        })
    }

    /// How many frames a file has from `at` on, and what follows them.
    fn read(file: &[u8], mut at: usize) -> (usize, Ending) {
        let mut frames = 0;
        while at < file.len() {
            let Next::Frame(payload) = next_frame(&file[at..]) else { break };
            at += FRAME_HEAD_BYTES + payload.len();
            frames += 1;
        }
        (frames, ending(&file[at..], at as u64))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        /// Whichever sectors of the last frame have reached the disk, and whatever the length of the file is there.
        #[test]
        fn frame_that_is_torn_is_no_damage_and_no_frame(
            at in 0..1100_usize,
            frames in vec(some_frame(), 1..4),
            last in some_frame(),
            is_written in vec(any::<bool>(), 8),
            room in 0..3000_usize,
            is_cut: bool,
            cut: prop::sample::Index,
        ) {
            let on_disk = [&vec![b'h'; at][..], &frames.concat()].concat();
            let end = on_disk.len() + last.len();
            let mut file = [&on_disk[..], &last, &vec![0; room]].concat();
            let whole = file.clone();
            let of_sector = |at: usize| is_written[at / SECTOR_BYTES % is_written.len()];
            (on_disk.len()..end).filter(|&at| !of_sector(at)).for_each(|at| file[at] = 0);
            let length = if is_cut { on_disk.len() + cut.index(file.len() - on_disk.len() + 1) } else { file.len() };
            file.truncate(length);
            let (found, ending) = read(&file, at);
            if length >= end && file[..end] == whole[..end] {
                prop_assert_eq!((found, ending), (frames.len() + 1, Ending::Room));
            } else {
                prop_assert_eq!(found, frames.len());
                prop_assert_ne!(ending, Ending::Damaged);
            }
        }

        /// A kill leaves any beginning of what was being written.
        #[test]
        fn beginning_of_a_frame_is_torn(at in 0..1100_usize, frame in some_frame(), room in 0..900_usize) {
            for length in 0..frame.len() {
                let mut rest = [&frame[..length], &vec![0; frame.len() - length + room]].concat();
                prop_assert_ne!(ending(&rest, at as u64), Ending::Damaged);
                rest.truncate(length);
                prop_assert_ne!(ending(&rest, at as u64), Ending::Damaged);
            }
        }

        #[test]
        fn flipped_bit_of_an_acknowledged_frame_is_damage(
            at in 0..1100_usize,
            frames in vec(some_frame(), 1..4),
            room in 0..3000_usize,
            which: prop::sample::Index,
            bits in vec(any::<prop::sample::Index>(), 20),
        ) {
            let which = which.index(frames.len());
            let from = at + frames[..which].concat().len();
            let file = [&vec![b'h'; at][..], &frames.concat(), &vec![0; room]].concat();
            for bit in bits.iter().map(|bit| bit.index(frames[which].len() * 8)).chain(0..FRAME_HEAD_BYTES * 8) {
                let mut flipped = file.clone();
                flipped[from + bit / 8] ^= 1 << (bit % 8);
                let (found, ending) = read(&flipped, at);
                prop_assert_eq!(found, which);
                if ending != Ending::Damaged {
                    let to_border = SECTOR_BYTES - from % SECTOR_BYTES;
                    let cannot_be_told = which + 1 == frames.len()
                        && to_border < FRAME_HEAD_BYTES
                        && bit / 8 < FRAME_HEAD_BYTES
                        && is_zeros(&flipped[from..from + to_border]);
                    prop_assert!(cannot_be_told, "bit {} of {}: {:?}", bit, from, ending);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(rest in vec(any::<u8>(), 0..1500), at: u64) {
            ending(&rest, at);
        }
    }
}
