//! What the loops share, and how one wakes another.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::net::TcpStream;
use mio::{Poll, Token, Waker};
use parking_lot::Mutex;
use proxyherd_bench::shared::{Port, Shared};

/// The token of every loop's waker.
pub(crate) const WAKER: Token = Token(0);

/// What the loops share.
pub(crate) struct Loops {
    pub(crate) shared: Shared,
    inboxes: Vec<Inbox>,
    /// Whether the first loop has yet to look at the store since it was last told of news.
    told_of_news: AtomicBool,
    /// Of each neighbour, whether it has said hello since the first loop last looked.
    back: Vec<AtomicBool>,
    stopping: AtomicBool,
    /// Conversations open in all loops, and those handed over.
    pub(crate) open: AtomicUsize,
}

/// A connection that nobody serves yet.
pub(crate) struct Accepted {
    pub(crate) port: Port,
    pub(crate) socket: TcpStream,
    pub(crate) from: SocketAddr,
}

struct Inbox {
    waker: Waker,
    accepted: Mutex<Vec<Accepted>>,
}

impl Loops {
    /// One for each of the polls.
    pub(crate) fn new(shared: Shared, polls: &[Poll]) -> io::Result<Loops> {
        let inbox = |poll: &Poll| {
            Ok(Inbox { waker: Waker::new(poll.registry(), WAKER)?, accepted: Mutex::default() })
        };
        Ok(Loops {
            inboxes: polls.iter().map(inbox).collect::<io::Result<_>>()?,
            told_of_news: AtomicBool::new(false),
            back: shared.neighbours.iter().map(|_| AtomicBool::new(false)).collect(),
            stopping: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            shared,
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

    /// Tells the first loop of news, which must have been merged.
    pub(crate) fn tell_news(&self) {
        if !self.told_of_news.swap(true, Ordering::AcqRel) {
            self.wake(0);
        }
    }

    /// Whether there was news since this was last asked; to be asked before looking at the store.
    pub(crate) fn take_news(&self) -> bool {
        self.told_of_news.load(Ordering::Relaxed) && self.told_of_news.swap(false, Ordering::AcqRel)
    }

    /// A neighbour has said hello to us.
    pub(crate) fn tell_back(&self, neighbour: usize) {
        self.back[neighbour].store(true, Ordering::Release);
        self.wake(0);
    }

    /// Whether it has since this was last asked.
    pub(crate) fn take_back(&self, neighbour: usize) -> bool {
        self.back[neighbour].swap(false, Ordering::AcqRel)
    }

    /// A conversation has ended. When the last has and the server stops, the first loop goes on to the links.
    pub(crate) fn left(&self, port: Port) {
        self.shared.leave(port);
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 && self.is_stopping() {
            self.wake(0);
        }
    }

    fn wake(&self, index: usize) {
        // It fails only if the counter behind it overflows, which wakes just as well.
        let _ = self.inboxes[index].waker.wake();
    }
}
