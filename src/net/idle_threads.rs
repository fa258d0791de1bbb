//! Handing something to a thread that waits for it, and to nobody if none does. A channel without capacity does that
//! too, but whoever waits at it spins and yields before it sleeps, and thousands of threads that have just lost their
//! connections would keep all processors busy with that.

use std::sync::Arc;
use std::time::Instant;

use crate::os::sync::{Condvar, Mutex};

/// Where threads wait for something to be handed to them. The one that came last is the next: its stack and its part of
/// the allocator are still in the caches of a processor, and those that come first are those that may end.
pub struct IdleThreads<T>(Mutex<State<T>>);

struct State<T> {
    waiting: Vec<Arc<Place<T>>>,
    has_ended: bool,
}

/// Where one thread waits.
struct Place<T> {
    handed: Mutex<Handed<T>>,
    changed: Condvar,
}

enum Handed<T> {
    Nothing,
    One(T),
    /// Nothing, and nothing more will come.
    End,
}

impl<T> Default for IdleThreads<T> {
    fn default() -> IdleThreads<T> {
        IdleThreads(Mutex::new(State { waiting: Vec::new(), has_ended: false }))
    }
}

impl<T> IdleThreads<T> {
    /// Hands it to a thread that waits, or back.
    pub fn hand(&self, one: T) -> Result<(), T> {
        let Some(place) = self.0.lock().waiting.pop() else { return Err(one) };
        place.give(Handed::One(one));
        Ok(())
    }

    /// Waits for something, until the deadline if there is one. `None` if nothing came in time, or nothing more will.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        let place = Arc::new(Place { handed: Mutex::new(Handed::Nothing), changed: Condvar::new() });
        {
            let mut state = self.0.lock();
            if state.has_ended {
                return None;
            }
            state.waiting.push(Arc::clone(&place));
        }
        place.take(deadline).or_else(|| {
            let mut state = self.0.lock();
            let mine = state.waiting.iter().position(|other| Arc::ptr_eq(other, &place));
            if let Some(mine) = mine {
                state.waiting.remove(mine);
            }
            drop(state);
            // The thread that has taken the place from the list is about to fill it.
            if mine.is_some() { None } else { place.take(None) }
        })
    }

    /// The threads that wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Nothing more will be handed over.
    pub fn end(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.has_ended = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.iter().for_each(|place| place.give(Handed::End));
    }
}

impl<T> Place<T> {
    fn give(&self, handed: Handed<T>) {
        *self.handed.lock() = handed;
        self.changed.notify_one();
    }

    /// Waits until something is handed over, or until the deadline.
    fn take(&self, deadline: Option<Instant>) -> Option<T> {
        let mut handed = self.handed.lock();
        loop {
            match std::mem::replace(&mut *handed, Handed::Nothing) {
                Handed::One(one) => return Some(one),
                Handed::End => {
                    *handed = Handed::End;
                    return None;
                }
                Handed::Nothing => {}
            }
            match deadline {
                None => self.changed.wait(&mut handed),
                Some(deadline) => {
                    let is_late = self.changed.wait_until(&mut handed, deadline).timed_out();
                    if is_late && matches!(*handed, Handed::Nothing) {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;
    use std::thread::scope;

    #[test]
    fn nothing_is_handed_to_nobody_and_each_thing_to_one() {
        let idle = IdleThreads::default();
        assert_eq!(idle.hand(0), Err(0));
        let taken = Mutex::new(Vec::new());
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(one) = idle.wait(None) {
                        taken.lock().push(one);
                    }
                });
            }
            for mut one in 1..=100 {
                while let Err(back) = idle.hand(one) {
                    one = back;
                    std::thread::yield_now();
                }
            }
            idle.end();
        });
        let mut taken = taken.into_inner();
        taken.sort_unstable();
        assert_eq!(taken, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn the_thread_that_came_last_is_the_next() {
        let idle = IdleThreads::default();
        let wait_for = |count: usize| {
            while idle.count() < count {
                std::thread::yield_now();
            }
        };
        scope(|scope| {
            let first = scope.spawn(|| idle.wait(None));
            wait_for(1);
            let last = scope.spawn(|| idle.wait(None));
            wait_for(2);
            idle.hand(1).unwrap();
            assert_eq!(last.join().unwrap(), Some(1));
            idle.end();
            assert_eq!(first.join().unwrap(), None);
        });
    }

    #[test]
    fn who_has_waited_long_enough_gets_nothing_and_nothing_is_kept_for_it() {
        let idle = IdleThreads::default();
        assert_eq!(idle.wait(Some(clock::instant())), None::<u8>);
        assert_eq!(idle.hand(1), Err(1));
        idle.end();
        assert_eq!(idle.wait(None), None);
    }
}
