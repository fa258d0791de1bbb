//! A condition that thousands of threads wait for, each until a deadline of its own.
//!
//! A thread whose wait has timed out looks for itself in the queue of its condition variable, from the front. Where
//! deadlines pass in another order than the waits have begun, that is a search through half of all that wait: with
//! 10,000 of them ten times what the wake-ups cost (parking_lot 0.12.5: see `findings`). So they wait in many queues.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::sync::{AtomicU64, Condvar, MutexGuard};

/// The queues: with 10,000 threads a search passes some 80 of them. In the model of threads, where each is woken in a
/// step of its own, two show as much.
const QUEUES: usize = if cfg!(feature = "interleavings") { 2 } else { 64 };

/// A condition variable for thousands of threads. All use it with the same lock.
pub struct SpreadCondvar {
    queues: Box<[Condvar]>,
    /// How many have waited: they take the queues in turns.
    next: AtomicU64,
}

impl SpreadCondvar {
    /// Waits until it is woken, or until the deadline; whether that has passed.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> bool {
        self.next().wait_until(guard, deadline).timed_out()
    }

    /// The same for so long; whether that time has passed.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> bool {
        self.next().wait_for(guard, time).timed_out()
    }

    /// The queue of the next that waits.
    fn next(&self) -> &Condvar {
        &self.queues[self.next.fetch_add(1, Ordering::Relaxed) as usize % QUEUES]
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        for queue in &self.queues {
            queue.notify_all();
        }
    }
}

impl Default for SpreadCondvar {
    /// Nothing waits.
    fn default() -> SpreadCondvar {
        let queues = (0..QUEUES).map(|_| Condvar::new()).collect();
        SpreadCondvar { queues, next: AtomicU64::new(0) }
    }
}

impl fmt::Debug for SpreadCondvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpreadCondvar").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests {
    use super::*;
    use crate::os::clock;
    use crate::os::sync::{Mutex, scope};

    #[test]
    fn all_are_woken_whatever_queue_they_wait_in() {
        let (woken, condvar) = (Mutex::new(false), SpreadCondvar::default());
        scope(|scope| {
            for _ in 0..2 * QUEUES {
                scope.spawn(|| {
                    let mut woken = woken.lock();
                    while !*woken {
                        let is_late =
                            condvar.wait_until(&mut woken, clock::deadline(Duration::from_secs(3_600)));
                        assert!(!is_late);
                    }
                });
            }
            *woken.lock() = true;
            condvar.notify_all();
        });
        assert!(condvar.wait_until(&mut woken.lock(), clock::instant()), "that moment has passed");
        assert!(condvar.wait_for(&mut woken.lock(), Duration::ZERO));
    }
}
