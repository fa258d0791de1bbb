//! A condition variable with the methods of `parking_lot`, of which shuttle has none.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shuttle_parking_lot::MutexGuard;

use super::Watched;

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
pub struct Condvar(Watched<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<u64>,
    next: u64,
}

/// No wait ends because it has lasted too long.
pub struct InTime;

impl InTime {
    pub fn timed_out(self) -> bool {
        false
    }
}

impl Condvar {
    pub fn new() -> Condvar {
        Condvar::default()
    }

    pub fn notify_all(&self) {
        self.0.change(|queue| queue.waiting.clear());
    }

    pub fn notify_one(&self) {
        self.0.change(|queue| queue.waiting.pop_front());
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let ticket = self.0.peek(|queue| {
            queue.next += 1;
            queue.waiting.push_back(queue.next);
            queue.next
        });
        let is_called = |queue: &mut Queue| (!queue.waiting.contains(&ticket)).then_some(());
        MutexGuard::unlocked(guard, || self.0.wait(is_called));
    }

    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> InTime {
        self.wait(guard);
        InTime
    }

    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> InTime {
        self.wait(guard);
        InTime
    }
}
