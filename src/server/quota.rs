//! How often one connection may ask a provider over the network: so many times within any minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// What one connection has asked within the last minute.
#[derive(Debug)]
pub(super) struct Quota {
    per_minute: usize,
    asked: VecDeque<Instant>,
}

impl Quota {
    /// Nothing has been asked yet.
    pub(super) fn new(per_minute: u32) -> Quota {
        Quota { per_minute: per_minute as usize, asked: VecDeque::new() }
    }

    /// Notes a question, if it may be asked now; else says how long to wait.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Duration> {
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
    use crate::server::clock;

    #[test]
    fn no_minute_has_more_than_the_quota() {
        let (mut quota, start) = (Quota::new(3), clock::instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in [0, 10, 50] {
            assert_eq!(quota.ask(at(second)), Ok(()));
        }
        assert_eq!(quota.ask(at(59)), Err(Duration::from_secs(1)));
        assert_eq!(quota.ask(at(60)), Ok(()), "the first is a minute ago");
        assert_eq!(quota.ask(at(61)), Err(Duration::from_secs(9)));
        assert_eq!(quota.ask(at(200)), Ok(()));
        assert_eq!(quota.asked.len(), 1);
    }
}
