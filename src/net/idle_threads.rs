//! Handing something to a thread that waits for it, and to nobody if none does. A channel without capacity does that
//! too, but whoever waits at it spins and yields before it sleeps, and thousands of threads that have just lost their
//! connections would keep all processors busy with that.

use std::collections::VecDeque;
use std::time::Instant;

use crate::os::sync::{Condvar, Mutex};

/// Where threads wait for something to be handed to them.
pub struct IdleThreads<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// What was handed over and has not been taken yet. There is a waiting thread for each of them.
    handed: VecDeque<T>,
    waiting: usize,
    has_ended: bool,
}

impl<T> Default for IdleThreads<T> {
    fn default() -> IdleThreads<T> {
        let state = State { handed: VecDeque::new(), waiting: 0, has_ended: false };
        IdleThreads { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> IdleThreads<T> {
    /// Hands it to a thread that waits, or back.
    pub fn hand(&self, one: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.waiting <= state.handed.len() {
            return Err(one);
        }
        state.handed.push_back(one);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for something, until the deadline if there is one. `None` if nothing came in time, or nothing more will.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        let mut state = self.state.lock();
        state.waiting += 1;
        let mut is_late = false;
        let taken = loop {
            let taken = state.handed.pop_front();
            if taken.is_some() || state.has_ended || is_late {
                break taken;
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => is_late = self.changed.wait_until(&mut state, deadline).timed_out(),
            }
        };
        state.waiting -= 1;
        taken
    }

    /// Nothing more will be handed over.
    pub fn end(&self) {
        self.state.lock().has_ended = true;
        self.changed.notify_all();
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
    fn who_has_waited_long_enough_gets_nothing_and_nothing_is_kept_for_it() {
        let idle = IdleThreads::default();
        assert_eq!(idle.wait(Some(clock::instant())), None::<u8>);
        assert_eq!(idle.hand(1), Err(1));
        idle.end();
        assert_eq!(idle.wait(None), None);
    }
}
