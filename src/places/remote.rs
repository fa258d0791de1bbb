//! A provider over the network: its interface, and everything that protects it and us from each other.
//!
//! The order of one question: a cached answer; an equal question under way; a call permit for all of it; and then as
//! many calls as it takes: a closed breaker; the budget; the call, and perhaps a second one; the outcome, which the
//! breaker and the cache learn. No lock is held during a call.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::answer::Answer;
use super::breaker::Breaker;
use super::budget::Budget;
use super::cache::Cache;
use super::call_permits::CallPermits;
use super::circles::{Circle, Circles, Nearest};
use super::clock;
use super::error::PlacesError;
use super::found::{Found, Warnings};
use super::key::Key;
use super::network::Network;
use super::provider::{Parsed, PlacesProvider, ProviderApi};
use super::request::{Health, Question, Reading};
use super::single_flight::SingleFlight;
use crate::proto::line::query::NearbyQuery;

/// Between two attempts: long enough for a hiccup to pass, short against the overall deadline.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The part of the overall deadline that is left for the call itself, as a divisor: a call that was permitted later
/// than that would be broken off without a chance, and the provider would be blamed for it.
const CALL_SHARE: u32 = 4;

/// A network provider.
pub(crate) struct Remote {
    api: &'static ProviderApi,
    /// The whole address of the interface.
    endpoint: String,
    key: RwLock<Option<Key>>,
    /// Where the key is read from again.
    key_file: Option<PathBuf>,
    network: Network,
    /// For a whole question, waiting and second attempts included.
    deadline: Duration,
    flights: SingleFlight,
    permits: CallPermits,
    breaker: Mutex<Breaker>,
    budget: Mutex<Budget>,
    cache: Option<Mutex<Cache>>,
    /// Warnings of elements that were left out.
    odd: Mutex<Warnings>,
    /// Warnings of answers that have only what was known when a call failed.
    in_part: Mutex<Warnings>,
}

impl Remote {
    /// `calls_max` bounds the calls under way, and the provider's policy may bound them more; answers are kept for
    /// `cache_lifetime` if that policy allows it.
    pub(crate) fn new(
        api: &'static ProviderApi,
        endpoint: String,
        key: Option<Key>,
        network: Network,
        deadline: Duration,
        calls_max: usize,
        cache_lifetime: Duration,
    ) -> Remote {
        let policy = &api.policy;
        let calls_max = policy.calls_max.map_or(calls_max, |most| most.min(calls_max)).max(1);
        let permits = CallPermits::new(calls_max, policy.waiting_max);
        let cache = policy.may_cache.then(|| Mutex::new(Cache::new(cache_lifetime)));
        let (flights, breaker, budget) = (SingleFlight::default(), Mutex::default(), Mutex::default());
        let (odd, in_part) = (Mutex::default(), Mutex::default());
        Remote {
            api,
            endpoint,
            key: RwLock::new(key),
            key_file: None,
            network,
            deadline,
            flights,
            permits,
            breaker,
            budget,
            cache,
            odd,
            in_part,
        }
    }

    /// Bounds all calls, which are not bounded otherwise.
    #[must_use]
    pub(crate) fn within(self, budget: Budget) -> Remote {
        Remote { budget: Mutex::new(budget), ..self }
    }

    /// Reads the key from this file again, when the operator says so.
    #[must_use]
    pub(crate) fn with_key_file(self, key_file: Option<PathBuf>) -> Remote {
        Remote { key_file, ..self }
    }

    /// What is known of the places near a point.
    fn known(&self, near: &NearbyQuery) -> Circle {
        let cache = self.cache.as_ref();
        let area = cache.and_then(|cache| cache.lock().find(near, clock::now()));
        area.map(|area| area.around(near)).unwrap_or_default()
    }

    /// The answer, if what is known is enough for it.
    fn cached(&self, near: &NearbyQuery) -> Option<Answer> {
        let nearest = Nearest::new(near, self.api.circles?, self.known(near));
        nearest.is_sure().then(|| nearest.answer(self.api.policy.attributions, None).ok())?
    }

    /// Asks on behalf of all threads with the same question.
    fn ask(&self, near: &NearbyQuery, deadline: Instant) -> Result<Answer, PlacesError> {
        let latest = deadline.checked_sub(self.deadline / CALL_SHARE).unwrap_or(deadline);
        let _permit = self.permits.acquire_until(latest)?;
        match self.api.circles {
            None => match self.step(near, deadline, latest)? {
                Parsed::Answer(answer, _) => Ok(answer),
                Parsed::Places(found) => Ok(self.api.ranked(&found)),
            },
            Some(circles) => self.ask_in_circles(near, circles, deadline, latest),
        }
    }

    /// Asks for one circle after another, as long as there is time and budget for it.
    fn ask_in_circles(
        &self,
        near: &NearbyQuery,
        circles: Circles,
        deadline: Instant,
        latest: Instant,
    ) -> Result<Answer, PlacesError> {
        // Another question may have been answered while this one waited for its turn.
        let mut nearest = Nearest::new(near, circles, self.known(near));
        let mut why = None;
        while let Some(circle) = nearest.next() {
            match self.step(&circle, deadline, latest) {
                Ok(Parsed::Places(found)) => nearest.learn(&circle, found.complete_m, found.places),
                Ok(Parsed::Answer(answer, _)) => return Ok(answer),
                // A smaller circle has a shorter answer.
                Err(error @ PlacesError::TooLong(_)) => {
                    nearest.learn(&circle, 0.0, Vec::new());
                    why = Some(error);
                }
                Err(error) => {
                    why = Some(error);
                    break;
                }
            }
            if clock::now() >= latest {
                why = Some(PlacesError::TooSlow(self.deadline));
                break;
            }
        }
        let answer = nearest.answer(self.api.policy.attributions, why.clone());
        // An error is counted and warned of by those who asked; an answer looks well to them.
        if let (Ok(_), false, Some(why)) = (&answer, nearest.is_sure(), why)
            && let Some(warning) = self.in_part.lock().due(1, &why, clock::now())
        {
            log::warn!("places: an answer has only a part of the places: {warning}");
        }
        // What was known before must not become younger by being found again.
        if let (Some(cache), Some(circle)) = (&self.cache, nearest.learned()) {
            cache.lock().put(near, circle, clock::now());
        }
        answer
    }

    /// One request and, if it fails in a way that may pass, perhaps a second one.
    fn step(&self, near: &NearbyQuery, deadline: Instant, latest: Instant) -> Result<Parsed, PlacesError> {
        let mut reading = self.attempt(near, deadline)?;
        for _ in 0..self.api.policy.retries {
            let next = clock::now() + RETRY_PAUSE;
            if !is_worth_another(&reading) || next >= latest {
                break;
            }
            self.permits.pause(next)?;
            // If breaker or budget allow no second call, the first reading stands.
            let Ok(second) = self.attempt(near, deadline) else { break };
            reading = second;
        }
        if let Ok(Parsed::Places(Found { left_out: Some(left_out), .. })) = &reading.result
            && let Some(warning) = self.odd.lock().due(left_out.count, left_out, clock::now())
        {
            log::warn!("places: {warning}");
        }
        reading.result
    }

    /// One call, if the breaker and the budget allow it: its reading, or why there was no call.
    fn attempt(&self, near: &NearbyQuery, deadline: Instant) -> Result<Reading<Parsed>, PlacesError> {
        self.breaker.lock().permit(clock::now())?;
        self.budget.lock().take(clock::now())?;
        let reading = self.call(near, deadline);
        // A call that we broke off ourselves says nothing about the provider.
        if reading.result.is_err() && self.permits.is_stopped() {
            return Err(PlacesError::Stopped);
        }
        self.breaker.lock().learn(reading.health, clock::now());
        Ok(reading)
    }

    fn call(&self, near: &NearbyQuery, deadline: Instant) -> Reading<Parsed> {
        let time = deadline.saturating_duration_since(clock::now());
        let key = self.key.read().clone();
        let revealed = key.as_ref().map_or("", Key::reveal);
        match self.network.call(&(self.api.request)(&self.endpoint, revealed, near), time) {
            Ok(mut reply) => {
                if key.is_some() {
                    reply.blot_out(revealed);
                }
                self.api.read(near, &reply)
            }
            // It does what it was asked for, of too large a circle.
            Err(error @ PlacesError::TooLong(_)) if self.api.circles.is_some() => Reading::well(Err(error)),
            Err(PlacesError::TooSlow(_)) => Reading::unwell(PlacesError::TooSlow(self.deadline)),
            Err(error) => Reading::unwell(error),
        }
    }

    /// The calls under way, for tests that wait for them.
    #[cfg(test)]
    pub(crate) fn flights(&self) -> &SingleFlight {
        &self.flights
    }

    /// How many circles are kept.
    #[cfg(test)]
    pub(crate) fn areas(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.lock().len())
    }

    /// The call permits, for tests that wait for them.
    #[cfg(test)]
    pub(crate) fn permits(&self) -> &CallPermits {
        &self.permits
    }
}

impl PlacesProvider for Remote {
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        if self.permits.is_stopped() {
            return Err(PlacesError::Stopped);
        }
        let question = Question::from(near);
        if let Some(answer) = self.cached(near) {
            return Ok(answer);
        }
        let deadline = clock::now() + self.deadline;
        let outcome = self.flights.run(question, deadline, || self.ask(near, deadline));
        outcome.unwrap_or(Err(PlacesError::TooSlow(self.deadline)))
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn has_file(&self) -> bool {
        self.key_file.is_some()
    }

    fn reload(&self) {
        let Some(file) = self.key_file.as_deref() else { return };
        match Key::from_env_or_file(Some(file)) {
            Ok(key) => *self.key.write() = key,
            Err(error) => log::warn!("{error}; the key read before stays in use"),
        }
    }

    fn stop(&self) {
        self.permits.stop();
        self.network.shut_down();
    }
}

/// Whether the provider failed in a way that may pass; a reply that is slow, too long or nonsense will be so
/// again.
fn is_worth_another(reading: &Reading<Parsed>) -> bool {
    reading.health == Health::Unwell
        && matches!(&reading.result, Ok(_) | Err(PlacesError::Failed(_) | PlacesError::CutOff))
}
