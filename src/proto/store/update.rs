//! An `AT` line ready to be merged, where it was learned, and the one total order that decides whether it is applied.

use std::cmp::Ordering;
use std::ops::Range;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::sighting::{Sighting, at_line};
use crate::proto::model::time::{Moment, Timestamp};

/// Where a sighting was learned, so that it is not sent straight back: a neighbour during one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    neighbour: u32,
    epoch: Epoch,
}

/// When an update is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// A client's own report, or a legacy neighbour's line: only if its time is strictly later.
    LaterTime,
    /// A neighbour's line: if it is greater in the total order, so that equal times are decided alike on every server.
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
    /// Where it was learned.
    pub source: Source,
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

    /// Learns that every update has been merged or rejected.
    fn applied(&mut self) {}
}

/// Why a valid update is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A client registers itself where no more clients may.
    TooManyClients,
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
}

impl Source {
    /// A client of our own.
    pub const CLIENT: Source = Source { neighbour: u32::MAX, epoch: Epoch(0) };

    /// A follower from which nothing is learned, so that everything is due to it.
    pub const NONE: Source = Source { neighbour: u32::MAX - 1, epoch: Epoch(0) };

    /// The neighbour with this index, with the memory of this epoch.
    pub fn neighbour(index: usize, epoch: Epoch) -> Source {
        Source { neighbour: index as u32, epoch }
    }
}

impl<'a> Update<'a> {
    /// A sighting and the stored form of its line.
    pub fn new(line: &'a [u8], sighting: &Sighting<'_>, source: Source, rule: MergeRule) -> Update<'a> {
        Update { line, client: sighting.client_range(), moment: sighting.time.moment(), source, rule }
    }

    /// Reads a line that was stored; `None` if it is none.
    pub fn from_stored(line: &'a [u8], source: Source) -> Option<Update<'a>> {
        let (sighting, _) = at_line(line.strip_suffix(b"\n")?).ok()?;
        Some(Update::new(line, &sighting, source, MergeRule::GreaterSighting))
    }

    /// Compares this update with what is stored of the same client, the time and the line of it. It is applied if it is
    /// greater.
    ///
    /// Sightings of one client are totally ordered: by time, which is compared exactly, and at equal times by the bytes
    /// of their lines. So whatever order two sightings arrive in, and however often, every server keeps the same one.
    /// By [`MergeRule::LaterTime`] equal times are equal.
    #[inline(always)]
    pub fn cmp_stored(&self, moment: Moment, line: &(impl AsRef<[u8]> + ?Sized)) -> Ordering {
        // Nearly every update is later, most by seconds. The line is not looked at then.
        let (update, stored) = (self.moment, moment);
        if update.seconds > stored.seconds
            || (update.seconds == stored.seconds && update.nanos > stored.nanos)
        {
            return Ordering::Greater;
        }
        cmp_not_later((self.moment, self.line), (moment, line.as_ref()), self.rule)
    }

    /// The line without its line feed.
    #[inline(always)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.line[..self.line.len() - 1]
    }
}

/// The order where the update is not later in whole nanoseconds. Takes the parts of an update, because an update that
/// is passed on as a whole has to be put together first.
#[cold]
fn cmp_not_later(update: (Moment, &[u8]), stored: (Moment, &[u8]), rule: MergeRule) -> Ordering {
    if update.0 < stored.0 {
        return Ordering::Less;
    }
    let by_time = time_of(update.1).cmp(&time_of(stored.1));
    match rule {
        MergeRule::LaterTime => by_time,
        MergeRule::GreaterSighting => by_time.then_with(|| trimmed(update.1).cmp(trimmed(stored.1))),
    }
}

/// Where in a line the client's name stands, as a record keeps it.
pub(crate) fn narrow(client: (usize, usize)) -> Range<u32> {
    // A line has some ten thousand bytes at most: see the limits of `framing`.
    client.0 as u32..client.1 as u32
}

/// A line without its line feed.
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// The time of an `AT` line that is stored or about to be: its last field.
fn time_of(line: &[u8]) -> Option<Timestamp<'_>> {
    let line = trimmed(line);
    let start = memchr::memrchr(b' ', line).map_or(0, |space| space + 1);
    std::str::from_utf8(&line[start..]).ok().and_then(Timestamp::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(update: &str, stored: &str, rule: MergeRule) -> Ordering {
        let read = |line| Update::from_stored(line, Source::CLIENT).unwrap();
        let (update, stored) = (format!("AT {update}\n"), format!("AT {stored}\n"));
        let moment = read(stored.as_bytes()).moment;
        Update { rule, ..read(update.as_bytes()) }.cmp_stored(moment, stored.as_bytes())
    }

    #[test]
    fn updates_are_ordered_by_exact_time_and_then_by_line() {
        use MergeRule::{GreaterSighting, LaterTime};
        for (update, stored, by_neighbour, by_client) in [
            ("A +1 k +1+1 6", "A +1 k +1+1 5", Ordering::Greater, Ordering::Greater),
            ("A +1 k +1+1 5", "A +1 k +1+1 6", Ordering::Less, Ordering::Less),
            ("A +1 k +1+1 5.0000000001", "B +1 k +1+1 5", Ordering::Greater, Ordering::Greater),
            ("B +1 k +1+1 5", "A +1 k +1+1 5.0000000001", Ordering::Less, Ordering::Less),
            ("B +1 k +1+1 5", "A +1 k +1+1 5", Ordering::Greater, Ordering::Equal),
            ("A +1 k +1+1 5", "A +1 k +1+1 5.0", Ordering::Less, Ordering::Equal),
            ("A +1 k +1+1 5", "A +1 k +1+1 5", Ordering::Equal, Ordering::Equal),
        ] {
            assert_eq!(order(update, stored, GreaterSighting), by_neighbour, "{update} after {stored}");
            assert_eq!(order(update, stored, LaterTime), by_client, "{update} after {stored}");
        }
    }
}
