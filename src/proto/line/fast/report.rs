//! Reports in the form in which nearly all come, read in one go: `IAMAT kiwi +34.068930-118.445127 1520023934.918963`.
//!
//! It is a part of the grammar in [`crate::proto::line::commands::iamat`]: single spaces, a name of printable ASCII,
//! one to seven places behind each point, ten digits of seconds and up to nine behind their point, a line feed. A line
//! that is read here is read there alike; every other line, be it good or bad, is left to that grammar.

use crate::proto::line::framing::LOOKAHEAD_BYTES;
use crate::proto::model::digits::{Digits, each, eight, one};
use crate::proto::model::time::Moment;

/// The bytes to be looked at from the start of a line on, whether they have come or not: a name of 64 bytes fits with
/// all that may follow it.
pub(super) const WINDOW_BYTES: usize = LOOKAHEAD_BYTES;

/// The fewest bytes of a line that is read here.
pub(super) const CANONICAL_BYTES_MIN: usize = "IAMAT k +1.0+1.0 1520023934.9\n".len();

/// The first word, and the space behind it.
const WORD: &[u8; 6] = b"IAMAT ";

/// Where the client's name begins.
pub(super) const CLIENT: usize = WORD.len();

/// The sign, at most seven digits, the point, at most seven digits, and what ends them.
const DEGREES_BYTES: usize = 1 + 7 + 1 + 8;

/// Ten digits, the point, nine digits, and the line feed.
const TIME_BYTES: usize = 10 + 1 + 9 + 1;

/// The bounds of whole degrees, as [`Digits::spread`] has them. A number with just the bound is not read here, because
/// it may be beyond the bound behind the point.
const LATITUDE_BOUND: u64 = 0x09_00;
const LONGITUDE_BOUND: u64 = 0x01_08_00;

/// A report, by where its parts are in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CanonicalReport {
    /// Where the client's name ends, which begins at [`CLIENT`].
    pub(super) client_end: usize,
    /// Where the line ends, behind its line feed.
    pub(super) end: usize,
    /// The client's time.
    pub(super) moment: Moment,
}

/// The hundreds of seconds of the line before: most lines have the same, which need not be computed again.
#[derive(Debug)]
pub(super) struct SecondsCache {
    digits: [u8; 8],
    value: u64,
}

impl Default for SecondsCache {
    /// The hundreds of no line.
    fn default() -> SecondsCache {
        SecondsCache { digits: *b"00000000", value: 0 }
    }
}

impl SecondsCache {
    #[inline(always)]
    fn of(&mut self, digits: [u8; 8]) -> Option<u64> {
        if digits != self.digits { self.others(digits) } else { Some(self.value) }
    }

    #[cold]
    fn others(&mut self, digits: [u8; 8]) -> Option<u64> {
        let value = eight(digits)?;
        *self = SecondsCache { digits, value };
        Some(value)
    }
}

impl CanonicalReport {
    /// Reads the line at the start of the window; `None` for every other form. It may end behind what has come.
    #[inline(always)]
    pub(super) fn read(window: &[u8; WINDOW_BYTES], seconds: &mut SecondsCache) -> Option<CanonicalReport> {
        if window.starts_with(WORD) { CanonicalReport::behind_word(window, seconds) } else { None }
    }

    /// Reads a line whose window has anything of the length of the word in front.
    #[inline(always)]
    pub(super) fn behind_word(
        window: &[u8; WINDOW_BYTES],
        seconds: &mut SecondsCache,
    ) -> Option<CanonicalReport> {
        let client_end = name_end(window)?;
        let latitude = client_end + 1;
        let longitude = latitude + degrees(window, latitude, LATITUDE_BOUND)?;
        let space = longitude + degrees(window, longitude, LONGITUDE_BOUND)?;
        if *window.get(space)? != b' ' {
            return None;
        }
        let (moment, bytes) = time(window, space + 1, seconds)?;
        Some(CanonicalReport { client_end, end: space + 1 + bytes, moment })
    }
}

/// Where the name ends, with a space. It is of printable ASCII, so that it need not be checked to be UTF-8.
#[inline(always)]
fn name_end(window: &[u8; WINDOW_BYTES]) -> Option<usize> {
    for (at, bytes) in window[CLIENT..].as_chunks().0.iter().enumerate() {
        let bytes = u64::from_le_bytes(*bytes);
        // Marks what is no letter, digit or sign; a borrow goes upwards, so the lowest mark is right.
        let stops = (bytes.wrapping_sub(each(b'!')) | bytes) & each(0x80);
        if stops != 0 {
            let end = CLIENT + 8 * at + stops.trailing_zeros() as usize / 8;
            return (window[end] == b' ' && end > CLIENT).then_some(end);
        }
    }
    None
}

/// The length of a signed number with a point and one to seven digits behind it, whose size is below the bound.
#[inline(always)]
fn degrees(window: &[u8; WINDOW_BYTES], at: usize, bound: u64) -> Option<usize> {
    let bytes: &[u8; DEGREES_BYTES] = window.get(at..)?.first_chunk()?;
    let whole = digits_at(bytes, 1)?;
    let point = 1 + whole.len();
    let fraction = digits_at(bytes, point + 1)?;
    let is_signed = matches!(bytes[0], b'+' | b'-');
    // Without a whole digit it is beyond every bound.
    let is_one = is_signed && bytes[point] == b'.' && !fraction.is_empty();
    (is_one && whole.spread() < bound).then_some(point + 1 + fraction.len())
}

/// The time, and how many bytes it takes with the line feed behind it.
#[inline(always)]
fn time(window: &[u8; WINDOW_BYTES], at: usize, seconds: &mut SecondsCache) -> Option<(Moment, usize)> {
    let bytes: &[u8; TIME_BYTES] = window.get(at..)?.first_chunk()?;
    let seconds = 100 * seconds.of(*bytes.first_chunk()?)? + 10 * one(bytes[8])? + one(bytes[9])?;
    if bytes[10] != b'.' || seconds == 0 {
        return None;
    }
    let (nanos, end) = match (eight(*bytes[11..].first_chunk()?), one(bytes[19])) {
        (Some(first), Some(last)) => (10 * first + last, 20),
        (_, None) | (None, _) => short_fraction(bytes)?,
    };
    (bytes[end] == b'\n').then_some((Moment { seconds, nanos: nanos as u32 }, end + 1))
}

/// The nanoseconds of a fraction of less than nine digits, and where it ends.
#[cold]
fn short_fraction(bytes: &[u8; TIME_BYTES]) -> Option<(u64, usize)> {
    let first = *bytes[11..].first_chunk()?;
    match eight(first) {
        Some(value) => Some((10 * value, 19)),
        None => {
            let digits = Digits::of(first)?;
            let missing = 9 - digits.len() as u32;
            (!digits.is_empty()).then(|| (digits.value() * 10_u64.pow(missing), 11 + digits.len()))
        }
    }
}

#[inline(always)]
fn digits_at(bytes: &[u8; DEGREES_BYTES], at: usize) -> Option<Digits> {
    Digits::of(*bytes.get(at..)?.first_chunk()?)
}
