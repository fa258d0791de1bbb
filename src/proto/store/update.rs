//! An `AT` line ready to be merged, and which rule decides whether it is news.

use std::cmp::Ordering;
use std::ops::Range;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::time::{Moment, Timestamp};

/// Who told us of a sighting, so that it is not sent straight back: a neighbour during one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    neighbour: u32,
    epoch: Epoch,
}

impl Source {
    /// A client of our own.
    pub const CLIENT: Source = Source { neighbour: u32::MAX, epoch: Epoch(0) };

    /// Who has told us nothing.
    pub const NOBODY: Source = Source { neighbour: u32::MAX - 1, epoch: Epoch(0) };

    /// The neighbour with this index, with the memory of this epoch.
    pub fn neighbour(index: usize, epoch: Epoch) -> Source {
        Source { neighbour: index as u32, epoch }
    }
}

/// When a sighting is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// A client's own report: only if its time is strictly newer.
    LaterTime,
    /// What a neighbour tells: if it is greater in the total order, so that equal times settle the same way
    /// on every server.
    GreaterSighting,
}

/// An `AT` line ready to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The line, in the one form in which it is stored and sent, with its line feed.
    pub line: &'a [u8],
    /// Where in `line` the client's name stands.
    pub client: (usize, usize),
    /// The client's time, cut to nanoseconds.
    pub moment: Moment,
    /// Who told us.
    pub teller: Source,
    /// Which rule decides.
    pub newness: MergeRule,
}

impl Update<'_> {
    /// The line without its line feed.
    pub(crate) fn text(&self) -> &[u8] {
        &self.line[..self.line.len() - 1]
    }
}

/// Where in a line the client's name stands, as a record keeps it.
pub(crate) fn narrow(client: (usize, usize)) -> Range<u32> {
    // A line has some ten thousand bytes at most: see the limits of `framing`.
    client.0 as u32..client.1 as u32
}

/// Whether a line wins over the stored one, their times being equal in whole nanoseconds.
#[cold]
pub(crate) fn wins_tie(line: &[u8], newness: MergeRule, stored: &[u8]) -> bool {
    let by_time = time_of(line).cmp(&time_of(stored));
    match (by_time, newness) {
        (Ordering::Less, _) | (Ordering::Equal, MergeRule::LaterTime) => false,
        (Ordering::Greater, _) => true,
        (Ordering::Equal, MergeRule::GreaterSighting) => trimmed(line) > trimmed(stored),
    }
}

/// The time of an `AT` line that is stored or about to be: its last field.
fn time_of(line: &[u8]) -> Option<Timestamp<'_>> {
    let line = trimmed(line);
    let start = memchr::memrchr(b' ', line).map_or(0, |space| space + 1);
    std::str::from_utf8(&line[start..]).ok().and_then(Timestamp::parse)
}

/// A line without its line feed.
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
