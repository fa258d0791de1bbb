//! Answers that are kept for a while, where the provider's terms allow it. No clock in it.
//!
//! The package `quick_cache` was tried in its place and does not pass the tests. It knows no lifetime, and when it is
//! full it evicts one of the newest answers (the 249th of 257) and keeps the oldest, which is the next to expire.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::request::Question;

/// The most answers kept.
const ENTRIES_MAX: usize = 256;

/// Longer answers are not kept, so that all of them together stay below 16 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The latest answers, each for the same lifetime.
pub(crate) struct Cache {
    lifetime: Duration,
    answers: HashMap<Question, (Answer, Instant)>,
    /// The questions in the order in which they were answered, the oldest in front.
    order: VecDeque<Question>,
}

impl Cache {
    /// Keeps every answer for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Cache {
        Cache { lifetime, answers: HashMap::new(), order: VecDeque::new() }
    }

    /// The answer to `question`, unless it is too old.
    pub(crate) fn get(&self, question: Question, now: Instant) -> Option<Answer> {
        let (answer, since) = self.answers.get(&question)?;
        (now.saturating_duration_since(*since) < self.lifetime).then(|| answer.clone())
    }

    /// Keeps `answer`, in place of the oldest if there are too many.
    pub(crate) fn put(&mut self, question: Question, answer: Answer, now: Instant) {
        if answer.as_str().len() > ANSWER_BYTES_MAX {
            return;
        }
        if self.answers.insert(question, (answer, now)).is_some() {
            self.order.retain(|other| *other != question);
        }
        self.order.push_back(question);
        if self.order.len() > ENTRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::clock;
    use crate::proto::line::query::NearbyQuery;

    fn question(radius_m: u32) -> Question {
        Question::from(&NearbyQuery { latitude: 1.0, longitude: 2.0, radius_m })
    }

    #[test]
    fn an_answer_expires_after_its_lifetime() {
        let mut cache = Cache::new(Duration::from_secs(60));
        let now = clock::now();
        let answer = Answer::failure("OK", "kept");
        cache.put(question(1_000), answer.clone(), now);
        assert_eq!(cache.get(question(1_000), now + Duration::from_secs(59)), Some(answer));
        assert_eq!(cache.get(question(1_000), now + Duration::from_secs(60)), None);
        assert_eq!(cache.get(question(1_001), now), None);
    }

    #[test]
    fn the_oldest_answer_makes_room_and_a_long_one_is_not_kept() {
        let mut cache = Cache::new(Duration::from_secs(60));
        let now = clock::now();
        let answer = Answer::failure("OK", "kept");
        for radius in 0..=ENTRIES_MAX as u32 {
            cache.put(question(radius), answer.clone(), now);
            cache.put(question(radius), answer.clone(), now);
        }
        assert_eq!((cache.answers.len(), cache.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!(cache.get(question(0), now), None);
        assert_eq!(cache.get(question(1), now), Some(answer));
        let long = Answer::failure("OK", &"x".repeat(ANSWER_BYTES_MAX));
        cache.put(question(9_999), long, now);
        assert_eq!(cache.get(question(9_999), now), None);
    }
}
