//! What the loops share, and how one wakes another.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::net::TcpStream;
use mio::{Poll, Token, Waker};
use parking_lot::Mutex;
use proxyherd::net::admission::{Admitted, Class};
use proxyherd_bench::driver::Driver;

/// The token of every loop's waker.
pub(crate) const WAKER: Token = Token(0);

/// What the loops share. It lives as long as the process, so that each of them can borrow of it.
pub(crate) struct Loops {
    pub(crate) driver: Driver,
    inboxes: Vec<Inbox>,
    /// Whether the first loop has yet to look at its links since the bell was last rung: one wake-up is enough for all.
    is_rung: AtomicBool,
    stopping: AtomicBool,
    /// Conversations open in all loops, and those handed over.
    pub(crate) open: AtomicUsize,
}

/// A connection that no loop serves yet.
pub(crate) struct Accepted {
    pub(crate) class: Class,
    pub(crate) admitted: Admitted<'static>,
    pub(crate) socket: TcpStream,
    pub(crate) from: SocketAddr,
}

struct Inbox {
    waker: Waker,
    accepted: Mutex<Vec<Accepted>>,
}

impl Loops {
    /// One for each of the polls.
    pub(crate) fn new(driver: Driver, polls: &[Poll]) -> io::Result<Loops> {
        let inbox = |poll: &Poll| {
            Ok(Inbox { waker: Waker::new(poll.registry(), WAKER)?, accepted: Mutex::default() })
        };
        Ok(Loops {
            inboxes: polls.iter().map(inbox).collect::<io::Result<_>>()?,
            is_rung: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            driver,
        })
    }

    /// How many loops there are.
    pub(crate) fn len(&self) -> usize {
        self.inboxes.len()
    }

    /// Asks everything to stop, from any thread.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        (0..self.len()).for_each(|index| self.wake(index));
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Hands a connection to another loop.
    pub(crate) fn hand_over(&self, index: usize, accepted: Accepted) {
        let mut waiting = self.inboxes[index].accepted.lock();
        waiting.push(accepted);
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            self.wake(index);
        }
    }

    /// What was handed to this loop.
    pub(crate) fn handed_over(&self, index: usize) -> Vec<Accepted> {
        std::mem::take(&mut *self.inboxes[index].accepted.lock())
    }

    /// Rings the bell of the first loop: its links must look at what has come for them.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.wake(0);
        }
    }

    /// Whether the bell was rung since this was last asked; to be asked before looking.
    pub(crate) fn take_ring(&self) -> bool {
        self.is_rung.load(Ordering::Relaxed) && self.is_rung.swap(false, Ordering::AcqRel)
    }

    /// A conversation has ended. When the last has and the server stops, the first loop goes on to the links.
    pub(crate) fn left(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 && self.is_stopping() {
            self.wake(0);
        }
    }

    fn wake(&self, index: usize) {
        // It fails only if the counter behind it overflows, which wakes just as well.
        let _ = self.inboxes[index].waker.wake();
    }
}
