//! The queue of accepted connections. It is not a channel, for whoever finds a channel empty spins and yields before
//! it sleeps: in a storm of connections the one thread that starts threads was seen to stand in `sched_yield` for
//! seconds, behind all that were runnable, and with it every new client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::sync::{Condvar, Mutex};

/// When more than so many wait, the newest and the oldest take turns. In a storm of thousands whoever comes anew would
/// otherwise wait for all of them; and none of those waits longer than twice its time. So many are served in some 5 ms,
/// as a storm of ten thousand took 0.7 s of processor time.
const STORM: usize = 64;

/// The end that gives. When all of them are gone, nothing more comes.
#[derive(Debug)]
pub(super) struct Giver<T>(Arc<Queue<T>>);

/// The end that takes.
#[derive(Debug)]
pub(super) struct Taker<T>(Arc<Queue<T>>);

/// What came of waiting for something to take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// The next one.
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
    newest_is_next: bool,
    givers: usize,
    has_taker: bool,
}

/// A queue for at most `most`.
pub(super) fn queue<T>(most: usize) -> (Giver<T>, Taker<T>) {
    let state =
        Mutex::new(State { waiting: VecDeque::new(), newest_is_next: false, givers: 1, has_taker: true });
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
    /// Waits for the next one, until the deadline if there is one.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(one) = state.next() {
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

impl<T> State<T> {
    fn next(&mut self) -> Option<T> {
        self.newest_is_next = !self.newest_is_next && self.waiting.len() > STORM;
        if self.newest_is_next { self.waiting.pop_back() } else { self.waiting.pop_front() }
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
    fn who_comes_anew_in_a_storm_does_not_wait_for_all_before_it_and_the_oldest_does_not_wait_for_ever() {
        let (giver, taker) = queue(10 * STORM);
        let next = || match taker.take(None) {
            Taken::One(number) => number,
            other @ (Taken::Late | Taken::Ended) => panic!("{other:?}"),
        };
        let all = 0..3 * STORM;
        all.clone().for_each(|number| giver.give(number).unwrap());
        let mut taken = vec![next()];
        giver.give(all.end).unwrap();
        taken.extend([next(), next()]);
        assert!(taken.contains(&all.end), "{taken:?}");
        assert!(taken.contains(&0), "{taken:?}");
        // What is left of the storm is served in its order.
        taken.extend((taken.len()..=all.end).map(|_| next()));
        assert!(taken[taken.len() - STORM..].is_sorted(), "{taken:?}");
        taken.sort_unstable();
        assert_eq!(taken, (0..=all.end).collect::<Vec<_>>());
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
