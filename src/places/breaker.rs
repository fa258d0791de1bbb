//! When a provider is left alone: after failing repeatedly, and when it asks for silence. No clock in it.

use std::time::{Duration, Instant};

use super::PlacesError;
use super::request::Health;

/// Failures in a row after which a provider is no longer called.
const FAILURES_MAX: u32 = 5;

/// How long it is then left alone. After that one call at a time finds out whether it is back.
const REST: Duration = Duration::from_secs(10);

/// The longest silence that a provider can ask for: a wrong header must not switch it off for a day.
const PEER_TIMEOUT: Duration = Duration::from_secs(600);

/// What is known of a provider's health.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    rest_until: Option<Instant>,
    silent_until: Option<Instant>,
}

impl Breaker {
    /// Whether the provider may be called now. After a rest only the first caller may; if it never tells
    /// how it went, the next one may after another rest.
    pub(crate) fn permit(&mut self, now: Instant) -> Result<(), PlacesError> {
        if let Some(left) = left(self.silent_until, now) {
            return Err(PlacesError::Silent(left));
        }
        if self.failures >= FAILURES_MAX {
            if let Some(left) = left(self.rest_until, now) {
                return Err(PlacesError::Resting(left));
            }
            self.rest_until = Some(now + REST);
        }
        Ok(())
    }

    /// How a call that was permitted went.
    pub(crate) fn learn(&mut self, health: Health, now: Instant) {
        match health {
            Health::Well => self.failures = 0,
            Health::Unwell => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES_MAX {
                    self.rest_until = Some(now + REST);
                }
            }
            Health::AsksForSilence(silence) => {
                self.failures = 0;
                self.silent_until = Some(now + silence.min(PEER_TIMEOUT));
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
    fn a_provider_that_keeps_failing_rests_and_is_probed_by_one() {
        let mut breaker = Breaker::default();
        let start = clock::now();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.permit(start), Ok(()));
            breaker.learn(Health::Unwell, start);
        }
        assert_eq!(breaker.permit(start), Err(PlacesError::Resting(10)));
        assert_eq!(breaker.permit(start + REST / 2), Err(PlacesError::Resting(5)));
        let rested = start + REST;
        assert_eq!(breaker.permit(rested), Ok(()), "one probe");
        assert_eq!(breaker.permit(rested), Err(PlacesError::Resting(10)), "and no second");
        breaker.learn(Health::Unwell, rested);
        assert_eq!(breaker.permit(rested + REST / 2), Err(PlacesError::Resting(5)));
        assert_eq!(breaker.permit(rested + REST), Ok(()));
        breaker.learn(Health::Well, rested + REST);
        for _ in 0..100 {
            assert_eq!(breaker.permit(rested + REST), Ok(()), "it is back");
        }
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
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
    fn silence_is_kept_as_long_as_asked_but_not_for_ever() {
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
