//! The log buffer of a lane: a second place for its latest frames, which is written first and overwritten soon.
//!
//! A frame is stored in the buffer, which outlives the process, and is written to its file together with others a
//! little later. Then the buffer is used from its beginning again. So it holds entries, one behind the other, and what
//! is left of entries before them. Each entry is
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the number of the journal, little endian |
//! | 8 | where in its file the frame stands, or will |
//! | 8 | both, mixed and inverted, so that half an entry is not believed |
//! | rest | the frame: see [`super::record`] |
//!
//! An entry counts if its frame goes on where the file and the entries before it end. What is left of earlier times has
//! stood in the file before that, because no place in a file is written twice.
//!
//! The buffer is never put on disk, and need not be: after the end of a process all of it is there, and after a power
//! cut what was not on disk may be lost. What a power cut has made of it is checked as all else is: by those rules, and
//! by the sums of each frame.

use super::record::{FRAME_HEAD_BYTES, Next, next_frame};

/// The bytes of an entry before its frame.
pub const ENTRY_HEAD_BYTES: usize = 24;

/// The head of an entry: its frame stands at `offset` of a file of the journal of this number.
pub fn entry_head(number: u64, offset: u64) -> [u8; ENTRY_HEAD_BYTES] {
    let mut head = [0; ENTRY_HEAD_BYTES];
    for (field, value) in head.chunks_exact_mut(8).zip([number, offset, check(number, offset)]) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    head
}

/// What follows in a file of this journal behind the `file_bytes` that it has, by what is found in its buffer.
pub fn tail(buffer: &[u8], number: u64, file_bytes: u64) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut rest = buffer;
    while let Some((offset, frame)) = entry(rest, number) {
        let Some(end) = offset.checked_add(frame.len() as u64) else { break };
        let known = file_bytes + tail.len() as u64;
        // Behind a gap nothing is believed: what stood there is lost.
        if offset > known {
            break;
        }
        // What the file has is no news, and a drain may have been broken off within a frame.
        if end > known {
            tail.extend_from_slice(&frame[(known - offset) as usize..]);
        }
        rest = &rest[ENTRY_HEAD_BYTES + frame.len()..];
    }
    tail
}

/// The whole entry that some bytes begin with: where its frame stands, and the frame.
fn entry(bytes: &[u8], number: u64) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<ENTRY_HEAD_BYTES>()?;
    let offset = u64::from_le_bytes(*head[8..].first_chunk()?);
    if *head != entry_head(number, offset) || rest.is_empty() {
        return None;
    }
    let Next::Frame(payload) = next_frame(rest) else { return None };
    rest.get(..FRAME_HEAD_BYTES + payload.len()).map(|frame| (offset, frame))
}

fn check(number: u64, offset: u64) -> u64 {
    !(number.rotate_left(32) ^ offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::wal::record::{Record, seal};

    const NUMBER: u64 = 7;

    fn frame(seq: u64, line_bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        Record::Sighting(seq, &vec![b'x'; line_bytes]).push_to(&mut frame);
        seal(&mut frame);
        frame
    }

    /// A lane as it is written, with a buffer of 1,000 bytes: the file, and what is not in it yet.
    struct Written {
        file: Vec<u8>,
        behind: Vec<u8>,
        buffer: Vec<u8>,
        at: usize,
    }

    impl Written {
        fn new() -> Written {
            Written { file: vec![b'h'; 100], behind: Vec::new(), buffer: vec![0; 1000], at: 0 }
        }

        fn push(&mut self, frame: &[u8]) {
            let entry =
                [&entry_head(NUMBER, (self.file.len() + self.behind.len()) as u64)[..], frame].concat();
            if self.at + entry.len() > self.buffer.len() {
                return self.drain_and(frame);
            }
            self.buffer[self.at..][..entry.len()].copy_from_slice(&entry);
            self.at += entry.len();
            self.behind.extend_from_slice(frame);
        }

        fn drain_and(&mut self, frame: &[u8]) {
            self.drain();
            self.push(frame);
        }

        fn drain(&mut self) {
            self.file.append(&mut self.behind);
            self.at = 0;
        }
    }

    #[test]
    fn entries_of_earlier_times_other_journals_and_behind_gaps_do_not_count() {
        let mut lane = Written::new();
        (1..=5).for_each(|seq| lane.push(&frame(seq, 30)));
        assert_eq!(tail(&lane.buffer, NUMBER, 100), lane.behind);
        assert_eq!(tail(&lane.buffer, NUMBER + 1, 100), b"");
        assert_eq!(tail(&lane.buffer, NUMBER, 99), b"", "a byte of the file is lost");
        lane.drain();
        assert_eq!(tail(&lane.buffer, NUMBER, lane.file.len() as u64), b"");
        // Of the same length as what is left behind it.
        lane.push(&frame(6, 30));
        assert_eq!(tail(&lane.buffer, NUMBER, lane.file.len() as u64), frame(6, 30));
    }

    proptest! {
        /// At any moment, whatever part of a drain has reached the file: file and tail are what was written.
        #[test]
        fn file_and_tail_are_all_that_was_written(
            steps in prop::collection::vec((1_usize..300, any::<bool>()), 1..60),
            drained in any::<prop::sample::Index>(),
        ) {
            let mut lane = Written::new();
            for (seq, (line_bytes, drains)) in steps.into_iter().enumerate() {
                lane.push(&frame(seq as u64, line_bytes));
                let whole = [&lane.file[..], &lane.behind].concat();
                let kept = lane.file.len() + drained.index(lane.behind.len() + 1);
                let found = [&whole[..kept], &tail(&lane.buffer, NUMBER, kept as u64)].concat();
                prop_assert_eq!(&found, &whole);
                if drains {
                    lane.drain();
                }
            }
        }

        /// A power cut may leave each sector of the buffer as it was at any time, and any part of the file: what is
        /// found is a part of what was written, and never anything else.
        #[test]
        fn after_a_power_cut_only_what_was_written_is_found(
            steps in prop::collection::vec((1_usize..300, any::<bool>()), 1..60),
            kept in any::<prop::sample::Index>(),
            ages in prop::collection::vec(any::<prop::sample::Index>(), 1000_usize.div_ceil(64)),
        ) {
            let mut lane = Written::new();
            let mut times = vec![lane.buffer.clone()];
            for (seq, (line_bytes, drains)) in steps.into_iter().enumerate() {
                lane.push(&frame(seq as u64, line_bytes));
                times.push(lane.buffer.clone());
                if drains {
                    lane.drain();
                }
            }
            let whole = [&lane.file[..], &lane.behind].concat();
            let sectors = ages.iter().enumerate().flat_map(|(sector, age)| {
                let buffer = age.get(&times);
                buffer[sector * 64..buffer.len().min(sector * 64 + 64)].to_vec()
            });
            let buffer: Vec<u8> = sectors.collect();
            let kept = 100 + kept.index(whole.len() - 100 + 1);
            let found = [&whole[..kept], &tail(&buffer, NUMBER, kept as u64)].concat();
            prop_assert!(whole.starts_with(&found));
        }

        #[test]
        fn any_bytes_are_read_without_harm(buffer in prop::collection::vec(any::<u8>(), 0..200), at in any::<u64>()) {
            tail(&buffer, NUMBER, at % (1 << 40));
            let entry = [&entry_head(NUMBER, at)[..], &buffer].concat();
            tail(&entry, NUMBER, 1 << 40);
        }
    }
}
