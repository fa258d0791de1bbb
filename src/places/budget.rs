//! Budgets of calls, each within a span of time: what a provider may cost. No clock in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::error::PlacesError;

/// A minute.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts into which a span is cut. What happened in a part is forgotten at once, so that a window needs no more
/// than this many numbers, and no span of its length has more than it may; it may have fewer, by what one part has.
const PARTS: u32 = 24;

/// At most so many of something within any span of a length.
#[derive(Debug)]
pub struct Window {
    most: u32,
    part: Duration,
    /// When each part in which something happened began, and how often it did; the oldest in front.
    parts: VecDeque<(Instant, u32)>,
    /// The sum of all parts.
    count: u32,
}

impl Window {
    /// Nothing has happened yet.
    pub fn new(most: u32, span: Duration) -> Window {
        Window { most, part: span / PARTS, parts: VecDeque::new(), count: 0 }
    }

    /// Counts one more, if it may happen now.
    ///
    /// # Errors
    /// How long to wait, if not.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.room(now)?;
        self.count += 1;
        match self.parts.back_mut() {
            Some((begun, count)) if now < *begun + self.part => *count += 1,
            Some(_) | None => self.parts.push_back((now, 1)),
        }
        Ok(())
    }

    /// Whether one more may happen now.
    ///
    /// # Errors
    /// How long to wait, if not.
    pub fn room(&mut self, now: Instant) -> Result<(), Duration> {
        // A part is over when a whole span has passed since its end.
        let lasts = self.part * (PARTS + 1);
        while let Some(&(_, count)) = self.parts.front().filter(|(begun, _)| now >= *begun + lasts) {
            self.count -= count;
            self.parts.pop_front();
        }
        match self.parts.front() {
            Some(&(begun, _)) if self.count >= self.most => Err(begun + lasts - now),
            Some(_) | None => Ok(()),
        }
    }

    /// When something last happened, to the part; `None` if nothing has that still counts.
    pub fn last(&self) -> Option<Instant> {
        self.parts.back().map(|(begun, _)| *begun)
    }
}

/// The calls that one server may make to a provider. It lives as long as the process.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    minute: Option<Window>,
    day: Option<Window>,
}

impl Budget {
    /// At most so many calls within a minute and within a day; `None` is as many as one likes.
    pub(crate) fn new(per_minute: Option<u32>, per_day: Option<u32>) -> Budget {
        Budget {
            minute: per_minute.map(|most| Window::new(most, MINUTE)),
            day: per_day.map(|most| Window::new(most, DAY)),
        }
    }

    /// Counts a call that is about to be made.
    ///
    /// # Errors
    /// That it must not be made now.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), PlacesError> {
        let windows = [(&mut self.minute, "minute"), (&mut self.day, "day")];
        let mut windows: Vec<_> =
            windows.into_iter().filter_map(|(window, span)| Some((window.as_mut()?, span))).collect();
        // Both must have room before either is used.
        for (window, span) in &mut windows {
            let most = window.most;
            window.room(now).map_err(|wait| PlacesError::OverBudget(most, span, seconds(wait)))?;
        }
        for (window, _) in windows {
            // There is room.
            let _ = window.take(now);
        }
        Ok(())
    }
}

/// Whole seconds, in which a wait is surely over.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::clock;

    #[test]
    fn no_span_has_more_than_it_may() {
        let (mut window, start) = (Window::new(10, MINUTE), clock::now());
        // Tried ten times a second for ten minutes.
        let taken: Vec<Instant> = (0..6_000)
            .map(|tenth| start + Duration::from_millis(100 * tenth))
            .filter(|now| window.take(*now).is_ok())
            .collect();
        assert!(taken.windows(11).all(|some| some[10] - some[0] >= MINUTE));
        assert!(taken.len() >= 90, "only {} in ten minutes", taken.len());
        assert!(window.parts.len() <= PARTS as usize + 1);
    }

    #[test]
    fn wait_is_what_it_says() {
        let (mut window, start) = (Window::new(1, DAY), clock::now());
        assert_eq!(window.take(start), Ok(()));
        let wait = window.take(start + MINUTE).unwrap_err();
        assert!(wait > DAY - MINUTE && wait <= DAY + DAY / PARTS, "{wait:?}");
        assert!(window.take(start + MINUTE + wait - Duration::from_millis(1)).is_err());
        assert_eq!(window.take(start + MINUTE + wait), Ok(()));
    }

    #[test]
    fn call_must_fit_into_minute_and_day_and_counts_in_neither_otherwise() {
        let (mut budget, start) = (Budget::new(Some(2), Some(3)), clock::now());
        let over = |error: PlacesError| {
            let PlacesError::OverBudget(most, span, _) = error else { panic!("{error:?}") };
            (most, span)
        };
        assert_eq!([budget.take(start), budget.take(start)], [Ok(()), Ok(())]);
        for _ in 0..5 {
            assert_eq!(over(budget.take(start).unwrap_err()), (2, "minute"));
        }
        let later = start + 2 * MINUTE;
        assert_eq!(budget.take(later), Ok(()));
        assert_eq!(over(budget.take(later).unwrap_err()), (3, "day"));
        assert_eq!(budget.take(start + 2 * DAY), Ok(()));
        let mut free = Budget::default();
        assert!((0..10_000).all(|_| free.take(start).is_ok()));
    }
}
