//! Frames: what a link in a herd with a secret carries after its handshake, in each direction.
//!
//! A frame is the length of the rest in two bytes, the higher one first, and a message of Noise with lines in it. The
//! number of a frame is its nonce: both sides count, and it is never sent. So a frame that was changed, left out,
//! repeated or put elsewhere does not open, and nothing does after it.
//!
//! The two directions share nothing that changes: a thread that reads and one that writes need no lock.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use snow::StatelessTransportState;

/// The most bytes of lines in a frame: larger ones are no faster, and each side holds one.
pub const FRAME_LINES_BYTES_MAX: usize = 32 * 1024;

/// When a link is worn, so that another one with new keys takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wear {
    /// Its age.
    pub age_max: Duration,
    /// The bytes of lines that one side has sealed.
    pub bytes_max: u64,
}

/// After a day, so that one who comes by the keys of a running server can read no more than that; and after a quarter
/// of what one key of AES-GCM is good for (RFC 8446, section 5.5).
pub const WEAR: Wear = Wear { age_max: Duration::from_secs(24 * 60 * 60), bytes_max: 100_000_000_000 };

const LENGTH_BYTES: usize = 2;

/// What shows that a frame is the one that was sealed.
const TAG_BYTES: usize = 16;

/// The bytes that a buffer begins with: a link that was never opened costs little.
const FIRST_BYTES: usize = 1024;

const FRAME_BYTES_MAX: usize = LENGTH_BYTES + FRAME_LINES_BYTES_MAX + TAG_BYTES;

/// A frame that is not the next one which the other side has sealed. The link is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a frame was changed, repeated or left out on its way: secret, herd or version differs, or it is under attack"
)]
pub struct BadFrame;

/// Both directions of a link.
#[derive(Debug)]
pub struct Frames {
    /// To the other side.
    pub sealer: Sealer,
    /// From the other side.
    pub opener: Opener,
}

/// Makes frames of lines.
#[derive(Debug)]
pub struct Sealer {
    cipher: Arc<StatelessTransportState>,
    next_frame: u64,
    sealed_bytes: u64,
}

/// Makes lines of frames.
#[derive(Debug)]
pub struct Opener {
    cipher: Arc<StatelessTransportState>,
    next_frame: u64,
    /// What has come, of which `unopened` is not opened yet.
    buffer: Vec<u8>,
    unopened: Range<usize>,
    /// What was opened last, of which `unread` is not given out yet.
    lines: Vec<u8>,
    unread: Range<usize>,
}

impl Frames {
    pub(super) fn new(cipher: StatelessTransportState) -> Frames {
        let cipher = Arc::new(cipher);
        Frames {
            sealer: Sealer { cipher: Arc::clone(&cipher), next_frame: 0, sealed_bytes: 0 },
            opener: Opener {
                cipher,
                next_frame: 0,
                buffer: vec![0; FIRST_BYTES],
                unopened: 0..0,
                lines: Vec::new(),
                unread: 0..0,
            },
        }
    }
}

impl Sealer {
    /// Appends frames with these lines to `out`.
    pub fn seal(&mut self, lines: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
        for lines in lines.chunks(FRAME_LINES_BYTES_MAX) {
            let begins = out.len();
            let sealed_bytes = lines.len() + TAG_BYTES;
            out.extend_from_slice(&(sealed_bytes as u16).to_be_bytes());
            out.resize(begins + LENGTH_BYTES + sealed_bytes, 0);
            let space = &mut out[begins + LENGTH_BYTES..];
            self.cipher.write_message(self.next_frame, lines, space).map_err(|_| BadFrame)?;
            self.next_frame += 1;
            self.sealed_bytes += lines.len() as u64;
        }
        Ok(())
    }

    /// Whether a link that is so old is worn.
    pub fn is_worn(&self, age: Duration, wear: Wear) -> bool {
        age >= wear.age_max || self.sealed_bytes >= wear.bytes_max
    }
}

impl Opener {
    /// Where to read into; it is not empty if [`Opener::read`] has given all that it had.
    pub fn space(&mut self) -> &mut [u8] {
        if self.unopened.start > 0 {
            self.buffer.copy_within(self.unopened.clone(), 0);
            self.unopened = 0..self.unopened.len();
        }
        &mut self.buffer[self.unopened.end..]
    }

    /// Notes that so many bytes were read into [`Opener::space`].
    pub fn filled(&mut self, count: usize) {
        self.unopened.end += count;
        // More may wait: with little room each call of the system would bring little of it.
        if self.unopened.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 4).min(FRAME_BYTES_MAX), 0);
        }
    }

    /// Gives the lines of all frames that have come, as far as there is space, and says how many bytes of them; `None`
    /// if more must be read first.
    pub fn read(&mut self, space: &mut [u8]) -> Result<Option<usize>, BadFrame> {
        let mut count = 0;
        loop {
            let space = &mut space[count..];
            let some = self.unread.len().min(space.len());
            let end = self.unread.start + some;
            space[..some].copy_from_slice(&self.lines[self.unread.start..end]);
            self.unread.start = end;
            count += some;
            let space = &mut space[some..];
            if space.is_empty() {
                break;
            }
            match self.open_next(space) {
                Ok(Some(opened)) => count += opened,
                Ok(None) => break,
                // What came before it is good, and is given out first.
                Err(BadFrame) if count > 0 => break,
                Err(BadFrame) => return Err(BadFrame),
            }
        }
        Ok((count > 0).then_some(count))
    }

    /// Whether a part of a frame has come whose rest has not.
    pub fn is_mid_frame(&self) -> bool {
        !self.unopened.is_empty()
    }

    /// Opens the next frame if it has come: into `space` if it fits there, else into `lines`. Says how many bytes of
    /// `space` it took.
    fn open_next(&mut self, space: &mut [u8]) -> Result<Option<usize>, BadFrame> {
        let Some((length, rest)) = self.buffer[self.unopened.clone()].split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if !(TAG_BYTES..=FRAME_BYTES_MAX - LENGTH_BYTES).contains(&length) {
            return Err(BadFrame);
        }
        let Some(sealed) = rest.get(..length) else { return Ok(None) };
        // With less room than the sealed bytes take, the cipher would allocate.
        let fits = space.len() >= length;
        let space = if fits {
            space
        } else {
            self.lines.resize(self.lines.len().max(length), 0);
            &mut self.lines
        };
        let opened = self.cipher.read_message(self.next_frame, sealed, space).map_err(|_| BadFrame)?;
        self.next_frame += 1;
        self.unopened.start += LENGTH_BYTES + length;
        if fits {
            return Ok(Some(opened));
        }
        self.unread = 0..opened;
        Ok(Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::line::framing::MESSAGE_LENGTH_BYTES;
    use crate::proto::model::epoch::Epoch;
    use crate::proto::model::name::ServerName;
    use crate::proto::model::secret::Secret;
    use crate::proto::peering::grammar::Greeting;
    use crate::proto::peering::noise::{EphemeralKey, answer, begin};
    use proptest::prelude::*;

    fn pair() -> (Frames, Frames) {
        let name = |text| ServerName::parse(text).unwrap();
        let hello = Greeting { from: name("Alford"), to: name("Bolden"), epoch: None };
        let secret = Secret::parse(b"the secret of this herd").unwrap();
        let (begun, first) = begin(&secret, &hello, Epoch(1), EphemeralKey([1; 32]));
        let first = &first[MESSAGE_LENGTH_BYTES..];
        let (there, _, second) = answer(&[secret], &hello, first, Epoch(2), EphemeralKey([2; 32])).unwrap();
        let (here, _) = begun.finish(&second[MESSAGE_LENGTH_BYTES..]).unwrap();
        (here, there)
    }

    fn frame(sealer: &mut Sealer, lines: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        sealer.seal(lines, &mut frame).unwrap();
        frame
    }

    /// All that opens of a stream that comes in pieces, and whether something did not open.
    fn opened(opener: &mut Opener, mut stream: &[u8], piece: usize, room: usize) -> (Vec<u8>, bool) {
        let (mut all, mut space) = (Vec::new(), vec![0; room]);
        loop {
            match opener.read(&mut space) {
                Ok(Some(count)) => all.extend_from_slice(&space[..count]),
                Ok(None) if stream.is_empty() => return (all, false),
                Ok(None) => {
                    let free = opener.space();
                    let count = free.len().min(piece).min(stream.len());
                    free[..count].copy_from_slice(&stream[..count]);
                    opener.filled(count);
                    stream = &stream[count..];
                }
                Err(BadFrame) => return (all, true),
            }
        }
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(
            writes in prop::collection::vec(0_usize..100_000, 1..4),
            piece in 1_usize..70_000,
            room in 1_usize..70_000,
        ) {
            let (mut here, mut there) = pair();
            let (mut lines, mut stream) = (Vec::new(), Vec::new());
            for bytes in writes {
                let written: Vec<u8> = (0..bytes).map(|at| (at * 7 + bytes) as u8).collect();
                stream.extend(frame(&mut here.sealer, &written));
                lines.extend(written);
            }
            prop_assert_eq!(opened(&mut there.opener, &stream, piece, room), (lines, false));
            prop_assert!(!there.opener.is_mid_frame());
        }
    }

    #[test]
    fn frames_that_are_dropped_repeated_swapped_changed_or_reflected_do_not_open() {
        let frames = |sealer: &mut Sealer| [b"one\n", b"two\n", b"six\n"].map(|line| frame(sealer, line));
        for (stream, good) in [
            (vec![0, 1, 2], &b"one\ntwo\nsix\n"[..]),
            (vec![1, 2], b""),
            (vec![0, 2], b"one\n"),
            (vec![0, 0, 1, 2], b"one\n"),
            (vec![0, 1, 0, 2], b"one\ntwo\n"),
            (vec![1, 0, 2], b""),
        ] {
            let (mut here, mut there) = pair();
            let frames = frames(&mut here.sealer);
            let bytes: Vec<u8> = stream.iter().flat_map(|&at| frames[at].clone()).collect();
            let is_bad = stream != [0, 1, 2];
            assert_eq!(opened(&mut there.opener, &bytes, 7, 100), (good.to_vec(), is_bad), "{stream:?}");
        }
        let (mut here, mut there) = pair();
        let sealed = frame(&mut here.sealer, b"one\n");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (lines, is_bad) = opened(&mut pair().1.opener, &changed, 100, 100);
            // A length that has grown waits for more.
            assert!(lines.is_empty() && (is_bad || bit < 16), "{bit}");
        }
        assert_eq!(opened(&mut here.opener, &sealed, 100, 100), (Vec::new(), true), "it was reflected");
        assert_eq!(opened(&mut there.opener, &sealed[..sealed.len() - 1], 100, 100), (Vec::new(), false));
        assert!(there.opener.is_mid_frame(), "the half of a frame gives nothing");
    }

    #[test]
    fn all_frames_that_have_come_are_read_at_once() {
        let (mut here, mut there) = pair();
        let line = [b'x'; 99];
        let mut stream: Vec<u8> = (0..200).flat_map(|_| frame(&mut here.sealer, &line)).collect();
        let bad = stream.len();
        stream.extend(frame(&mut here.sealer, &line));
        stream[bad + 5] ^= 1;
        let (mut rest, mut space, mut reads) = (&stream[..], vec![0; 30_000], 0);
        while !rest.is_empty() {
            let free = there.opener.space();
            let count = free.len().min(rest.len());
            free[..count].copy_from_slice(&rest[..count]);
            there.opener.filled(count);
            rest = &rest[count..];
            reads += 1;
        }
        assert!(reads < 6, "{reads}");
        assert_eq!(
            there.opener.read(&mut space),
            Ok(Some(200 * line.len())),
            "what came before the bad one is good"
        );
        assert_eq!(there.opener.read(&mut space), Err(BadFrame));
        assert_eq!(there.opener.read(&mut space), Err(BadFrame));
    }

    #[test]
    fn a_link_is_worn_by_age_and_by_bytes() {
        let (mut here, _) = pair();
        let wear = Wear { age_max: Duration::from_secs(9), bytes_max: 40_000 };
        frame(&mut here.sealer, &[b'x'; 39_999]);
        assert!(!here.sealer.is_worn(Duration::from_secs(8), wear));
        assert!(here.sealer.is_worn(Duration::from_secs(9), wear));
        frame(&mut here.sealer, b"x");
        assert!(here.sealer.is_worn(Duration::ZERO, wear));
        assert!(!here.sealer.is_worn(Duration::from_secs(60 * 60), WEAR));
    }

    #[test]
    fn a_frame_has_a_bound() {
        let (mut here, mut there) = pair();
        let most = vec![b'x'; FRAME_LINES_BYTES_MAX];
        let sealed = frame(&mut here.sealer, &most);
        assert_eq!(sealed.len(), FRAME_BYTES_MAX);
        assert_eq!(opened(&mut there.opener, &sealed, 100_000, 100_000), (most, false));
        for length in [0, 15, (FRAME_LINES_BYTES_MAX + TAG_BYTES + 1) as u16, u16::MAX] {
            let stream = [&length.to_be_bytes()[..], &[0; 20]].concat();
            assert_eq!(opened(&mut pair().1.opener, &stream, 100, 100), (Vec::new(), true), "{length}");
        }
    }
}
