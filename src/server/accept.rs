//! Accepting: a thread of its own per port, so that a storm of connections is taken from the kernel's queue while
//! threads for the first of them are still being started. One that cannot be served is refused here, in one line.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::admission::{Admitted, network};
use super::clock;
use super::farewell::{self, Farewells};
use super::listen::Port;
use super::queue::Giver;
use super::shared::Shared;
use super::shutdown::Registered;
use super::sync::{TcpListener, TcpStream};
use super::warnings::Cause;

/// Accepted connections that wait for a thread: as many as a process can have, for accepting is faster than starting
/// threads, and what is not accepted in a storm overflows the kernel's queue. Each takes about 100 bytes.
pub(super) const ACCEPTED_MAX: usize = 16 * 1024;

/// The wait after the first failure to accept, doubled up to [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait when accepting fails for want of something, which heals when a connection closes.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// What a descriptor is kept in spare with: every Linux has it.
const SPARE: &str = "/dev/null";

/// A connection that nobody serves yet. It is registered all the same: who stops the server waits for it.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    pub(super) port: Port,
    pub(super) socket: Arc<TcpStream>,
    pub(super) from: SocketAddr,
    pub(super) admitted: Admitted<'a>,
    pub(super) registered: Registered<'a>,
}

/// What one thread that accepts has.
pub(super) struct Acceptor<'a> {
    shared: &'a Shared,
    listener: &'a TcpListener,
    port: Port,
    accepted: Giver<IpAddr, Accepted<'a>>,
    farewells: Farewells,
    /// Given up when descriptors have run out, so that one more connection can be taken and told so.
    spare: Option<File>,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        listener: &'a TcpListener,
        port: Port,
        accepted: Giver<IpAddr, Accepted<'a>>,
    ) -> Acceptor<'a> {
        let spare = File::open(SPARE).ok();
        Acceptor { shared, listener, port, accepted, farewells: Farewells::default(), spare }
    }

    /// Accepts until the server stops.
    pub(super) fn run(mut self) {
        let conversations = &self.shared.conversations;
        let mut pause = ACCEPT_PAUSE;
        while !conversations.is_stopping() {
            self.close_refused();
            match self.listener.accept() {
                Ok((socket, from)) => {
                    pause = ACCEPT_PAUSE;
                    self.take(socket, from);
                }
                Err(_) if conversations.is_stopping() => return,
                Err(error) if is_about_one_connection(&error) => log::debug!("accept: {error}"),
                // Without the spare there is room for one more, which the next `accept` takes.
                Err(error) if is_about_descriptors(&error) && self.spare.take().is_some() => {}
                Err(error) => {
                    if pause == ACCEPT_PAUSE {
                        log::warn!("accept: {error}; raise the limit of open files if this goes on");
                    }
                    conversations.pause(pause);
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                    self.spare = self.spare.take().or_else(|| File::open(SPARE).ok());
                }
            }
        }
    }

    /// Hands a connection to a thread, or refuses it.
    fn take(&mut self, socket: TcpStream, from: SocketAddr) {
        let shared = self.shared;
        if self.spare.is_none() {
            self.spare = File::open(SPARE).ok();
        }
        if self.spare.is_none() {
            shared.stats.connections_refused.add(1);
            let what = format_args!("refused {from}: no descriptor is left; raise the limit of open files");
            shared.hit(Cause::Descriptors, what);
            farewell::tell(&socket, "no descriptor for one more connection; try again later");
            drop(socket);
            self.spare = File::open(SPARE).ok();
            return;
        }
        let socket = Arc::new(socket);
        match shared.admission.admit(self.port, from, &shared.limits) {
            Ok(admitted) => {
                match self.port {
                    Port::Client => shared.stats.clients_accepted.add(1),
                    Port::Peer => shared.stats.peers_accepted.add(1),
                }
                let registered = shared.conversations.register(&socket);
                let accepted = Accepted { port: self.port, socket, from, admitted, registered };
                // It fails when the thread that takes them has ended, and so the server.
                let _ = self.accepted.give(network(from.ip()), accepted);
            }
            Err(refused) => {
                shared.stats.connections_refused.add(1);
                shared.hit(refused.cause(), format_args!("refused {} {from}: {refused}", self.port));
                self.farewells.refuse(socket, refused);
            }
        }
    }

    /// Closes the refused whose time is over, until there is somebody to accept.
    fn close_refused(&mut self) {
        while let Some(due) = self.farewells.due() {
            let wait = due.saturating_duration_since(clock::instant());
            let mut polled = [PollFd::new(self.listener, PollFlags::IN)];
            let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            match poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => self.farewells.close_due(),
                // Stopping shuts the listener down, which ends the wait too.
                Ok(_) | Err(_) => break,
            }
        }
        self.farewells.close_due();
    }
}

/// Whether the failure was that of a connection which is gone, not of accepting.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether this process, or the system, has no descriptor left.
fn is_about_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::MFILE) || errno == Some(Errno::NFILE)
}
