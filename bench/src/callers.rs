//! The conversation of each neighbour that is here: a newer one that has proved itself ends the older.
//!
//! The older one may be half-open: its neighbour is gone, and no packet says so. It is ended by shutting down its
//! socket, whichever thread or task it belongs to, so that this looks to it like the other side hanging up.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use socket2::SockRef;

/// By neighbour: its present conversation, if it is not over.
#[derive(Debug)]
pub struct Callers {
    present: Vec<Mutex<Weak<OwnedFd>>>,
}

/// Kept by the conversation of a neighbour until it is over.
pub(crate) type Present = Arc<OwnedFd>;

impl Callers {
    /// Nobody is here of so many neighbours.
    pub(crate) fn new(neighbours: usize) -> Callers {
        Callers { present: (0..neighbours).map(|_| Mutex::default()).collect() }
    }

    /// A neighbour has come in the connection of this socket. Cuts an older one, and says whether there was one.
    pub(crate) fn come(&self, neighbour: usize, socket: impl AsFd) -> io::Result<(Present, bool)> {
        let socket = Arc::new(socket.as_fd().try_clone_to_owned()?);
        let mut present = self.present[neighbour].lock();
        let older = std::mem::replace(&mut *present, Arc::downgrade(&socket)).upgrade();
        drop(present);
        if let Some(older) = &older {
            // It fails only if the other side has closed it already.
            let _ = SockRef::from(&**older).shutdown(Shutdown::Both);
        }
        Ok((socket, older.is_some()))
    }
}
