//! Room for connections that are about to begin. Threads that are started, or woken, for thousands of connections at
//! once would all stand before a processor, and who comes anew behind them. So no more are started than the processors
//! can take at once, and the others wait where those from different addresses take turns: see `queue`.

use std::thread;

use super::sync::{Condvar, Mutex};

/// More than one, so that no processor is idle while the next one is started.
const PER_PROCESSOR: usize = 2;

/// How many connections may still be given to a thread that has not begun to run.
pub(super) struct Beginners {
    room: Mutex<usize>,
    changed: Condvar,
}

/// A connection whose thread has not begun to run; dropping it says that it has.
pub(super) struct Beginner<'a>(&'a Beginners);

impl Beginners {
    /// For the processors of this machine.
    pub(super) fn of_this_machine() -> Beginners {
        Beginners::new(thread::available_parallelism().map_or(1, usize::from) * PER_PROCESSOR)
    }

    fn new(count: usize) -> Beginners {
        Beginners { room: Mutex::new(count), changed: Condvar::new() }
    }

    /// Waits until one more may begin.
    pub(super) fn wait_for_room(&self) -> Beginner<'_> {
        let mut room = self.room.lock();
        while *room == 0 {
            self.changed.wait(&mut room);
        }
        *room -= 1;
        Beginner(self)
    }
}

impl Drop for Beginner<'_> {
    fn drop(&mut self) {
        *self.0.room.lock() += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_are_about_to_begin_than_there_is_room_for_and_all_get_theirs() {
        const ROOM: usize = 3;
        const TIMES: usize = 500;
        let (beginners, most, inside) = (Beginners::new(ROOM), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..TIMES {
                let beginner = beginners.wait_for_room();
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let inside = &inside;
                scope.spawn(move || {
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(beginner);
                });
            }
        });
        let most = most.into_inner();
        assert!((1..=ROOM).contains(&most), "{most} at once");
        assert_eq!(*beginners.room.lock(), ROOM);
    }
}
