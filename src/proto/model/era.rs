//! One life of a client's records: what they are compared by before their times.

use std::fmt;

/// One life of a client's records. A record of a later era wins whatever the times are, and a report inherits the era
/// of what is stored of its client. So a client that was forgotten, or whose clock was wrong, can begin again.
///
/// It is the second since 1970 in which the era began, or the one after the era before. 32 bits last until 2106.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Era(pub u32);

impl Era {
    /// The era of a client that was never forgotten.
    pub const FIRST: Era = Era(0);

    /// The era that begins after this one, in this second since 1970.
    #[must_use]
    pub fn next(self, now_s: u64) -> Era {
        Era(self.0.saturating_add(1).max(u32::try_from(now_s).unwrap_or(u32::MAX)))
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_era_is_later_than_the_one_before() {
        assert_eq!(Era::FIRST.next(1_700_000_000), Era(1_700_000_000));
        assert_eq!(Era(1_700_000_000).next(1_700_000_000), Era(1_700_000_001));
        assert_eq!(Era(1_700_000_005).next(1_600_000_000), Era(1_700_000_006));
        assert_eq!(Era(7).next(1 << 40), Era(u32::MAX));
    }
}
