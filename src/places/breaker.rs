//! The circuit breaker: a provider is not called after it has failed repeatedly, nor when it asks for silence. No
//! clock in it.

use std::time::{Duration, Instant};

use super::error::PlacesError;
use super::request::Health;

/// Failures in a row after which a provider is no longer called.
const FAILURES_MAX: u32 = 5;

/// How long the breaker is then open. After that one call at a time finds out whether the provider is back.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// The longest silence that a provider can ask for: a wrong header must not switch it off for a day.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// What is known of a provider's health.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
    silent_until: Option<Instant>,
}

impl Breaker {
    /// Whether the provider may be called now. When the breaker has been open for its time, one call may probe
    /// the provider; if that call's outcome is never learned, another may after the same time again.
    pub(crate) fn permit(&mut self, now: Instant) -> Result<(), PlacesError> {
        if let Some(left) = left(self.silent_until, now) {
            return Err(PlacesError::Silent(left));
        }
        if self.failures >= FAILURES_MAX {
            if let Some(left) = left(self.open_until, now) {
                return Err(PlacesError::Open(left));
            }
            self.open_until = Some(now + OPEN_TIME);
        }
        Ok(())
    }

    /// Takes in how a permitted call went.
    pub(crate) fn learn(&mut self, health: Health, now: Instant) {
        match health {
            Health::Well => self.failures = 0,
            Health::Unwell => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES_MAX {
                    self.open_until = Some(now + OPEN_TIME);
                }
            }
            Health::AsksForSilence(silence) => {
                self.failures = 0;
                self.silent_until = Some(now + silence.min(SILENCE_MAX));
            }
        }
    }
}

/// Whole seconds until then, rounded up; `None` when it is over.
fn left(until: Option<Instant>, now: Instant) -> Option<u64> {
    let left = until?.checked_duration_since(now).filter(|left| !left.is_zero())?;
    Some(left.as_millis().div_ceil(1_000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::clock;

    #[test]
    fn repeated_failures_open_the_breaker_and_one_call_probes() {
        let mut breaker = Breaker::default();
        let start = clock::now();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.permit(start), Ok(()));
            breaker.learn(Health::Unwell, start);
        }
        assert_eq!(breaker.permit(start), Err(PlacesError::Open(10)));
        assert_eq!(breaker.permit(start + OPEN_TIME / 2), Err(PlacesError::Open(5)));
        let probed = start + OPEN_TIME;
        assert_eq!(breaker.permit(probed), Ok(()), "one probe");
        assert_eq!(breaker.permit(probed), Err(PlacesError::Open(10)), "and no second");
        breaker.learn(Health::Unwell, probed);
        assert_eq!(breaker.permit(probed + OPEN_TIME / 2), Err(PlacesError::Open(5)));
        assert_eq!(breaker.permit(probed + OPEN_TIME), Ok(()));
        breaker.learn(Health::Well, probed + OPEN_TIME);
        for _ in 0..100 {
            assert_eq!(breaker.permit(probed + OPEN_TIME), Ok(()), "it is back");
        }
    }

    #[test]
    fn a_success_clears_the_failures_before_it() {
        let mut breaker = Breaker::default();
        let now = clock::now();
        for _ in 0..10 {
            for _ in 1..FAILURES_MAX {
                breaker.learn(Health::Unwell, now);
            }
            breaker.learn(Health::Well, now);
        }
        assert_eq!(breaker.permit(now), Ok(()));
    }

    #[test]
    fn silence_lasts_as_long_as_asked_up_to_a_limit() {
        let mut breaker = Breaker::default();
        let now = clock::now();
        breaker.learn(Health::AsksForSilence(Duration::from_secs(30)), now);
        assert_eq!(breaker.permit(now), Err(PlacesError::Silent(30)));
        assert_eq!(breaker.permit(now + Duration::from_millis(29_999)), Err(PlacesError::Silent(1)));
        assert_eq!(breaker.permit(now + Duration::from_secs(30)), Ok(()));
        breaker.learn(Health::AsksForSilence(Duration::MAX), now);
        assert_eq!(breaker.permit(now), Err(PlacesError::Silent(600)));
    }
}
