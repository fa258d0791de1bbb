//! Turns at what keeps a processor busy. Thousands of threads that compute at once would share the processors with
//! everybody else, and who comes anew would wait for seconds until the system has been through them all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::{FairMutex, FairMutexGuard};

/// More than one, so that no processor is idle while a turn is handed on.
const TURNS_PER_PROCESSOR: usize = 2;

/// As many turns as keep all processors busy, each with a queue: first come, first served.
pub(super) struct Turns {
    turns: Box<[FairMutex<()>]>,
    /// The queue that the next one who has to wait joins.
    next: AtomicUsize,
}

/// A turn; dropping it gives it to the next in its queue.
pub(super) type Turn<'a> = FairMutexGuard<'a, ()>;

impl Turns {
    /// For the processors of this machine.
    pub(super) fn of_this_machine() -> Turns {
        Turns::new(thread::available_parallelism().map_or(1, usize::from) * TURNS_PER_PROCESSOR)
    }

    fn new(count: usize) -> Turns {
        Turns { turns: (0..count).map(|_| FairMutex::new(())).collect(), next: AtomicUsize::new(0) }
    }

    /// Takes a turn, waiting for it if all are taken.
    pub(super) fn take(&self) -> Turn<'_> {
        let free = self.turns.iter().find_map(FairMutex::try_lock);
        free.unwrap_or_else(|| {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.turns.len();
            self.turns[next].lock()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_are_turns_compute_at_once_and_all_get_theirs() {
        const TURNS: usize = 3;
        const THREADS: usize = 16;
        const TIMES: usize = 200;
        let (turns, inside) = (Turns::new(TURNS), AtomicUsize::new(0));
        let (most, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        let turn = turns.take();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((2..=TURNS).contains(&most), "{most} at once");
        assert_eq!(done.into_inner(), THREADS * TIMES);
    }
}
