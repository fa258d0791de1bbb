//! How many calls to a provider may be under way, how many questions may wait for one, and the stop that ends both.

use std::time::Instant;

use super::error::PlacesError;
use crate::os::semaphore::{Permit, Semaphore};

/// Permits for the calls to one provider.
pub(crate) struct CallPermits {
    calls: Semaphore,
    /// Calls under way and questions that wait for one.
    questions: Semaphore,
    /// Has no permit until the provider is stopped: waiting for one is a pause that the stop cuts short.
    stopped: Semaphore,
}

/// A call that may be made; dropping it lets the next one be made. The place among the questions comes back before
/// the call, or a question that finds the call free could still be turned away.
pub(crate) struct CallPermit<'a> {
    _question: Permit<'a>,
    _call: Permit<'a>,
}

impl CallPermits {
    /// At most `calls_max` calls at once, for which at most `waiting_max` threads may wait.
    pub(crate) fn new(calls_max: usize, waiting_max: usize) -> CallPermits {
        let [calls, questions, stopped] = [calls_max, calls_max + waiting_max, 0].map(Semaphore::new);
        CallPermits { calls, questions, stopped }
    }

    /// Permits a call, waiting until `deadline` for one to end if there is room to wait, else fails at once.
    pub(crate) fn acquire_until(&self, deadline: Instant) -> Result<CallPermit<'_>, PlacesError> {
        let permit = self.questions.try_acquire().and_then(|question| {
            Some(CallPermit { _question: question, _call: self.calls.acquire_until(deadline)? })
        });
        if self.is_stopped() { Err(PlacesError::Stopped) } else { permit.ok_or(PlacesError::Busy) }
    }

    /// Wakes every thread that waits or pauses. No call is permitted from now on.
    pub(crate) fn stop(&self) {
        self.stopped.lift();
        self.questions.lift();
        self.calls.lift();
    }

    /// Waits until `deadline`, unless it is stopped.
    pub(crate) fn pause(&self, deadline: Instant) -> Result<(), PlacesError> {
        self.stopped.acquire_until(deadline).map_or(Ok(()), |_| Err(PlacesError::Stopped))
    }

    /// Whether the provider was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.try_acquire().is_some()
    }

    /// How many threads wait for a call to end.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.calls.waiting()
    }
}
