//! A provider over the network: its rules, and everything that protects it and us from each other.
//!
//! The order of one question: a kept answer; an equal question under way; a turn; leave to call; the call,
//! and perhaps a second one; what the outcome teaches. No lock is held during a call.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::breaker::Breaker;
use super::cache::Cache;
use super::clock;
use super::key::Key;
use super::network::Network;
use super::request::{Health, Question, Reading, Rules};
use super::single_flight::SingleFlight;
use super::turnstile::Turnstile;
use super::{Answer, Places, PlacesError};
use crate::proto::line::query::NearbyQuery;

/// Between two attempts: long enough for a hiccup to pass, short against the overall deadline.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The part of the overall deadline that is left for the call itself, as a divisor: who got a turn later than
/// that would break off a call that had no chance, and blame the provider for it.
const CALL_SHARE: u32 = 4;

/// What is put in a provider's text in place of our key, should it repeat it.
const KEY_BLOT: &str = "(hidden)";

/// A network provider.
pub(crate) struct Remote {
    rules: Box<dyn Rules>,
    network: Network,
    /// For a whole question, waiting and second attempts included.
    deadline: Duration,
    key: Option<Key>,
    flights: SingleFlight,
    turnstile: Turnstile,
    breaker: Mutex<Breaker>,
    cache: Option<Mutex<Cache>>,
}

impl Remote {
    /// `calls_max` bounds the calls under way, and the provider's terms may bound them more; answers are kept for
    /// `cache_lifetime` if those terms allow it.
    pub(crate) fn new(
        rules: Box<dyn Rules>,
        network: Network,
        key: Option<Key>,
        deadline: Duration,
        calls_max: usize,
        cache_lifetime: Duration,
    ) -> Remote {
        let terms = rules.terms();
        let turnstile = Turnstile::new(
            terms.calls_max.map_or(calls_max, |most| most.min(calls_max)).max(1),
            terms.waiting_max,
        );
        let cache = terms.may_cache.then(|| Mutex::new(Cache::new(cache_lifetime)));
        let (flights, breaker) = (SingleFlight::default(), Mutex::default());
        Remote { rules, network, deadline, key, flights, turnstile, breaker, cache }
    }

    fn kept(&self, question: Question) -> Option<Answer> {
        self.cache.as_ref()?.lock().get(question, clock::now())
    }

    /// The way of the one who calls for all that ask the same.
    fn ask(&self, near: &NearbyQuery, question: Question, deadline: Instant) -> Result<Answer, PlacesError> {
        // Another may have landed between our first look and our becoming the one who calls.
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        let latest = deadline.checked_sub(self.deadline / CALL_SHARE).unwrap_or(deadline);
        let _turn = self.turnstile.enter(latest)?;
        let mut reading = self.attempt(near, deadline)?;
        for _ in 0..self.rules.terms().retries {
            let next = clock::now() + RETRY_PAUSE;
            if !is_worth_another(&reading) || next >= latest {
                break;
            }
            self.turnstile.pause(next)?;
            // Refused leave does not undo the reading there is.
            let Ok(second) = self.attempt(near, deadline) else { break };
            reading = second;
        }
        if let (Ok(answer), Health::Well, Some(cache)) = (&reading.result, reading.health, &self.cache) {
            cache.lock().put(question, answer.clone(), clock::now());
        }
        reading.result
    }

    /// One call, if leave is given: what was learned, or why there was none.
    fn attempt(&self, near: &NearbyQuery, deadline: Instant) -> Result<Reading, PlacesError> {
        self.breaker.lock().permit(clock::now())?;
        let reading = self.call(near, deadline);
        // A call that we broke off ourselves says nothing about the provider.
        if reading.result.is_err() && self.turnstile.is_closed() {
            return Err(PlacesError::Stopped);
        }
        self.breaker.lock().learn(reading.health, clock::now());
        Ok(reading)
    }

    fn call(&self, near: &NearbyQuery, deadline: Instant) -> Reading {
        let time = deadline.saturating_duration_since(clock::now());
        match self.network.call(&self.rules.request(near), time) {
            Ok(mut reply) => {
                if let Some(key) = self.key.as_ref().filter(|key| reply.text.contains(key.reveal())) {
                    reply.text = reply.text.replace(key.reveal(), KEY_BLOT);
                }
                self.rules.read(near, reply)
            }
            Err(PlacesError::TooSlow(_)) => Reading::unwell(PlacesError::TooSlow(self.deadline)),
            Err(error) => Reading::unwell(error),
        }
    }

    /// The calls under way, for tests that wait for them.
    #[cfg(test)]
    pub(crate) fn flights(&self) -> &SingleFlight {
        &self.flights
    }

    /// The turns, for tests that wait for them.
    #[cfg(test)]
    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }
}

impl Places for Remote {
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        if self.turnstile.is_closed() {
            return Err(PlacesError::Stopped);
        }
        let question = Question::from(near);
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        let deadline = clock::now() + self.deadline;
        let outcome = self.flights.run(question, deadline, || self.ask(near, question, deadline));
        outcome.unwrap_or(Err(PlacesError::TooSlow(self.deadline)))
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn stop(&self) {
        self.turnstile.close();
        self.network.shut_down();
    }
}

/// Whether the provider failed in a way that may pass; what is slow, too long or nonsense will be so again.
fn is_worth_another(reading: &Reading) -> bool {
    reading.health == Health::Unwell
        && matches!(&reading.result, Ok(_) | Err(PlacesError::Failed(_) | PlacesError::CutOff))
}
