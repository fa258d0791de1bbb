//! A bell for a thread that waits in `poll`, for its socket and for others to wake it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A bell. It takes a descriptor.
#[derive(Debug)]
pub struct Bell {
    event: OwnedFd,
    /// Whether anybody listens. To ring is a system call, which others are spared.
    is_awaited: AtomicBool,
}

impl Bell {
    /// There is no listener yet.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn new() -> io::Result<Bell> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { event, is_awaited: AtomicBool::new(false) })
    }

    /// From now on the next ring is heard. To be called before a look at what may have changed.
    pub fn listen(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// Rings once, if anybody listens.
    pub fn ring(&self) {
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            // Full: it rings already.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// It has been heard.
    pub fn silence(&self) {
        // Nothing there: it has not rung.
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
