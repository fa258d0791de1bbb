//! What all watchers share: how many there are, and what wakes them.
//!
//! They wait in one place. The finder, which follows the change log anyway, wakes all of them at once, so that a report
//! wakes one follower and not thousands; each looks for itself whether there is something for it. One that waits for
//! its socket too waits for a bell, which all of them share and which rings once: the next wait has another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::os::bell::Bell;
use crate::os::spread_condvar::SpreadCondvar;
use crate::os::sync::Mutex;

/// How long a watcher rests after a look at most, if few watch: people do not see a tenth of a second, and a client
/// that reports more often than that is told once.
const REST: Duration = Duration::from_millis(100);

/// The processor time that is set aside for a look: where thousands watch they look less often. A look takes a fifth of
/// that, so all of them together take about a fifth of a processor from those who report.
const LOOK: Duration = Duration::from_micros(200);

/// How long it rests at most: a change is told within about a second, however many others there are.
const REST_MAX: Duration = Duration::from_secs(1);

/// What all watchers share.
#[derive(Debug)]
pub struct Watchers {
    /// Drawn at each start: positions of another run of this server, or of another server, say nothing here.
    pub run: u64,
    watchers_max: u32,
    state: Mutex<State>,
    changed: SpreadCondvar,
}

#[derive(Debug, Default)]
struct State {
    open: u32,
    /// How often they were woken.
    woken: u64,
    /// What rings when they are woken next, if one waits for it.
    bell: Option<Arc<Bell>>,
    /// Those that wait for it, or will.
    listeners: u32,
}

/// A place among the watchers, given back when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    watchers: &'a Watchers,
}

/// One that waits for bells, until this is dropped.
#[derive(Debug)]
pub struct Listener<'a> {
    watchers: &'a Watchers,
}

impl Watchers {
    /// At most so many at once.
    pub fn new(watchers_max: u32) -> Watchers {
        Watchers {
            run: fastrand::u64(..),
            watchers_max,
            state: Mutex::default(),
            changed: SpreadCondvar::default(),
        }
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

    /// One that watches on a connection that it has anyhow, and takes no place.
    pub fn listen(&self) -> Listener<'_> {
        self.state.lock().listeners += 1;
        Listener { watchers: self }
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
        self.ring();
        self.changed.notify_all();
    }

    /// Wakes those that wait for the bell, for what only they hear of.
    pub fn ring(&self) {
        let bell = {
            let mut state = self.state.lock();
            state.woken += 1;
            state.bell.take()
        };
        // Not under the lock, because all that wake ask for the next one.
        bell.iter().for_each(|bell| bell.ring());
    }

    /// What rings when they are woken next. `None` if they have been since they were so many times, or if there is no
    /// descriptor for it: then it is time to look again.
    pub fn bell(&self, woken: u64) -> Option<Arc<Bell>> {
        let mut state = self.state.lock();
        if state.woken != woken {
            return None;
        }
        if state.bell.is_none() {
            state.bell = Bell::new().ok().map(Arc::new);
        }
        state.bell.clone()
    }

    /// How often they were woken, to be asked before a look: what comes after that wakes again.
    pub fn woken(&self) -> u64 {
        self.state.lock().woken
    }

    /// How long one of them rests after a look, a little less each time. If all rested equally long they would look one
    /// after the other and then be silent together, and one who reports in between would wait for all of them.
    pub fn rest(&self) -> Duration {
        self.rest_max().mul_f64(0.5 + fastrand::f64() / 2.0).min(REST_MAX)
    }

    fn rest_max(&self) -> Duration {
        let state = self.state.lock();
        (LOOK * (state.open + state.listeners)).max(REST)
    }

    /// Waits until they are woken again, or until the deadline.
    pub fn wait(&self, woken: u64, deadline: Instant) {
        let mut state = self.state.lock();
        while state.woken == woken {
            if self.changed.wait_until(&mut state, deadline) {
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

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.watchers.state.lock().listeners -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::os::clock;

    #[test]
    fn places_are_given_back_and_looks_are_rarer_where_many_watch() {
        let watchers = Watchers::new(2_000);
        let mut places: Vec<_> = (0..2_000).map(|_| watchers.enter().unwrap()).collect();
        assert!(watchers.enter().is_none());
        assert_eq!(watchers.rest_max(), Duration::from_millis(400));
        places.truncate(7);
        assert!(watchers.enter().is_some());
        assert_eq!((watchers.open(), watchers.rest_max()), (7, REST));
    }

    #[test]
    fn all_listeners_share_a_bell_and_each_wake_up_has_its_own() {
        let watchers = Watchers::new(1);
        let rings = |bell: &Bell| {
            let mut polled = [PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN)];
            poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
        };
        let before = watchers.woken();
        let [one, other] = [before, before].map(|woken| watchers.bell(woken).unwrap());
        assert!(Arc::ptr_eq(&one, &other) && !rings(&one));
        watchers.notify();
        assert!(rings(&one) && rings(&other), "each hears it, however late");
        assert!(watchers.bell(before).is_none(), "there is something to look at");
        let next = watchers.bell(watchers.woken()).unwrap();
        assert!(!rings(&next));
        watchers.ring();
        assert!(rings(&next));
        let listeners: Vec<_> = (0..20_000).map(|_| watchers.listen()).collect();
        assert!(watchers.rest() <= REST_MAX, "a change is told within about a second");
        drop(listeners);
        assert!((REST / 2..=REST).contains(&watchers.rest()));
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
