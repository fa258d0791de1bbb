//! Neighbours' `AT` lines in the form in which nearly all come, read in one go:
//! `AT Alford +0.263873386 kiwi +34.068930-118.445127 1520023934.918963`.
//!
//! It is a part of the grammar in [`crate::proto::peering::grammar`]: single spaces, nine places of the skew, and then
//! the fields of a report behind its word, as `report` reads them. Every other line, be it good or bad, is left to that
//! grammar.

use crate::proto::line::fast::report::{CLIENT, CanonicalReport, SecondsCache, WINDOW_BYTES};
use crate::proto::model::digits::{Digits, eight, one};
use crate::proto::model::name::{SERVER_NAME_BYTES_MAX, ServerName};
use crate::proto::model::time::Moment;

/// The first word, and the space behind it.
const WORD: &[u8; 3] = b"AT ";

/// The sign, at most seven digits, the point, nine digits, and the space behind.
const SKEW_BYTES_MAX: usize = 1 + 7 + 1 + 9 + 1;

/// The most bytes of a line that is read here.
pub(super) const CANONICAL_AT_BYTES_MAX: usize =
    WORD.len() + SERVER_NAME_BYTES_MAX + " ".len() + SKEW_BYTES_MAX + WINDOW_BYTES - CLIENT;

/// An `AT` line, by where its parts are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CanonicalAt {
    /// Where the client's name begins, and where it ends.
    pub(super) client: (usize, usize),
    /// Where the line ends, behind its line feed.
    pub(super) end: usize,
    /// The client's time.
    pub(super) moment: Moment,
}

impl CanonicalAt {
    /// Reads the line at the start of these bytes, which may end behind what has come; `None` for every other form.
    #[inline(always)]
    pub(super) fn read(bytes: &[u8], seconds: &mut SecondsCache) -> Option<CanonicalAt> {
        let space = WORD.len() + ServerName::len_at_start(bytes.strip_prefix(WORD)?)?;
        if *bytes.get(space)? != b' ' {
            return None;
        }
        let skew = space + 1;
        let client = skew + skew_bytes(bytes.get(skew..)?.first_chunk()?)?;
        let start = client - CLIENT;
        let report = CanonicalReport::behind_word(bytes.get(start..)?.first_chunk()?, seconds)?;
        Some(CanonicalAt {
            client: (client, start + report.client_end),
            end: start + report.end,
            moment: report.moment,
        })
    }
}

/// The length of a skew with nine places, and of the space behind it.
#[inline(always)]
fn skew_bytes(bytes: &[u8; SKEW_BYTES_MAX]) -> Option<usize> {
    let whole = Digits::of(*bytes[1..].first_chunk()?)?;
    let point = 1 + whole.len();
    let fraction = &bytes[point + 1..];
    eight(*fraction.first_chunk()?)?;
    one(*fraction.get(8)?)?;
    let is_one = matches!(bytes[0], b'+' | b'-') && !whole.is_empty() && bytes[point] == b'.';
    (is_one && fraction.get(9) == Some(&b' ')).then_some(point + 11)
}
