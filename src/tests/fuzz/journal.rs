//! A journal and a log buffer of any bytes: what is believed of them is what was written, and it ends.

use crate::proto::wal::ending::{Ending, ending};
use crate::proto::wal::log_buffer::{entry_head, tail};
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Next, NotARecord, Record, next_frame, records, seal};
use crate::proto::wal::recovery::Recovery;

/// The first byte says whether what follows is taken as it is, or made frames of first; then the second is the length
/// of each payload, and the third and the fourth say which byte is damaged in the end.
pub(crate) fn check(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    if how < 128 {
        let begins_with_frame = !bytes.is_empty() && matches!(next_frame(bytes), Next::Frame(_));
        assert!(
            ending(bytes, how.into()) == Ending::Damaged || !begins_with_frame,
            "a whole frame is not torn"
        );
        recover(bytes);
        recover(&tail(bytes, how.into(), 0));
        return;
    }
    let [length, at, flips, payloads @ ..] = bytes else { return };
    let payloads: Vec<&[u8]> = payloads.chunks(usize::from(*length).max(1)).collect();
    let (mut journal, mut buffer) = (Vec::new(), Vec::new());
    for payload in &payloads {
        let mut frame = [&[0; FRAME_HEAD_BYTES], *payload].concat();
        seal(&mut frame);
        buffer.extend_from_slice(&entry_head(how.into(), journal.len() as u64));
        buffer.extend_from_slice(&frame);
        journal.append(&mut frame);
    }
    let frames = recover(&journal);
    assert_eq!(frames, payloads, "what was written is not what is read");
    let written = usize::from(*at) % (journal.len() + 1);
    assert_eq!(tail(&buffer, how.into(), written as u64), journal[written..], "the buffer lacks something");
    if !journal.is_empty() && *flips != 0 {
        let damaged = usize::from(*at) % buffer.len();
        buffer[damaged] ^= flips;
        assert!(
            journal.starts_with(&tail(&buffer, how.into(), 0)),
            "the buffer says what no test has written"
        );
        let at = usize::from(*at) % journal.len();
        journal[at] ^= flips;
        for frame in recover(&journal) {
            // A payload may hold what looks like a frame, and is searched if its own head is damaged.
            let holds = |payload: &&[u8]| payload.windows(frame.len()).any(|part| part == frame);
            assert!(payloads.iter().any(holds), "no test has written {}", frame.escape_ascii());
        }
    }
}

/// The payloads that are found, once they are recovered.
fn recover(mut rest: &[u8]) -> Vec<&[u8]> {
    let (mut recovery, mut frames, mut sightings) = (Recovery::new(), Vec::new(), 0);
    while !rest.is_empty() {
        let taken = match next_frame(rest) {
            Next::Frame(payload) => {
                let is_taken = recovery.frame(payload).is_ok();
                let known: Vec<Result<Record<'_>, NotARecord>> = records(payload).collect();
                assert!(!is_taken || known.iter().all(Result::is_ok), "what is no record was taken");
                let is_sighting = |known: &&Result<Record<'_>, _>| matches!(known, Ok(Record::Sighting(..)));
                sightings += known.iter().filter(is_sighting).count();
                frames.push(payload);
                FRAME_HEAD_BYTES + payload.len()
            }
            Next::Damaged(length) => length,
            Next::Short(needed) => {
                assert!(needed > rest.len());
                break;
            }
            Next::Lost => 1,
        };
        assert!(taken <= rest.len(), "more is taken than there is");
        rest = &rest[taken..];
    }
    let read = recovery.sightings() as usize;
    assert!(read <= sightings);
    let (memory, epoch) = recovery.finish("boot");
    assert!(memory.len() <= read && epoch.is_none());
    frames
}
