//! A condition variable with the methods of `parking_lot`, of which shuttle has none.

use std::time::{Duration, Instant};

use shuttle_parking_lot::MutexGuard;

use super::Watched;

/// Counts how often it was notified.
#[derive(Debug, Default)]
pub(in crate::server) struct Condvar(Watched<u64>);

/// Nobody has waited too long.
pub(in crate::server) struct InTime;

impl InTime {
    pub(in crate::server) fn timed_out(self) -> bool {
        false
    }
}

impl Condvar {
    pub(in crate::server) fn new() -> Condvar {
        Condvar::default()
    }

    pub(in crate::server) fn notify_all(&self) {
        self.0.change(|count| *count += 1);
    }

    /// Wakes all: whoever waits must look again whether it was meant.
    pub(in crate::server) fn notify_one(&self) {
        self.notify_all();
    }

    pub(in crate::server) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let before = self.0.peek(|&mut count| count);
        MutexGuard::unlocked(guard, || self.0.wait(|&mut count| (count != before).then_some(())));
    }

    pub(in crate::server) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> InTime {
        let before = self.0.peek(|&mut count| count);
        MutexGuard::unlocked(guard, || self.0.wait(|&mut count| (count != before).then_some(())));
        InTime
    }

    pub(in crate::server) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> InTime {
        let before = self.0.peek(|&mut count| count);
        MutexGuard::unlocked(guard, || self.0.wait(|&mut count| (count != before).then_some(())));
        InTime
    }
}
