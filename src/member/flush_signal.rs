//! What wakes the flusher: something was written that is not on disk yet, or it is time to stop.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::os::clock;
use crate::os::sync::{AtomicBool, Condvar, Mutex};

/// The signal. One thread waits for it.
#[derive(Debug, Default)]
pub struct FlushSignal {
    /// Whether something was written since the flusher last looked.
    is_dirty: AtomicBool,
    is_stopping: Mutex<bool>,
    changed: Condvar,
}

impl FlushSignal {
    /// Something was written, or recorded and perhaps not written.
    pub fn mark_dirty(&self) {
        if !self.is_dirty.swap(true, Ordering::AcqRel) {
            // While this is held the flusher is not between its look and its sleep.
            let _is_stopping = self.is_stopping.lock();
            self.changed.notify_all();
        }
    }

    /// Lets the flusher end.
    pub fn stop(&self) {
        *self.is_stopping.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to do, or it is `until`, and then for `linger` more, so that one flush covers
    /// more. Whether it is time to stop.
    pub fn wait(&self, until: Option<Instant>, linger: Duration) -> bool {
        let mut is_stopping = self.is_stopping.lock();
        while !*is_stopping && !self.is_dirty.load(Ordering::Acquire) {
            match until {
                None => self.changed.wait(&mut is_stopping),
                Some(until) if self.changed.wait_until(&mut is_stopping, until).timed_out() => break,
                Some(_) => {}
            }
        }
        let until = clock::deadline(linger);
        while !*is_stopping && !self.changed.wait_until(&mut is_stopping, until).timed_out() {}
        self.is_dirty.store(false, Ordering::Release);
        *is_stopping
    }
}
