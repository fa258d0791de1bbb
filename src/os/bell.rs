//! A bell for threads that wait in `poll`, each for its socket and for another thread to wake them all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// A bell that rings once, for all that wait for it then or later. It takes a descriptor.
#[derive(Debug)]
pub struct Bell {
    event: OwnedFd,
}

impl Bell {
    /// It has not rung.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Rings, and does not stop.
    pub fn ring(&self) {
        // Full: it rings already.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
