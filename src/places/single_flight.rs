//! Equal questions asked at the same time become one call.
//!
//! The package `quick_cache` was tried in its place and does not pass the tests. Its guard shares values only: when a
//! call fails or panics, every thread that waits calls in its turn (eight calls, eight deadlines, to a provider that
//! is down) where all of them get the error of the one. And it does not show which threads wait, which a test must
//! know.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::answer::Answer;
use super::error::PlacesError;
use super::request::Question;

type Outcome = Result<Answer, PlacesError>;

/// The calls under way, by question.
#[derive(Default)]
pub(crate) struct SingleFlight {
    flights: Mutex<HashMap<Question, Arc<Flight>>>,
}

/// One call under way, and the threads that wait for it.
#[derive(Default)]
struct Flight {
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
    waiting: AtomicUsize,
}

impl SingleFlight {
    /// Runs `call`, unless the same question is under way: then waits for its outcome. `None` if that has
    /// not come by `deadline`.
    pub(crate) fn run(
        &self,
        question: Question,
        deadline: Instant,
        call: impl FnOnce() -> Outcome,
    ) -> Option<Outcome> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&question) {
            let flight = Arc::clone(flight);
            drop(flights);
            return flight.wait(deadline);
        }
        let flight = Arc::new(Flight::default());
        flights.insert(question, Arc::clone(&flight));
        drop(flights);
        let mut lead = Lead { all: self, question, flight, outcome: None };
        let outcome = call();
        lead.outcome = Some(outcome.clone());
        Some(outcome)
    }

    /// How many threads wait for the outcome of another thread's call.
    #[cfg(test)]
    pub(crate) fn waiting(&self, question: Question) -> usize {
        self.flights.lock().get(&question).map_or(0, |flight| flight.waiting.load(Ordering::SeqCst))
    }
}

impl Flight {
    fn wait(&self, deadline: Instant) -> Option<Outcome> {
        let mut outcome = self.outcome.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while outcome.is_none() {
            if self.landed.wait_until(&mut outcome, deadline).timed_out() {
                break;
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        outcome.clone()
    }
}

/// The thread that makes the call. Dropping it tells the waiting threads, even when the call has panicked.
struct Lead<'a> {
    all: &'a SingleFlight,
    question: Question,
    flight: Arc<Flight>,
    outcome: Option<Outcome>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.all.flights.lock().remove(&self.question);
        *self.flight.outcome.lock() = Some(self.outcome.take().unwrap_or(Err(PlacesError::CutOff)));
        self.flight.landed.notify_all();
    }
}
