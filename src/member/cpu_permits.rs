//! Permits to compute, for questions that are answered from memory. Thousands of threads that compute at once would
//! share the processors with all others, and a newcomer would wait for seconds until the system has been through them
//! all.

use std::thread;

use crate::os::priority;
use crate::os::semaphore::{Permit, Semaphore};

/// Permits for each processor: more than one, so that no processor is idle while a permit is handed on.
const PER_PROCESSOR: usize = 2;

/// Clients that may wait for answers at once. If there are more, it is a crowd: those of it that are served step behind
/// all others, or who only reports would wait until thousands of answers are written.
const ASKERS_MAX: usize = 256;

/// The permits of a member.
#[derive(Debug)]
pub(super) struct CpuPermits(Semaphore);

impl CpuPermits {
    /// As many as this machine's processors can use.
    pub(super) fn new() -> CpuPermits {
        CpuPermits(Semaphore::new(thread::available_parallelism().map_or(1, usize::from) * PER_PROCESSOR))
    }

    /// Waits for a permit.
    pub(super) fn acquire(&self) -> Permit<'_> {
        self.0.acquire()
    }

    /// Waits for a permit to answer one of those who may be a crowd.
    pub(super) fn acquire_to_answer(&self) -> Permit<'_> {
        let permit = self.0.acquire();
        if self.0.waiting() > ASKERS_MAX {
            priority::lower();
        }
        permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn only_a_crowd_steps_behind_all_others() {
        for (askers, is_crowd) in [(ASKERS_MAX / 2, false), (ASKERS_MAX + 10, true)] {
            let permits = CpuPermits::new();
            let all: Vec<_> = std::iter::from_fn(|| permits.0.try_acquire()).collect();
            let done = Barrier::new(askers);
            thread::scope(|scope| {
                let ask = || {
                    drop(permits.acquire_to_answer());
                    // None ends, and none begins, while others ask.
                    done.wait();
                    priority::is_lowered()
                };
                let threads: Vec<_> = (0..askers).map(|_| scope.spawn(ask)).collect();
                while permits.0.waiting() < askers {
                    thread::yield_now();
                }
                drop(all);
                let lowered = threads.into_iter().filter_map(|it| it.join().ok()).filter(|&it| it).count();
                assert_eq!(lowered > 0, is_crowd, "{lowered} of {askers}");
                assert!(lowered <= askers - ASKERS_MAX.min(askers), "{lowered} of {askers}");
            });
        }
    }
}
