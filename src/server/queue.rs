//! The queue of accepted connections, which lets those who come from different addresses take turns: in a storm of
//! thousands from a few, who comes anew from elsewhere waits for one of each, and not for all of them.
//!
//! It is not a channel, for whoever finds a channel empty spins and yields before it sleeps: in a storm the one thread
//! that starts threads was seen to stand in `sched_yield` for seconds, behind all that were runnable, and with it every
//! new client.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use super::sync::{Condvar, Mutex};

/// The end that gives. When all of them are gone, nothing more comes.
#[derive(Debug)]
pub(super) struct Giver<K: Source, T>(Arc<Queue<K, T>>);

/// The end that takes.
#[derive(Debug)]
pub(super) struct Taker<K: Source, T>(Arc<Queue<K, T>>);

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
struct Queue<K: Source, T> {
    most: usize,
    state: Mutex<State<K, T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<K: Source, T> {
    /// What waits, by where it comes from, in the order in which it came.
    waiting: HashMap<K, VecDeque<T>>,
    count: usize,
    /// Those of whom something waits, in the order of their turns.
    turns: VecDeque<K>,
    givers: usize,
    has_taker: bool,
}

/// Where something comes from.
pub(super) trait Source: Copy + Eq + Hash {}

impl<K: Copy + Eq + Hash> Source for K {}

/// A queue for at most `most`.
pub(super) fn queue<K: Source, T>(most: usize) -> (Giver<K, T>, Taker<K, T>) {
    let (waiting, turns) = (HashMap::new(), VecDeque::new());
    let state = Mutex::new(State { waiting, count: 0, turns, givers: 1, has_taker: true });
    let queue = Arc::new(Queue { most, state, changed: Condvar::new() });
    (Giver(Arc::clone(&queue)), Taker(queue))
}

impl<K: Source, T> Giver<K, T> {
    /// Adds one, when there is room for it; gives it back if nobody will take it.
    pub(super) fn give(&self, source: K, one: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        while state.count >= self.0.most && state.has_taker {
            self.0.changed.wait(&mut state);
        }
        if !state.has_taker {
            return Err(one);
        }
        state.add(source, one);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<K: Source, T> Taker<K, T> {
    /// Waits for the next one, until the deadline if there is one.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(one) = state.next() {
                if state.count + 1 == self.0.most {
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
                    if self.0.changed.wait_until(&mut state, deadline).timed_out() && state.count == 0 {
                        return Taken::Late;
                    }
                }
            }
        }
    }
}

impl<K: Source, T> State<K, T> {
    fn add(&mut self, source: K, one: T) {
        let of_source = self.waiting.entry(source).or_default();
        if of_source.is_empty() {
            self.turns.push_back(source);
        }
        of_source.push_back(one);
        self.count += 1;
    }

    fn next(&mut self) -> Option<T> {
        let source = self.turns.pop_front()?;
        let of_source = self.waiting.get_mut(&source)?;
        let one = of_source.pop_front()?;
        if of_source.is_empty() {
            self.waiting.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.count -= 1;
        Some(one)
    }
}

impl<K: Source, T> Clone for Giver<K, T> {
    fn clone(&self) -> Giver<K, T> {
        self.0.state.lock().givers += 1;
        Giver(Arc::clone(&self.0))
    }
}

impl<K: Source, T> Drop for Giver<K, T> {
    fn drop(&mut self) {
        self.0.state.lock().givers -= 1;
        self.0.changed.notify_all();
    }
}

impl<K: Source, T> Drop for Taker<K, T> {
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
            scope.spawn(move || (0..1_000).for_each(|number| giver.give(0, (0, number)).unwrap()));
            scope.spawn(move || (0..1_000).for_each(|number| other.give(1, (1, number)).unwrap()));
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
    fn who_comes_anew_from_elsewhere_waits_for_one_of_each_and_not_for_a_storm() {
        let (giver, taker) = queue(100);
        for number in 0..60 {
            giver.give(number % 2, number).unwrap();
        }
        giver.give(7, 100).unwrap();
        giver.give(7, 101).unwrap();
        drop(giver);
        let mut taken = Vec::new();
        while let Taken::One(number) = taker.take(None) {
            taken.push(number);
        }
        assert_eq!(taken[..7], [0, 1, 100, 2, 3, 101, 4]);
        assert_eq!(taken[7..], (5..60).collect::<Vec<_>>());
    }

    #[test]
    fn a_deadline_ends_the_wait_and_a_taker_that_has_gone_ends_the_giving() {
        let (giver, taker) = queue(1);
        let past = super::super::clock::instant();
        assert_eq!(taker.take(Some(past)), Taken::<u8>::Late);
        giver.give((), 1).unwrap();
        assert_eq!(taker.take(Some(past)), Taken::One(1));
        giver.give((), 2).unwrap();
        scope(|scope| {
            let blocked = scope.spawn(|| giver.give((), 3));
            drop(taker);
            assert_eq!(blocked.join().unwrap(), Err(3));
        });
        assert_eq!(giver.give((), 4), Err(4));
    }
}
