//! Listening and accepting. Accepting is a thread of its own per port, so that a storm of connections is
//! taken from the kernel's queue while threads for the first of them are still being started.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use socket2::{Domain, Protocol, Socket, Type};

use super::shutdown::{Registered, Sockets};

/// Connections that the kernel holds until they are accepted. The standard library's 128 overflows in a
/// storm, and a client whose SYN was dropped waits a second to try again.
const BACKLOG: i32 = 4096;

/// Accepted connections that wait for a thread. Beyond them the kernel's queue holds the rest.
pub(super) const ACCEPTED_MAX: usize = 1024;

/// The wait after the first failure to accept, doubled up to [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait when descriptors have run out, which heals when a connection closes.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Which of its two ports a connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// Clients are served here.
    Client,
    /// Neighbours are listened to here.
    Peer,
}

/// A connection that nobody serves yet. It is registered all the same: who stops the server waits for it.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    pub(super) port: Port,
    pub(super) socket: Arc<TcpStream>,
    pub(super) from: SocketAddr,
    pub(super) registered: Registered<'a>,
}

/// Binds `address`, at once after a predecessor too, and listens.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the server stops.
pub(super) fn accept_all<'a>(
    listener: &TcpListener,
    port: Port,
    conversations: &'a Sockets,
    accepted: &Sender<Accepted<'a>>,
) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        match listener.accept() {
            Ok((socket, from)) => {
                pause = ACCEPT_PAUSE;
                let socket = Arc::new(socket);
                let registered = conversations.register(&socket);
                if accepted.send(Accepted { port, socket, from, registered }).is_err() {
                    return;
                }
            }
            Err(_) if conversations.is_stopping() => return,
            Err(error) if is_about_one_connection(&error) => log::debug!("accept: {error}"),
            Err(error) => {
                if pause == ACCEPT_PAUSE {
                    log::warn!("accept: {error}; raise the limit of open files if this goes on");
                }
                conversations.pause(pause);
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
        if conversations.is_stopping() {
            return;
        }
    }
}

/// Whether the failure was that of a connection which is gone, not of accepting.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock;
    use crossbeam_channel::bounded;
    use socket2::SockRef;
    use std::net::Shutdown;

    #[test]
    fn a_connection_that_waits_for_a_thread_is_waited_for_when_the_server_stops() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let sockets = Sockets::default();
        let (accepted, to_serve) = bounded(ACCEPTED_MAX);
        std::thread::scope(|scope| {
            scope.spawn(|| accept_all(&listener, Port::Client, &sockets, &accepted));
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let waiting = to_serve.recv().unwrap();
            sockets.stop_reading();
            SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
            assert_eq!(sockets.wait_until_closed(clock::deadline(Duration::ZERO)), 1);
            drop(waiting);
            assert_eq!(sockets.wait_until_closed(clock::deadline(Duration::ZERO)), 0);
        });
    }
}
