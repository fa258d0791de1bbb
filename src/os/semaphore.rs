//! A counting semaphore: a bounded number of threads at once, first come, first served.

use std::sync::Arc;
use std::time::Instant;

use super::sync::{Condvar, Mutex};

/// A number of permits. A permit that comes back goes to the thread that has waited longest: a thread that arrives in
/// the same moment cannot take it first, or a long queue would starve.
#[derive(Debug)]
pub struct Semaphore {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Permits that any thread may take. There are none as long as a thread waits.
    free: usize,
    waiting: usize,
    /// Permits that came back for threads that wait and have not run yet; never more than `waiting`.
    granted: usize,
    lifted: bool,
}

/// One permit; dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit<'a>(&'a Semaphore);

/// One permit, for what outlives a borrow of its semaphore; dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct OwnedPermit(Arc<Semaphore>);

impl Semaphore {
    /// A semaphore with `permits` permits.
    pub fn new(permits: usize) -> Semaphore {
        let state = State { free: permits, waiting: 0, granted: 0, lifted: false };
        Semaphore { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a permit, waiting for it if there is none.
    pub fn acquire(&self) -> Permit<'_> {
        self.take();
        Permit(self)
    }

    /// Takes a permit as [`Semaphore::acquire`] does.
    pub fn acquire_owned(self: &Arc<Semaphore>) -> OwnedPermit {
        self.take();
        OwnedPermit(Arc::clone(self))
    }

    fn take(&self) {
        let mut state = self.state.lock();
        if !state.take_free() {
            state.waiting += 1;
            while !state.take_granted() {
                self.changed.wait(&mut state);
            }
        }
    }

    fn give_back(&self) {
        let mut state = self.state.lock();
        if state.granted < state.waiting {
            state.granted += 1;
            // The one that wakes needs the lock.
            drop(state);
            self.changed.notify_one();
        } else {
            state.free += 1;
        }
    }

    /// Takes a permit, waiting for it until `deadline` at most.
    pub fn acquire_until(&self, deadline: Instant) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        if !state.take_free() {
            state.waiting += 1;
            while !state.take_granted() {
                // A permit may be granted between the end of the time and the lock: it must not be lost.
                if self.changed.wait_until(&mut state, deadline).timed_out() && !state.is_granted() {
                    state.waiting -= 1;
                    return None;
                }
            }
        }
        Some(Permit(self))
    }

    /// Takes a permit if there is one at once.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.state.lock().take_free().then(|| Permit(self))
    }

    /// Lifts the limit for good: all threads that wait get a permit now, and every later one at once.
    pub fn lift(&self) {
        self.state.lock().lifted = true;
        self.changed.notify_all();
    }

    /// How many threads wait for a permit.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }
}

impl State {
    fn take_free(&mut self) -> bool {
        let is_free = self.free > 0 || self.lifted;
        self.free = self.free.saturating_sub(usize::from(is_free));
        is_free
    }

    fn is_granted(&self) -> bool {
        self.granted > 0 || self.lifted
    }

    fn take_granted(&mut self) -> bool {
        let is_granted = self.is_granted();
        if is_granted {
            self.granted = self.granted.saturating_sub(1);
            self.waiting -= 1;
        }
        is_granted
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Longer than any wait here takes, however busy the machine is.
    const AT_LAST: Duration = Duration::from_secs(30);

    #[expect(clippy::disallowed_methods, reason = "a deadline needs a time to count from")]
    fn after(time: Duration) -> Instant {
        Instant::now() + time
    }

    fn until(mut happened: impl FnMut() -> bool) {
        let deadline = after(AT_LAST);
        while !happened() {
            assert!(after(Duration::ZERO) < deadline, "waited in vain");
            thread::yield_now();
        }
    }

    fn take(semaphore: &Semaphore, way: usize) -> Option<Permit<'_>> {
        match way % 3 {
            0 => Some(semaphore.acquire()),
            1 => semaphore.acquire_until(after(AT_LAST)),
            _ => semaphore.acquire_until(after(Duration::from_micros(20))),
        }
    }

    #[test]
    fn permits_bound_the_threads_at_once_and_every_thread_gets_its_own() {
        const PERMITS: usize = 3;
        const THREADS: usize = 16;
        const TIMES: usize = 200;
        let (semaphore, inside) = (Semaphore::new(PERMITS), AtomicUsize::new(0));
        let (most, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (semaphore, inside, most, done) = (&semaphore, &inside, &most, &done);
                scope.spawn(move || {
                    for _ in 0..TIMES {
                        // Those that give up in between take nothing with them.
                        let permit =
                            take(semaphore, number).or_else(|| semaphore.acquire_until(after(AT_LAST)));
                        let permit = permit.unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((2..=PERMITS).contains(&most), "{most} at once");
        assert_eq!(done.into_inner(), THREADS * TIMES);
        let State { free, waiting, granted, lifted } = semaphore.state.into_inner();
        assert_eq!((free, waiting, granted, lifted), (PERMITS, 0, 0, false));
    }

    #[test]
    fn permits_go_to_waiting_threads_in_the_order_of_their_arrival() {
        const THREADS: usize = 8;
        let (semaphore, order) = (Semaphore::new(1), Mutex::new(Vec::new()));
        let permit = semaphore.acquire();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (semaphore, order) = (&semaphore, &order);
                scope.spawn(move || {
                    let _permit = take(semaphore, number % 2).unwrap();
                    order.lock().push(number);
                });
                until(|| semaphore.waiting() == number + 1);
            }
            drop(permit);
        });
        assert_eq!(order.into_inner(), (0..THREADS).collect::<Vec<_>>());
    }

    #[test]
    fn a_permit_that_comes_back_is_kept_for_the_thread_that_waits() {
        let semaphore = Semaphore::new(1);
        thread::scope(|scope| {
            let permit = semaphore.acquire();
            let waiting = scope.spawn(|| drop(semaphore.acquire()));
            until(|| semaphore.waiting() == 1);
            // As in the moment after it came back, when the thread that waits has not run yet.
            semaphore.state.lock().granted = 1;
            std::mem::forget(permit);
            assert!(semaphore.try_acquire().is_none());
            semaphore.changed.notify_one();
            waiting.join().unwrap();
        });
        assert!(semaphore.try_acquire().is_some());
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_costs_no_permit() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire();
        assert!(semaphore.try_acquire().is_none());
        assert!(semaphore.acquire_until(after(Duration::from_millis(20))).is_none());
        assert_eq!(semaphore.waiting(), 0);
        drop(permit);
        assert!(semaphore.acquire_until(after(Duration::ZERO)).is_some());
        assert!(semaphore.try_acquire().is_some());
    }

    #[test]
    fn lifting_the_limit_releases_all_threads_that_wait() {
        let semaphore = Semaphore::new(1);
        let _permit = semaphore.acquire();
        thread::scope(|scope| {
            for number in 0..4 {
                let semaphore = &semaphore;
                scope.spawn(move || take(semaphore, number % 2).unwrap());
            }
            until(|| semaphore.waiting() == 4);
            semaphore.lift();
        });
        let all: Vec<_> = (0..9).map(|_| semaphore.try_acquire().unwrap()).collect();
        assert_eq!((all.len(), semaphore.waiting()), (9, 0));
    }
}
