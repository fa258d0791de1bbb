//! The rate limit of one connection: so many calls to a provider over the network within any minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::places::PlacesError;

const MINUTE: Duration = Duration::from_secs(60);

/// The calls of one connection within the last minute.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: usize,
    asked: VecDeque<Instant>,
}

impl RateLimit {
    /// Nothing has been asked yet, and so much may be.
    pub fn new(per_minute: u32) -> RateLimit {
        RateLimit { per_minute: per_minute as usize, asked: VecDeque::new() }
    }

    /// The error for a question that comes `wait` too early.
    pub fn exceeded(&self, wait: Duration) -> PlacesError {
        PlacesError::RateLimited(self.per_minute as u32, wait.as_millis().div_ceil(1_000) as u64)
    }

    /// Notes a question, if it may be asked now.
    ///
    /// # Errors
    /// How long to wait, if not.
    pub fn ask(&mut self, now: Instant) -> Result<(), Duration> {
        while self.asked.front().is_some_and(|&asked| now >= asked + MINUTE) {
            self.asked.pop_front();
        }
        match self.asked.front() {
            Some(&first) if self.asked.len() >= self.per_minute => Err(first + MINUTE - now),
            Some(_) | None => {
                self.asked.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn no_minute_exceeds_the_rate_limit() {
        let (mut rate_limit, start) = (RateLimit::new(3), clock::instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in [0, 10, 50] {
            assert_eq!(rate_limit.ask(at(second)), Ok(()));
        }
        assert_eq!(rate_limit.ask(at(59)), Err(Duration::from_secs(1)));
        assert_eq!(rate_limit.ask(at(60)), Ok(()), "the first is a minute ago");
        assert_eq!(rate_limit.ask(at(61)), Err(Duration::from_secs(9)));
        assert_eq!(rate_limit.ask(at(200)), Ok(()));
        assert_eq!(rate_limit.asked.len(), 1);
    }
}
