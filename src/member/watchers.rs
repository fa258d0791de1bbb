//! What all watchers share: how many there are, and what wakes them.
//!
//! They wait in one place. The finder, which follows the change log anyway, wakes all of them at once, so that a report
//! wakes one follower and not thousands; each looks for itself whether there is something for it. One that waits for
//! its socket too has a bell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::os::bell::Bell;
use crate::os::sync::{Condvar, Mutex};

/// How long a watcher rests after a look, at least: people do not see a tenth of a second, and a client that reports
/// more often than that is told once.
const REST: Duration = Duration::from_millis(100);

/// The share of a processor's time that a look may take of a watcher: where thousands watch they look less often, so
/// that all of them together take no more than about one processor from those who report.
const LOOK: Duration = Duration::from_micros(100);

/// What all watchers share.
#[derive(Debug)]
pub struct Watchers {
    /// Drawn at each start: positions of another run of this server, or of another server, say nothing here.
    pub run: u64,
    watchers_max: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: u32,
    /// How often they were woken.
    woken: u64,
    /// The bells of those who have one.
    bells: BTreeMap<u64, Arc<Bell>>,
    next_bell: u64,
}

/// A place among the watchers, given back when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    watchers: &'a Watchers,
}

/// A bell that is rung whenever watchers are woken, until this is dropped.
#[derive(Debug)]
pub struct Hung<'a> {
    watchers: &'a Watchers,
    key: u64,
}

impl Watchers {
    /// At most so many at once.
    pub fn new(watchers_max: u32) -> Watchers {
        Watchers { run: fastrand::u64(..), watchers_max, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A place for one more, if there is one.
    pub fn enter(&self) -> Option<Place<'_>> {
        let mut state = self.state.lock();
        if state.open >= self.watchers_max {
            return None;
        }
        state.open += 1;
        Some(Place { watchers: self })
    }

    /// Has a bell rung from now on. Its owner watches on a connection that it has anyhow, and takes no place.
    pub fn hang(&self, bell: Arc<Bell>) -> Hung<'_> {
        let mut state = self.state.lock();
        let key = state.next_bell;
        state.next_bell += 1;
        state.bells.insert(key, bell);
        Hung { watchers: self, key }
    }

    /// How many have taken a place.
    pub fn open(&self) -> u32 {
        self.state.lock().open
    }

    /// The most that there may be.
    pub fn watchers_max(&self) -> u32 {
        self.watchers_max
    }

    /// Wakes all that wait.
    pub fn notify(&self) {
        let mut state = self.state.lock();
        state.woken += 1;
        state.bells.values().for_each(|bell| bell.ring());
        self.changed.notify_all();
    }

    /// Rings all bells, for what only their owners hear of.
    pub fn ring(&self) {
        self.state.lock().bells.values().for_each(|bell| bell.ring());
    }

    /// How often they were woken, to be asked before a look: what comes after that wakes again.
    pub fn woken(&self) -> u64 {
        self.state.lock().woken
    }

    /// How long each of them rests after a look.
    pub fn rest(&self) -> Duration {
        let state = self.state.lock();
        (LOOK * (state.open + state.bells.len() as u32)).max(REST)
    }

    /// Waits until they are woken again, or until the deadline.
    pub fn wait(&self, woken: u64, deadline: Instant) {
        let mut state = self.state.lock();
        while state.woken == woken {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.watchers.state.lock().open -= 1;
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.watchers.state.lock().bells.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn places_are_given_back_and_looks_are_rarer_where_many_watch() {
        let watchers = Watchers::new(2_000);
        let mut places: Vec<_> = (0..2_000).map(|_| watchers.enter().unwrap()).collect();
        assert!(watchers.enter().is_none());
        assert_eq!(watchers.rest(), Duration::from_millis(200));
        places.truncate(7);
        assert!(watchers.enter().is_some());
        assert_eq!((watchers.open(), watchers.rest()), (7, REST));
    }

    #[test]
    fn a_bell_is_rung_once_for_each_time_that_its_owner_listens() {
        let (watchers, bell) = (Watchers::new(1), Arc::new(Bell::new().unwrap()));
        let rings = |bell: &Bell| rustix::io::read(bell, &mut [0_u8; 8]).is_ok();
        let hung = watchers.hang(Arc::clone(&bell));
        watchers.notify();
        assert!(!rings(&bell), "there was no listener");
        bell.listen();
        watchers.notify();
        watchers.notify();
        assert!(rings(&bell) && !rings(&bell));
        bell.listen();
        drop(hung);
        watchers.notify();
        assert!(!rings(&bell));
    }

    #[test]
    fn what_comes_during_a_look_wakes() {
        let watchers = Watchers::new(1);
        let woken = watchers.woken();
        watchers.notify();
        watchers.wait(woken, clock::deadline(Duration::from_secs(3_600)));
        watchers.wait(watchers.woken(), clock::deadline(Duration::from_millis(1)));
    }
}
