//! The queue of accepted connections. It is not a channel, for whoever finds a channel empty spins and yields before
//! it sleeps: in a storm of connections the one thread that starts threads was seen to stand in `sched_yield` for
//! seconds, behind all that were runnable, and with it every new client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::sync::{Condvar, Mutex};

/// The end that gives. When all of them are gone, nothing more comes.
#[derive(Debug)]
pub(super) struct Giver<T>(Arc<Queue<T>>);

/// The end that takes.
#[derive(Debug)]
pub(super) struct Taker<T>(Arc<Queue<T>>);

/// What came of waiting for something to take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// The oldest.
    One(T),
    /// Nothing in time.
    Late,
    /// Nothing, and nothing more will come.
    Ended,
}

#[derive(Debug)]
struct Queue<T> {
    most: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    givers: usize,
    has_taker: bool,
}

/// A queue for at most `most`.
pub(super) fn queue<T>(most: usize) -> (Giver<T>, Taker<T>) {
    let state = Mutex::new(State { waiting: VecDeque::new(), givers: 1, has_taker: true });
    let queue = Arc::new(Queue { most, state, changed: Condvar::new() });
    (Giver(Arc::clone(&queue)), Taker(queue))
}

impl<T> Giver<T> {
    /// Adds one, when there is room for it; gives it back if nobody will take it.
    pub(super) fn give(&self, one: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        while state.waiting.len() >= self.0.most && state.has_taker {
            self.0.changed.wait(&mut state);
        }
        if !state.has_taker {
            return Err(one);
        }
        state.waiting.push_back(one);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Taker<T> {
    /// Waits for the oldest one, until the deadline if there is one.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(one) = state.waiting.pop_front() {
                if state.waiting.len() + 1 == self.0.most {
                    self.0.changed.notify_all();
                }
                return Taken::One(one);
            }
            if state.givers == 0 {
                return Taken::Ended;
            }
            match deadline {
                None => self.0.changed.wait(&mut state),
                Some(deadline) => {
                    if self.0.changed.wait_until(&mut state, deadline).timed_out() && state.waiting.is_empty()
                    {
                        return Taken::Late;
                    }
                }
            }
        }
    }
}

impl<T> Clone for Giver<T> {
    fn clone(&self) -> Giver<T> {
        self.0.state.lock().givers += 1;
        Giver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.state.lock().givers -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state.lock();
            state.has_taker = false;
            std::mem::take(&mut state.waiting)
        };
        self.0.changed.notify_all();
        // What is dropped here may take other locks.
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::scope;

    #[test]
    fn all_that_two_give_is_taken_in_their_order_and_then_it_has_ended() {
        let (giver, taker) = queue(3);
        let other = giver.clone();
        scope(|scope| {
            scope.spawn(move || (0..1_000).for_each(|number| giver.give((0, number)).unwrap()));
            scope.spawn(move || (0..1_000).for_each(|number| other.give((1, number)).unwrap()));
            let mut next = [0, 0];
            loop {
                match taker.take(None) {
                    Taken::One((from, number)) => {
                        assert_eq!(number, next[from]);
                        next[from] += 1;
                    }
                    Taken::Ended => break,
                    Taken::Late => unreachable!("there is no deadline"),
                }
            }
            assert_eq!(next, [1_000, 1_000]);
        });
    }

    #[test]
    fn a_deadline_ends_the_wait_and_a_taker_that_has_gone_ends_the_giving() {
        let (giver, taker) = queue(1);
        let past = super::super::clock::instant();
        assert_eq!(taker.take(Some(past)), Taken::<u8>::Late);
        giver.give(1).unwrap();
        assert_eq!(taker.take(Some(past)), Taken::One(1));
        giver.give(2).unwrap();
        scope(|scope| {
            let blocked = scope.spawn(|| giver.give(3));
            drop(taker);
            assert_eq!(blocked.join().unwrap(), Err(3));
        });
        assert_eq!(giver.give(4), Err(4));
    }
}
