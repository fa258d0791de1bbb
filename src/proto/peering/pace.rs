//! How fast changes follow each other, as one link is told of them: at which pace it pays that the thread which merged
//! them sends them itself.

use std::time::Duration;

/// With less between two changes on average, the link's own thread sends: it is awake nearly always then, and sends
/// several together, where each thread that merges would pay for a write of its own. A mesh of five at full speed lost
/// a third of its rate by that.
const APART_MIN: Duration = Duration::from_micros(200);

/// A longer rest counts as this one, so that a busy time is soon noticed after it.
const REST_MAX: Duration = Duration::from_millis(2);

/// The part of the average that the last rest makes.
const WEIGHT: u32 = 8;

/// The pace of one link.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    last: Duration,
    apart: Duration,
}

impl Default for Pace {
    /// That of a link on which nothing has happened.
    fn default() -> Pace {
        Pace { last: Duration::ZERO, apart: REST_MAX }
    }
}

impl Pace {
    /// There are changes at `now`, on a clock that only moves forward. Whether they come slowly enough to be sent at
    /// once.
    pub fn is_slow(&mut self, now: Duration) -> bool {
        let rest = now.saturating_sub(self.last).min(REST_MAX);
        self.last = now;
        self.apart = self.apart - self.apart / WEIGHT + rest / WEIGHT;
        self.is_so_slow()
    }

    /// Whether they came slowly enough until now.
    pub fn is_so_slow(&self) -> bool {
        self.apart >= APART_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes that are so far apart, and whether the last of them came slowly.
    fn after(pace: &mut Pace, count: u32, apart_us: u64) -> bool {
        let mut is_slow = false;
        for _ in 0..count {
            let now = pace.last + Duration::from_micros(apart_us);
            is_slow = pace.is_slow(now);
        }
        is_slow
    }

    #[test]
    fn few_changes_are_slow_and_a_stream_of_them_is_not() {
        let mut pace = Pace::default();
        assert!(pace.is_slow(Duration::from_secs(9)));
        assert!(after(&mut pace, 10, 10), "a burst is none");
        assert!(!after(&mut pace, 100, 50));
        assert!(after(&mut pace, 1, 5_000), "a rest ends it");
        assert!(after(&mut pace, 1_000, 500));
        assert!(!after(&mut pace, 1_000, 100));
    }
}
