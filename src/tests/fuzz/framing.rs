//! A stream in pieces: the same lines as of the stream in one, and never more than there is room for.

use super::naive;
use crate::proto::line::framing::{Framing, Line};

/// The first byte is the bound of a line, and whether the end ends one; the second how much is read at once; the
/// third the seed of the pieces. What follows is the stream.
pub(crate) fn check(data: &[u8]) {
    let [bound, read, seed, stream @ ..] = data else { return };
    let bytes_max = usize::from(bound % 64) + 1;
    let end_ends_line = *bound < 128;
    let expected = naive::lines(stream, bytes_max, end_ends_line);
    for piece_bytes_max in [1, 1 + usize::from(seed % 32), usize::MAX] {
        let framing = Framing::new(bytes_max, usize::from(*read));
        let framing = if end_ends_line { framing } else { framing.whole_lines_only() };
        let pieces = Pieces::new(u64::from(*seed), piece_bytes_max);
        let mut at = 0;
        cut(framing, stream, pieces, |line| {
            assert_eq!(Some(&line), expected.get(at), "line {at}, in pieces of {piece_bytes_max}");
            at += 1;
        });
        assert_eq!(at, expected.len(), "lines are missing, in pieces of {piece_bytes_max}");
    }
}

/// How many bytes come at once: from 1 to a bound, by chance.
pub(crate) struct Pieces {
    chance: fastrand::Rng,
    bytes_max: usize,
}

impl Pieces {
    pub(crate) fn new(seed: u64, bytes_max: usize) -> Pieces {
        Pieces { chance: fastrand::Rng::with_seed(seed), bytes_max }
    }

    /// Reads as a socket does: at least a byte, if there is one, and at most what there is room for.
    pub(crate) fn read(&mut self, space: &mut [u8], stream: &mut &[u8]) -> usize {
        assert!(!space.is_empty(), "there is no room to read into");
        let count = self.chance.usize(1..=self.bytes_max).min(space.len()).min(stream.len());
        let (piece, rest) = stream.split_at(count);
        space[..count].copy_from_slice(piece);
        *stream = rest;
        count
    }
}

fn cut(mut framing: Framing, mut stream: &[u8], mut pieces: Pieces, mut each: impl FnMut(Line<'_>)) {
    loop {
        let count = pieces.read(framing.space(), &mut stream);
        framing.filled(count);
        let mut closed = false;
        while let Some(line) = framing.next_line() {
            assert!(!closed, "something came after a line that was too long");
            closed = matches!(line, Line::TooLong(_));
            each(line);
        }
        if closed || count == 0 {
            return;
        }
    }
}
