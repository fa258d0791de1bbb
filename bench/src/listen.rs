//! Opening a port, with the same socket options as the threaded server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// The wait after the first failure to accept, doubled up to [`ACCEPT_PAUSE_MAX`].
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait when descriptors have run out, which heals when a connection closes.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Whether a port is opened once, or by each of several loops, among which the kernel then shares out the
/// connections by a hash of their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// By one listener.
    Once,
    /// By several (`SO_REUSEPORT`).
    ByMany,
}

/// Binds `address`, at once after a predecessor too, and listens.
///
/// # Errors
/// With the address in the text, if it cannot be had.
pub fn listen(address: SocketAddr, opened: Opened) -> io::Result<TcpListener> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(opened == Opened::ByMany)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; stop what uses it"))
    })
}

/// The same, for an event loop: nothing waits for it.
///
/// # Errors
/// As those of [`listen`].
pub fn listen_nonblocking(address: SocketAddr, opened: Opened) -> io::Result<TcpListener> {
    let listener = listen(address, opened)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Logs that accepting failed: as a warning if something has run out, and that is `new`.
pub fn note_accept_failure(error: &io::Error, new: bool) {
    if is_about_one_connection(error) {
        log::debug!("accept: {error}");
    } else if new {
        log::warn!("accept: {error}; raise the limit of open files if this goes on");
    }
}

/// Whether accepting failed for a connection which is gone, not for want of anything.
pub fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
