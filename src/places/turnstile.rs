//! How many calls may be under way, and how many may wait for their turn.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::PlacesError;

/// Lets a bounded number through at once.
pub(crate) struct Turnstile {
    inside_max: usize,
    waiting_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inside: usize,
    waiting: usize,
    closed: bool,
}

/// A turn; dropping it gives it to the next.
pub(crate) struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    /// At most `inside_max` turns at once, for which at most `waiting_max` threads may wait.
    pub(crate) fn new(inside_max: usize, waiting_max: usize) -> Turnstile {
        Turnstile { inside_max, waiting_max, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Takes a turn, waiting for it until `deadline` if there is room to wait, else fails at once.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Turn<'_>, PlacesError> {
        let mut state = self.state.lock();
        if state.inside >= self.inside_max && !state.closed {
            if state.waiting >= self.waiting_max {
                return Err(PlacesError::Busy);
            }
            state.waiting += 1;
            while state.inside >= self.inside_max && !state.closed {
                if self.changed.wait_until(&mut state, deadline).timed_out() {
                    break;
                }
            }
            state.waiting -= 1;
        }
        if state.closed {
            Err(PlacesError::Stopped)
        } else if state.inside >= self.inside_max {
            Err(PlacesError::Busy)
        } else {
            state.inside += 1;
            Ok(Turn(self))
        }
    }

    /// Wakes all who wait; nobody gets a turn from now on.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until `deadline` or until the turnstile is closed: a pause that stopping cuts short.
    pub(crate) fn pause(&self, deadline: Instant) -> Result<(), PlacesError> {
        let mut state = self.state.lock();
        while !state.closed {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Ok(());
            }
        }
        Err(PlacesError::Stopped)
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How many wait for a turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        // Those in a pause wait on it too, so waking only one could wake the wrong one.
        self.0.changed.notify_all();
    }
}
