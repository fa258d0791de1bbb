//! The queue of accepted connections, which lets those who come from different addresses take turns: in a storm of
//! thousands from a few, who comes from elsewhere waits for none of them but the one whose turn it is.
//!
//! That is the rule of fair queuing in routers, where a flow with a single packet goes before those that have a queue
//! (RFC 8290, FQ-CoDel): every other turn is of an address that has had none since it has something here. Only every
//! other, so that a storm from thousands of addresses does not keep all others from theirs.
//!
//! It is not a channel, for whoever finds a channel empty spins and yields before it sleeps: in a storm the one thread
//! that starts threads was seen to stand in `sched_yield` for seconds, behind all that were runnable, and with it every
//! new client.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use crate::os::sync::{Condvar, Mutex};

/// The end that gives. When all of them are gone, nothing more comes.
#[derive(Debug)]
pub struct Sender<K: Key, T>(Arc<FairQueue<K, T>>);

/// The end that takes.
#[derive(Debug)]
pub struct Receiver<K: Key, T>(Arc<FairQueue<K, T>>);

/// What came of waiting for something to take.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// The next one.
    One(T),
    /// Nothing in time.
    Late,
    /// Nothing, and nothing more will come.
    Ended,
}

#[derive(Debug)]
struct FairQueue<K: Key, T> {
    most: usize,
    state: Mutex<State<K, T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<K: Key, T> {
    /// What waits, by where it comes from, in the order in which it came. Of one who has had a turn it may be nothing.
    waiting: HashMap<K, VecDeque<T>>,
    count: usize,
    /// Those who have had no turn yet, in the order in which they came.
    fresh: VecDeque<K>,
    /// The others, in the order of their turns. One of whom nothing waits at its turn is forgotten.
    turns: VecDeque<K>,
    /// Whether the last turn was of one that was fresh.
    was_fresh: bool,
    senders: usize,
    has_receiver: bool,
}

/// Where something comes from.
pub trait Key: Copy + Eq + Hash {}

impl<K: Copy + Eq + Hash> Key for K {}

/// A queue for at most `most`.
pub fn fair_queue<K: Key, T>(most: usize) -> (Sender<K, T>, Receiver<K, T>) {
    let state = Mutex::new(State {
        waiting: HashMap::new(),
        count: 0,
        fresh: VecDeque::new(),
        turns: VecDeque::new(),
        was_fresh: false,
        senders: 1,
        has_receiver: true,
    });
    let queue = Arc::new(FairQueue { most, state, changed: Condvar::new() });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl<K: Key, T> Sender<K, T> {
    /// Whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.0.state.lock().count == 0
    }

    /// Adds one, when there is room for it; gives it back if nobody will take it.
    pub fn send(&self, source: K, one: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        while state.count >= self.0.most && state.has_receiver {
            self.0.changed.wait(&mut state);
        }
        if !state.has_receiver {
            return Err(one);
        }
        state.add(source, one);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<K: Key, T> Receiver<K, T> {
    /// Waits for the next one, until the deadline if there is one.
    pub fn receive(&self, deadline: Option<Instant>) -> Received<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(one) = state.next() {
                if state.count + 1 == self.0.most {
                    self.0.changed.notify_all();
                }
                return Received::One(one);
            }
            if state.senders == 0 {
                return Received::Ended;
            }
            match deadline {
                None => self.0.changed.wait(&mut state),
                Some(deadline) => {
                    if self.0.changed.wait_until(&mut state, deadline).timed_out() && state.count == 0 {
                        return Received::Late;
                    }
                }
            }
        }
    }
}

impl<K: Key, T> State<K, T> {
    fn add(&mut self, source: K, one: T) {
        let of_source = self.waiting.entry(source).or_insert_with(|| {
            self.fresh.push_back(source);
            VecDeque::new()
        });
        of_source.push_back(one);
        self.count += 1;
    }

    fn next(&mut self) -> Option<T> {
        loop {
            self.was_fresh = !self.fresh.is_empty() && (!self.was_fresh || self.turns.is_empty());
            let source = if self.was_fresh { self.fresh.pop_front() } else { self.turns.pop_front() }?;
            match self.waiting.get_mut(&source).and_then(VecDeque::pop_front) {
                Some(one) => {
                    // Even if nothing of it waits now: what comes before its next turn does not make it fresh.
                    self.turns.push_back(source);
                    self.count -= 1;
                    return Some(one);
                }
                None => self.waiting.remove(&source),
            };
        }
    }
}

impl<K: Key, T> Clone for Sender<K, T> {
    fn clone(&self) -> Sender<K, T> {
        self.0.state.lock().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<K: Key, T> Drop for Sender<K, T> {
    fn drop(&mut self) {
        self.0.state.lock().senders -= 1;
        self.0.changed.notify_all();
    }
}

impl<K: Key, T> Drop for Receiver<K, T> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state.lock();
            state.has_receiver = false;
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
        let (sender, receiver) = fair_queue(3);
        let other = sender.clone();
        scope(|scope| {
            scope.spawn(move || (0..1_000).for_each(|number| sender.send(0, (0, number)).unwrap()));
            scope.spawn(move || (0..1_000).for_each(|number| other.send(1, (1, number)).unwrap()));
            let mut next = [0, 0];
            loop {
                match receiver.receive(None) {
                    Received::One((from, number)) => {
                        assert_eq!(number, next[from]);
                        next[from] += 1;
                    }
                    Received::Ended => break,
                    Received::Late => unreachable!("there is no deadline"),
                }
            }
            assert_eq!(next, [1_000, 1_000]);
        });
    }

    #[test]
    fn who_comes_from_elsewhere_waits_for_one_of_a_storm_and_a_storm_for_no_more_of_those() {
        let (sender, receiver) = fair_queue(200);
        let take = |count| -> Vec<_> {
            let one = || if let Received::One(number) = receiver.receive(None) { Some(number) } else { None };
            std::iter::from_fn(one).take(count).collect()
        };
        (0..90).for_each(|number| sender.send(number % 30, number).unwrap());
        let mut storm = take(60);
        (100..104).for_each(|number| sender.send(number, number).unwrap());
        sender.send(100, 104).unwrap();
        let taken = take(10);
        // Its second one is no more than one of the storm.
        assert_eq!(
            taken.iter().filter(|number| **number >= 100).collect::<Vec<_>>(),
            [&100, &101, &102, &103]
        );
        assert!(taken[..2].contains(&100) && taken[..8].contains(&103), "{taken:?}");
        storm.extend(taken);
        storm.extend(take(95 - storm.len()));
        drop(sender);
        assert_eq!(receiver.receive(None), Received::Ended);
        storm.sort_unstable();
        assert_eq!(storm, (0..90).chain(100..105).collect::<Vec<_>>(), "each is taken once");
    }

    #[test]
    fn one_that_was_served_is_not_fresh_when_it_comes_again_before_its_turn() {
        let (sender, receiver) = fair_queue(100);
        let next = || if let Received::One(one) = receiver.receive(None) { one } else { "none" };
        (0..10).for_each(|_| sender.send("storm", "storm").unwrap());
        assert_eq!([next(), next()], ["storm"; 2]);
        sender.send("often", "first").unwrap();
        assert_eq!(next(), "first");
        sender.send("often", "again").unwrap();
        sender.send("new", "new").unwrap();
        assert_eq!([next(), next(), next(), next()], ["storm", "new", "again", "storm"]);
    }

    #[test]
    fn a_deadline_ends_the_wait_and_a_taker_that_has_gone_ends_the_giving() {
        let (sender, receiver) = fair_queue(1);
        let past = crate::os::clock::instant();
        assert_eq!(receiver.receive(Some(past)), Received::<u8>::Late);
        sender.send((), 1).unwrap();
        assert_eq!(receiver.receive(Some(past)), Received::One(1));
        sender.send((), 2).unwrap();
        scope(|scope| {
            let blocked = scope.spawn(|| sender.send((), 3));
            drop(receiver);
            assert_eq!(blocked.join().unwrap(), Err(3));
        });
        assert_eq!(sender.send((), 4), Err(4));
    }
}
