//! Stopping: who must be told, and how blocked threads are woken. No thread polls for it.
//!
//! A thread in `read` is woken by shutting down the reading half of its socket, so that stopping looks like
//! the other side hanging up; one in `write` that has not moved when the time to finish is over, by shutting
//! down both halves.

use std::net::Shutdown as Half;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::stream::{Stream, hang_up};
use crate::os::spread_condvar::SpreadCondvar;
use crate::os::sync::{AtomicBool, Condvar, Mutex};

/// How long conversations may take to finish what is in hand when the server stops.
pub const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Reads after a stop has begun. They take what the kernel has received by then, and answer it; a client that
/// goes on sending would never see the end otherwise.
pub const LAST_READS_MAX: u32 = 16;

/// The open sockets of one kind, and whether they are being closed.
#[derive(Debug, Default)]
pub struct OpenStreams {
    state: Mutex<State>,
    /// None is open any more.
    closed: Condvar,
    /// Stopping has begun.
    stops: SpreadCondvar,
    /// Changed under the lock of `state`, and read without it by every conversation after every turn.
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// A connection is registered again and again, so that this must cost little: places that are free are used again.
    places: Vec<Option<Arc<Stream>>>,
    free: Vec<usize>,
    cut: bool,
}

impl State {
    fn open(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.places.iter().flatten()
    }

    fn open_count(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Keeps a socket among the open ones until it is dropped.
#[derive(Debug)]
pub struct Registered<'a> {
    streams: &'a OpenStreams,
    place: usize,
}

impl OpenStreams {
    /// Adds a socket. If stopping has begun, its reading half is shut down at once; after the cut, both halves,
    /// for nobody would cut it any more.
    pub fn register(&self, socket: &Arc<Stream>) -> Registered<'_> {
        let mut state = self.state.lock();
        if state.cut {
            hang_up(socket, Half::Both);
        } else if self.is_stopping() {
            hang_up(socket, Half::Read);
        }
        let place = state.free.pop().unwrap_or_else(|| {
            state.places.push(None);
            state.places.len() - 1
        });
        state.places[place] = Some(Arc::clone(socket));
        Registered { streams: self, place }
    }

    /// Wakes every thread that reads, now and from now on, and every pause.
    pub fn stop_reading(&self) {
        let state = self.state.lock();
        self.stopping.store(true, Ordering::Release);
        state.open().for_each(|socket| hang_up(socket, Half::Read));
        self.stops.notify_all();
    }

    /// Wakes every thread, those that write included, now and from now on.
    pub fn cut(&self) {
        let mut state = self.state.lock();
        state.cut = true;
        state.open().for_each(|socket| hang_up(socket, Half::Both));
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until no socket is open, or until the deadline; returns how many still are.
    pub fn wait_until_closed(&self, deadline: Instant) -> usize {
        let mut state = self.state.lock();
        while state.open_count() > 0 {
            if self.closed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.open_count()
    }

    /// Waits for `wait`, or until stopping begins.
    pub fn pause(&self, wait: Duration) {
        let mut state = self.state.lock();
        if !self.is_stopping() {
            self.stops.wait_for(&mut state, wait);
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut state = self.streams.state.lock();
        state.places[self.place] = None;
        state.free.push(self.place);
        if state.open_count() == 0 {
            self.streams.closed.notify_all();
        }
    }
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_that_comes_after_the_cut_is_cut_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _other_side = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Arc::new(listener.accept().unwrap().0);
        let sockets = OpenStreams::default();
        sockets.stop_reading();
        sockets.cut();
        let _registered = sockets.register(&socket);
        let written = (&*socket).write(b"x").map_err(|error| error.kind());
        assert_eq!(written, Err(ErrorKind::BrokenPipe), "its thread could block in a write for ever");
    }
}
