//! The sockets of the tuned conversations, to be woken when the server stops.
//!
//! A task that waits for its socket and for the stop at once pays for both at each reading. Shutting down the
//! reading half instead, as the threaded server does, costs nothing until then.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::Arc;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;

/// The open sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<u64, Arc<TcpStream>>,
    next: u64,
    stopping: bool,
}

/// Keeps a socket among the open ones until it is dropped.
pub(crate) struct Registered<'a> {
    sockets: &'a Sockets,
    key: u64,
}

impl Sockets {
    /// Adds a socket. If stopping has begun, its reading half is shut down at once.
    pub(crate) fn register(&self, socket: &Arc<TcpStream>) -> Registered<'_> {
        let mut state = self.0.lock();
        if state.stopping {
            shut_down(socket, Shutdown::Read);
        }
        let key = state.next;
        state.next += 1;
        state.open.insert(key, Arc::clone(socket));
        Registered { sockets: self, key }
    }

    /// Wakes every task that reads, now and from now on.
    pub(crate) fn stop_reading(&self) {
        let mut state = self.0.lock();
        state.stopping = true;
        state.open.values().for_each(|socket| shut_down(socket, Shutdown::Read));
    }

    /// Wakes every task, those that write included.
    pub(crate) fn cut(&self) {
        self.0.lock().open.values().for_each(|socket| shut_down(socket, Shutdown::Both));
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.sockets.0.lock().open.remove(&self.key);
    }
}

/// Shuts down a half of a socket. That fails only if it is closed already, which is what is wanted.
pub(crate) fn shut_down(socket: &TcpStream, half: Shutdown) {
    let _ = SockRef::from(socket).shutdown(half);
}
