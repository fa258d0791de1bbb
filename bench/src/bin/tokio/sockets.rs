//! The sockets of the tuned conversations, to be woken when the server stops.
//!
//! A task that waits for its socket and for the stop at once pays for both at each reading. Shutting down the
//! reading half instead, as the threaded server does, costs nothing until then.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;

/// The open sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    state: Mutex<State>,
    /// Changed under the lock of `state`, and read without it by every conversation after every read.
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<u64, Arc<TcpStream>>,
    next: u64,
}

/// Keeps a socket among the open ones until it is dropped.
pub(crate) struct Registered<'a> {
    sockets: &'a Sockets,
    key: u64,
}

impl Sockets {
    /// Adds a socket. If stopping has begun, its reading half is shut down at once.
    pub(crate) fn register(&self, socket: &Arc<TcpStream>) -> Registered<'_> {
        let mut state = self.state.lock();
        if self.is_stopping() {
            shut_down(socket, Shutdown::Read);
        }
        let key = state.next;
        state.next += 1;
        state.open.insert(key, Arc::clone(socket));
        Registered { sockets: self, key }
    }

    /// Wakes every task that reads, now and from now on.
    pub(crate) fn stop_reading(&self) {
        let state = self.state.lock();
        self.stopping.store(true, Ordering::Relaxed);
        state.open.values().for_each(|socket| shut_down(socket, Shutdown::Read));
    }

    /// Whether stopping has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Wakes every task, those that write included.
    pub(crate) fn cut(&self) {
        self.state.lock().open.values().for_each(|socket| shut_down(socket, Shutdown::Both));
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.sockets.state.lock().open.remove(&self.key);
    }
}

/// Shuts down a half of a socket. That fails only if it is closed already, which is what is wanted.
pub(crate) fn shut_down(socket: &TcpStream, half: Shutdown) {
    let _ = SockRef::from(socket).shutdown(half);
}
