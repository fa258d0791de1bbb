//! A value that threads of the model change, and wait for changes of.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shuttle::thread::{self, Thread};

/// The value. Others may come before each step, and none comes between, so its locks are always free.
#[derive(Debug, Default)]
pub struct Watched<S> {
    value: Mutex<S>,
    waiting: Mutex<Vec<Thread>>,
}

impl<S> Watched<S> {
    pub const fn new(value: S) -> Watched<S> {
        Watched { value: Mutex::new(value), waiting: Mutex::new(Vec::new()) }
    }

    /// Looks at the value, or changes it where no thread waits for that, without being a step.
    pub fn peek<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A step: changes the value, and lets all who wait look at it.
    pub fn change<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        step();
        let result = self.peek(change);
        self.wake();
        result
    }

    /// A step, when `look` finds what it waits for. It may change the value.
    pub fn wait<T>(&self, mut look: impl FnMut(&mut S) -> Option<T>) -> T {
        step();
        let me = thread::current();
        loop {
            let found = self.peek(&mut look);
            let mut waiting = self.waiting.lock().unwrap();
            // Being woken for another reason, it may still be among them.
            waiting.retain(|thread| thread.id() != me.id());
            if let Some(found) = found {
                drop(waiting);
                self.wake();
                return found;
            }
            waiting.push(me.clone());
            drop(waiting);
            thread::park();
        }
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        waiting.iter().for_each(Thread::unpark);
    }
}

/// Lets others go on. A thread that is being unwound has no part in the model any more.
fn step() {
    if !std::thread::panicking() {
        // In the model this is a step and nothing else.
        thread::sleep(Duration::ZERO);
    }
}
