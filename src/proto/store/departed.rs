//! The clients that expired last, for followers that tell others so: what expires does not come through the log of
//! changes, because every server finds it out by itself.

use std::collections::VecDeque;

/// The clients that are remembered: a follower that looks ten times a second misses none unless tens of thousands
/// expire within a second. One that has missed some must begin again.
const DEPARTED_MAX: usize = 4_096;

/// The bytes of all their names.
const NAMES_BYTES_MAX: usize = 256 << 10;

/// The clients that expired last, in the order in which they did.
#[derive(Debug, Default)]
pub struct Departed {
    remembered: VecDeque<Departure>,
    names_bytes: usize,
    /// How many have ever expired.
    count: u64,
}

/// A client that has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The sequence number of the last change before.
    pub seq: u64,
    /// The record, which may be that of another client now.
    pub record: u32,
    /// The client's name.
    pub client: Box<[u8]>,
}

impl Departed {
    /// How many have ever expired.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Those that expired after the first `count`; `None` if some of them are not remembered.
    pub fn after(&self, count: u64) -> Option<impl Iterator<Item = &Departure>> {
        let wanted = self.count.saturating_sub(count) as usize;
        let skip = self.remembered.len().checked_sub(wanted)?;
        Some(self.remembered.iter().skip(skip))
    }

    /// How many had expired before the change with this sequence number, or fewer; `None` if that is not remembered.
    pub fn count_at(&self, seq: u64) -> Option<u64> {
        let before = self.remembered.partition_point(|departure| departure.seq < seq);
        let lost = self.count - self.remembered.len() as u64;
        (before > 0 || lost == 0).then_some(lost + before as u64)
    }

    /// A client has expired after the change with this sequence number.
    pub(super) fn push(&mut self, seq: u64, record: u32, client: &[u8]) {
        self.names_bytes += client.len();
        self.count += 1;
        self.remembered.push_back(Departure { seq, record, client: client.into() });
        while self.remembered.len() > DEPARTED_MAX || self.names_bytes > NAMES_BYTES_MAX {
            let Some(oldest) = self.remembered.pop_front() else { return };
            self.names_bytes -= oldest.client.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departed(count: u64) -> Departed {
        let mut departed = Departed::default();
        for seq in 0..count {
            departed.push(10 * seq, seq as u32, b"c");
        }
        departed
    }

    #[test]
    fn followers_are_told_each_departure_once_or_that_some_are_lost() {
        let few = departed(3);
        let after = |count| few.after(count).map(|left| left.map(|it| it.seq).collect::<Vec<_>>());
        assert_eq!(after(0), Some(vec![0, 10, 20]));
        assert_eq!(after(2), Some(vec![20]));
        assert_eq!(after(3), Some(vec![]));
        assert_eq!([0, 1, 10, 11, 99].map(|seq| few.count_at(seq)), [0, 1, 1, 2, 3].map(Some));
        let many = departed(DEPARTED_MAX as u64 + 5);
        assert!(many.after(4).is_none() && many.after(5).is_some_and(|left| left.count() == DEPARTED_MAX));
        assert_eq!((many.count_at(50), many.count_at(51)), (None, Some(6)));
    }

    #[test]
    fn names_take_no_more_than_they_may() {
        let mut departed = Departed::default();
        for _ in 0..1_000 {
            departed.push(1, 1, &[b'x'; 1_024]);
        }
        assert_eq!((departed.remembered.len(), departed.names_bytes), (256, NAMES_BYTES_MAX));
    }
}
