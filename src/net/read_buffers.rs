//! Room to read into for clients that send much at once: borrowed, so that thousands of idle clients hold little.

use crate::os::semaphore::{Permit, Semaphore};
use crate::os::sync::Mutex;

/// The clients that may keep such a buffer while they wait for their next lines, and the buffers that are kept for the
/// next client that needs one: 2 MiB each. A client that keeps none reads twice for each batch.
const HELD_MAX: usize = 256;

/// The buffers of all connections, which are of the same length.
#[derive(Debug)]
pub struct ReadBuffers {
    spare: Mutex<Vec<Vec<u8>>>,
    held: Semaphore,
}

impl Default for ReadBuffers {
    fn default() -> ReadBuffers {
        ReadBuffers { spare: Mutex::default(), held: Semaphore::new(HELD_MAX) }
    }
}

impl ReadBuffers {
    /// A buffer that another client has given back, if there is one.
    pub fn borrow(&self) -> Option<Vec<u8>> {
        self.spare.lock().pop()
    }

    /// Keeps a buffer for the next client that needs one.
    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.lock();
        if spare.len() < HELD_MAX {
            spare.push(buffer);
        }
    }

    /// Lets a client keep its buffer while it waits, until the permit is dropped.
    pub fn hold(&self) -> Option<Permit<'_>> {
        self.held.try_acquire()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_no_more_are_kept_than_may_be() {
        let buffers = ReadBuffers::default();
        assert!(buffers.borrow().is_none());
        (0..2 * HELD_MAX).for_each(|_| buffers.give_back(vec![0; 10]));
        assert_eq!(std::iter::from_fn(|| buffers.borrow()).count(), HELD_MAX);
        let held: Vec<_> = std::iter::from_fn(|| buffers.hold()).collect();
        assert_eq!(held.len(), HELD_MAX);
        drop(held);
        assert!(buffers.hold().is_some());
    }
}
