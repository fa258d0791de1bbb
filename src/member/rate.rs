//! A count, and how fast it grows now: a mean over about the last ten seconds, in which older ones count less.

use std::time::Duration;

use parking_lot::Mutex;

/// The time in which what came counts for a third.
const MEAN_OVER_S: f64 = 10.0;

/// A count, and how fast it grows.
#[derive(Debug, Default)]
pub struct Rate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    total: u64,
    recent: f64,
    at: Duration,
}

impl Rate {
    /// So many more have come at this time.
    pub fn add(&self, count: u64, now: Duration) {
        if count > 0 {
            let mut state = self.0.lock();
            state.recent = state.recent_at(now) + count as f64;
            state.total += count;
            state.at = now;
        }
    }

    /// How many there were, and how many come in a second.
    pub fn at(&self, now: Duration) -> (u64, f64) {
        let state = self.0.lock();
        (state.total, state.recent_at(now) / MEAN_OVER_S)
    }
}

impl State {
    fn recent_at(&self, now: Duration) -> f64 {
        self.recent * (-now.saturating_sub(self.at).as_secs_f64() / MEAN_OVER_S).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_within_half_a_minute() {
        let (rate, second) = (Rate::default(), Duration::from_secs);
        assert_eq!(rate.at(second(5)), (0, 0.0));
        (0..300).for_each(|tenth| rate.add(5, Duration::from_millis(100 * tenth)));
        let (total, per_second) = rate.at(second(30));
        assert!(total == 1_500 && (45.0..52.0).contains(&per_second), "{per_second}");
        let (_, later) = rate.at(second(60));
        assert!((1.0..3.0).contains(&later), "{later}");
    }
}
