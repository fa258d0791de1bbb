//! A line ready to be merged, where it was learned, and the one total order that decides whether it is applied.

use std::cmp::Ordering;
use std::ops::Range;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::era::Era;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::stored_line::{Life, StoredLine, Tombstone, parts};
use crate::proto::model::time::{Moment, Timestamp};
use crate::proto::store::digest::report_hash;
use crate::proto::store::terms::Terms;

/// Where a sighting was learned, so that it is not sent straight back: a neighbour during one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    neighbour: u32,
    epoch: Epoch,
}

/// When an update is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// A client's own report, or a legacy neighbour's line: only if its time is strictly later. It inherits the era of
    /// what is stored.
    LaterTime,
    /// A neighbour's line: if it is greater in the total order, so that equal times are decided alike on every server.
    GreaterSighting,
}

/// From which byte to which, in a line or in a batch of lines. Both have far less than four gigabytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte behind the last one.
    pub end: u32,
}

/// The metadata of a line, as they go from the batch into the record: together, which costs a third of one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where in the line the client's name stands.
    pub client: Span,
    /// The client's time, cut to nanoseconds.
    pub moment: Moment,
    /// Where it was learned.
    pub source: Source,
}

/// A line ready to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The line, in the one form in which it is stored and sent, with its line feed.
    pub line: &'a [u8],
    /// Its metadata.
    pub meta: Meta,
    /// The era of the line; the first for a client's own report, which says none.
    pub era: Era,
    /// Which rule decides.
    pub rule: MergeRule,
}

/// Updates that are applied together, under one lock: a batch of lines, the body of a request, a packet.
pub trait Updates {
    /// The update at this index, in the order in which they are applied; `None` behind the last.
    fn get(&self, i: usize) -> Option<Update<'_>>;

    /// Turns the acknowledgement of this update into an error, because it is not stored.
    fn reject(&mut self, i: usize, why: Reject);

    /// How far a neighbour has come with these updates. It counts once they are merged.
    fn reached(&self) -> Option<Reached> {
        None
    }

    /// What a neighbour offers behind these updates.
    fn offered(&self) -> Option<&Offered> {
        None
    }

    /// Learns that every update has been merged or rejected.
    fn applied(&mut self) {}
}

impl Updates for Update<'_> {
    fn get(&self, i: usize) -> Option<Update<'_>> {
        (i == 0).then_some(*self)
    }

    /// Only a new client that registers itself is rejected, and then nothing was promised.
    fn reject(&mut self, _: usize, _: Reject) {}
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is stored.
    Applied,
    /// It is stored in a later era than it says, so with another line: [`crate::proto::store::Store::newest_line`].
    AppliedInEra,
    /// It was known, or what is stored is later.
    Outdated,
    /// It is not stored, for this reason.
    Rejected(Reject),
}

/// Why a valid update is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A client registers itself where no more clients may.
    TooManyClients,
    /// A client registers itself where there is no more memory for clients.
    OutOfMemory,
}

/// A neighbour, by its index, has sent everything up to a position in the log of changes of one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The neighbour.
    pub neighbour: usize,
    /// The life of its memory.
    pub epoch: Epoch,
    /// The sequence number, in that memory, of the last change that it has sent.
    pub up_to: u64,
    /// What it said beside that, in a heartbeat.
    pub terms: Option<Terms>,
    /// Whether it may be told to prune its link.
    pub may_prune: bool,
}

/// A neighbour, by its index, has records with these hashes among its changes up to a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// The neighbour.
    pub neighbour: usize,
    /// The position.
    pub position: u64,
    /// The hashes, as they are in digests.
    pub hashes: Vec<u64>,
}

impl Source {
    /// A client of our own.
    pub const CLIENT: Source = Source { neighbour: u32::MAX, epoch: Epoch(0) };

    /// The core database.
    pub const DATABASE: Source = Source { neighbour: u32::MAX - 2, epoch: Epoch(0) };

    /// A follower from which nothing is learned, so that everything is due to it.
    pub const NONE: Source = Source { neighbour: u32::MAX - 1, epoch: Epoch(0) };

    /// The neighbour with this index, with the memory of this epoch.
    pub fn neighbour(index: usize, epoch: Epoch) -> Source {
        Source { neighbour: index as u32, epoch }
    }

    /// The index of the neighbour, if it is one.
    #[inline]
    pub(crate) fn neighbour_index(self) -> Option<usize> {
        (self.neighbour < Source::DATABASE.neighbour).then_some(self.neighbour as usize)
    }
}

impl Span {
    /// From `start` to before `end`.
    #[inline(always)]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// As what text is cut with.
    #[inline(always)]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl<'a> Update<'a> {
    /// Reads a line that was stored; `None` if it is none.
    pub fn from_stored(line: &'a [u8], source: Source) -> Option<Update<'a>> {
        let stored = StoredLine::parse(line.strip_suffix(b"\n")?).ok()?;
        let (start, end) = stored.client_range();
        let meta = Meta { client: Span::new(start, end), moment: stored.moment(), source };
        Some(Update { line, meta, era: stored.era(), rule: MergeRule::GreaterSighting })
    }

    /// Compares this update with what is stored of the same client: the era, the time and the line of it. It is applied
    /// if it is greater.
    ///
    /// What is stored of one client is totally ordered: by era; then by time, which is compared exactly, with a
    /// tombstone before all times; at equal times by the bytes of the lines; and last by their attributes, absent ones
    /// first, because those get lost on the way through a legacy neighbour. So whatever order two lines arrive in,
    /// and however often, every server keeps the same one. By [`MergeRule::LaterTime`] the eras are not compared, and
    /// equal times are equal.
    #[inline(always)]
    pub fn cmp_stored(&self, era: Era, moment: Moment, line: &(impl AsRef<[u8]> + ?Sized)) -> Ordering {
        // Nearly every update is of the same era and later, most by seconds. The line is not looked at then.
        if self.era == era && self.is_later_than(moment) {
            return Ordering::Greater;
        }
        self.cmp_stored_not_later(era, moment, line.as_ref())
    }

    /// Whether it is later than this in whole nanoseconds.
    #[inline(always)]
    pub(crate) fn is_later_than(&self, stored: Moment) -> bool {
        let update = self.meta.moment;
        update.seconds > stored.seconds || (update.seconds == stored.seconds && update.nanos > stored.nanos)
    }

    /// The client's name.
    #[inline(always)]
    pub(crate) fn client(&self) -> &'a [u8] {
        &self.line[self.meta.client.range()]
    }

    /// Whether it was received after the client's time: the field before the client has a plus sign.
    pub(crate) fn has_positive_skew(&self) -> bool {
        let before = self.line[..self.meta.client.start as usize].trim_ascii_end();
        let sign = memchr::memrchr(b' ', before).and_then(|space| before.get(space + 1));
        sign == Some(&b'+')
    }

    /// The line without its line feed.
    #[inline(always)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.line[..self.line.len() - 1]
    }

    /// The order where the update is not of the same era and later in whole nanoseconds.
    #[cold]
    fn cmp_stored_not_later(&self, era: Era, moment: Moment, line: &[u8]) -> Ordering {
        let by_moment = self.meta.moment.cmp(&moment);
        // The moments are cut to nanoseconds, and a tombstone has no time at all, which is before every other.
        let by_time = by_moment.then_with(|| time_of(self.line).cmp(&time_of(line)));
        match self.rule {
            MergeRule::LaterTime => by_time,
            MergeRule::GreaterSighting => {
                let by_parts = || parts(trimmed(self.line)).cmp(&parts(trimmed(line)));
                self.era.cmp(&era).then(by_time).then_with(by_parts)
            }
        }
    }
}

/// The tombstone that makes a client forgotten in this second since 1970, of whom this is stored; `None` if it is
/// forgotten.
pub fn forget(stored: &[u8], now_s: u64) -> Option<Vec<u8>> {
    let line = trimmed(stored);
    let sighting = StoredLine::parse(line).ok()?;
    let StoredLine::Sighting(life, _, Sighting { client, .. }) = sighting else { return None };
    let life = Life { era: life.era.next(now_s), forgotten: report_hash(&line[sighting.client_range().0..]) };
    let mut tombstone = Vec::new();
    StoredLine::Tombstone(Tombstone { life, client }).push_to(&mut tombstone);
    Some(tombstone)
}

/// A line without its line feed.
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// The time of an `AT` line that is stored or about to be: its last field.
fn time_of(line: &[u8]) -> Option<Timestamp<'_>> {
    let line = trimmed(line);
    let start = memchr::memrchr(b' ', line).map_or(0, |space| space + 1);
    std::str::from_utf8(&line[start..]).ok().and_then(|text| Timestamp::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(update: &str, stored: &str, rule: MergeRule) -> Ordering {
        let read = |line| Update::from_stored(line, Source::CLIENT).unwrap();
        let [update, stored] = [update, stored].map(|line| format!("{line}\n"));
        let Update { era, meta, .. } = read(stored.as_bytes());
        Update { rule, ..read(update.as_bytes()) }.cmp_stored(era, meta.moment, stored.as_bytes())
    }

    #[test]
    fn updates_are_ordered_by_exact_time_and_then_by_line() {
        use MergeRule::{GreaterSighting, LaterTime};
        for (update, stored, by_neighbour, by_client) in [
            ("AT A +1 k +1+1 6", "AT A +1 k +1+1 5", Ordering::Greater, Ordering::Greater),
            ("AT A +1 k +1+1 5", "AT A +1 k +1+1 6", Ordering::Less, Ordering::Less),
            ("AT A +1 k +1+1 5.0000000001", "AT B +1 k +1+1 5", Ordering::Greater, Ordering::Greater),
            ("AT B +1 k +1+1 5", "AT A +1 k +1+1 5.0000000001", Ordering::Less, Ordering::Less),
            ("AT B +1 k +1+1 5", "AT A +1 k +1+1 5", Ordering::Greater, Ordering::Equal),
            ("AT A +1 k +1+1 5", "AT A +1 k +1+1 5.0", Ordering::Less, Ordering::Equal),
            ("AT A +1 k +1+1 5", "AT A +1 k +1+1 5", Ordering::Equal, Ordering::Equal),
            (
                "ERA 7 #0123456789012345 AT A +1 k +1+1 5",
                "AT A +1 k +1+1 6",
                Ordering::Greater,
                Ordering::Less,
            ),
            (
                "AT A +1 k +1+1 6",
                "ERA 7 #0123456789012345 AT A +1 k +1+1 5",
                Ordering::Less,
                Ordering::Greater,
            ),
            ("AT A +1 k +1+1 6", "FORGET 7 k #0123456789012345", Ordering::Less, Ordering::Greater),
            ("FORGET 7 k #0123456789012345", "AT A +1 k +1+1 6", Ordering::Greater, Ordering::Less),
            ("WITH a=1 AT A +1 k +1+1 5", "AT A +1 k +1+1 5", Ordering::Greater, Ordering::Equal),
            ("WITH a=1 AT A +1 k +1+1 5", "WITH a=2 AT A +1 k +1+1 5", Ordering::Less, Ordering::Equal),
            ("WITH a=1 AT A +1 k +1+1 5", "AT B +1 k +1+1 5", Ordering::Less, Ordering::Equal),
            ("WITH a=1 AT A +1 k +1+1 5", "AT A +1 k +1+1 6", Ordering::Less, Ordering::Less),
            (
                "ERA 7 #0123456789012345 WITH a=1 AT A +1 k +1+1 5",
                "ERA 7 #0123456789012345 AT A +1 k +1+1 5",
                Ordering::Greater,
                Ordering::Equal,
            ),
            (
                "FORGET 7 k #0123456789012345",
                "ERA 7 #0123456789012345 AT A +1 k +1+1 6",
                Ordering::Less,
                Ordering::Less,
            ),
            (
                "FORGET 7 k #0123456789012345",
                "FORGET 7 k #0123456789012344",
                Ordering::Greater,
                Ordering::Equal,
            ),
            (
                "ERA 7 #0123456789012345 AT A +1 k +1+1 0.0000000001",
                "FORGET 7 k #0123456789012345",
                Ordering::Greater,
                Ordering::Greater,
            ),
        ] {
            assert_eq!(order(update, stored, GreaterSighting), by_neighbour, "{update} after {stored}");
            assert_eq!(order(update, stored, LaterTime), by_client, "{update} after {stored}");
        }
    }
}
