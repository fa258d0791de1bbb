//! Stopping: who must be told, and how blocked threads are woken. No thread polls for it.
//!
//! A thread in `read` is woken by shutting down the reading half of its socket, so that stopping looks like
//! the other side hanging up; one in `write` that has not moved when the time to finish is over, by shutting
//! down both halves.

use std::collections::BTreeMap;
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::slips::{self, Slip};
use super::sync::{AtomicBool, Condvar, Mutex, TcpStream};

/// The open sockets of one kind, and whether they are being closed.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    state: Mutex<State>,
    changed: Condvar,
    /// Changed under the lock of `state`, and read without it by every conversation after every turn.
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<u64, Arc<TcpStream>>,
    next: u64,
    cut: bool,
}

/// Keeps a socket among the open ones until it is dropped.
#[derive(Debug)]
pub(super) struct Registered<'a> {
    sockets: &'a Sockets,
    key: u64,
}

impl Sockets {
    /// Adds a socket. If stopping has begun, its reading half is shut down at once; after the cut, both halves,
    /// for nobody would cut it any more.
    pub(super) fn register(&self, socket: &Arc<TcpStream>) -> Registered<'_> {
        let mut state = self.state.lock();
        let blindly = slips::has(Slip::RegisteredBlindly);
        if state.cut && !blindly {
            hang_up(socket, Half::Both);
        } else if self.is_stopping() && !blindly {
            hang_up(socket, Half::Read);
        }
        let key = state.next;
        state.next += 1;
        state.open.insert(key, Arc::clone(socket));
        Registered { sockets: self, key }
    }

    /// Wakes every thread that reads, now and from now on, and every pause.
    pub(super) fn stop_reading(&self) {
        let state = self.state.lock();
        self.stopping.store(true, Ordering::Release);
        state.open.values().for_each(|socket| hang_up(socket, Half::Read));
        self.changed.notify_all();
    }

    /// Wakes every thread, those that write included, now and from now on.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock();
        state.cut = true;
        state.open.values().for_each(|socket| hang_up(socket, Half::Both));
    }

    /// Whether stopping has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until no socket is open, or until the deadline; returns how many still are.
    pub(super) fn wait_until_closed(&self, deadline: Instant) -> usize {
        let mut state = self.state.lock();
        while !state.open.is_empty() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.open.len()
    }

    /// Waits for `wait`, or until stopping begins.
    pub(super) fn pause(&self, wait: Duration) {
        let mut state = self.state.lock();
        if !self.is_stopping() {
            self.changed.wait_for(&mut state, wait);
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut state = self.sockets.state.lock();
        state.open.remove(&self.key);
        if state.open.is_empty() && !slips::has(Slip::ClosedUnsaid) {
            self.sockets.changed.notify_all();
        }
    }
}

/// Shuts down a half of a socket. That fails only if it is closed already, which is what is wanted.
pub(super) fn hang_up(socket: &TcpStream, half: Half) {
    let _ = socket.shutdown(half);
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Write};
    use std::net::TcpListener;

    #[test]
    fn a_socket_that_comes_after_the_cut_is_cut_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _other_side = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Arc::new(listener.accept().unwrap().0);
        let sockets = Sockets::default();
        sockets.stop_reading();
        sockets.cut();
        let _registered = sockets.register(&socket);
        let written = (&*socket).write(b"x").map_err(|error| error.kind());
        assert_eq!(written, Err(ErrorKind::BrokenPipe), "its thread could block in a write for ever");
    }
}
