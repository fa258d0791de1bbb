//! Accepting: a thread of its own per port, so that a storm of connections is taken from the kernel's queue while
//! threads for the first of them are still being started. One that cannot be served is refused here, in one line.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustls::ServerConfig;

use super::admission::{Admitted, Class, Overload};
use super::gate::{Event, Gate};
use super::refuse::{self, Refused};
use super::shutdown::Registered;
use super::stream::Stream;
use super::tls::{self, Tls};
use crate::os::clock;
use crate::os::sync::TcpListener;

/// The wait after the first failure to accept, doubled up to [`ACCEPT_PAUSE_MAX`].
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait when accepting fails for want of something, which heals when a connection closes.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// What a descriptor is kept in spare with: every Linux has it.
const SPARE: &str = "/dev/null";

/// A connection that no thread serves yet. It is registered already, because a stop waits for it too.
#[derive(Debug)]
pub struct Accepted<'a, P> {
    /// The door that it came in by.
    pub door: Door<'a, P>,
    /// Its bytes.
    pub stream: Arc<Stream>,
    /// What encrypts them, once the handshake is over, if its port is one of TLS.
    pub tls: Option<Tls>,
    /// The other side's address, or that of the client that a proxy has named.
    pub from: SocketAddr,
    /// Whether it comes through a proxy. Its address grants it nothing then, whatever that is.
    pub is_proxied: bool,
    /// Its place among the connections.
    pub admitted: Admitted<'a>,
    /// Its place among the open streams.
    pub registered: Registered<'a>,
}

/// Where connections come in: what is spoken there, and which limits they count against.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a, P> {
    /// What is spoken, which this room does not know.
    pub protocol: P,
    /// The limits.
    pub class: Class,
    /// With which certificate it is encrypted, if it is.
    pub tls: Option<&'a Arc<ServerConfig>>,
}

impl<P: Spoken> Door<'_, P> {
    /// What one is told who is refused, with this reason. Before a handshake TLS has no words.
    pub fn refusal(&self, why: &dyn Display) -> String {
        if self.tls.is_some() { tls::REFUSAL.to_owned() } else { self.protocol.refusal(why) }
    }
}

/// What is spoken at a door, as far as it concerns those who are not let in.
pub trait Spoken: Copy + Display {
    /// What one is told who is refused, with this reason.
    fn refusal(self, why: &dyn Display) -> String;

    /// What one is told who speaks plain text where TLS is spoken.
    fn answer_to_plain_text(self) -> String;
}

/// What one thread that accepts has.
pub struct Acceptor<'a, P, S> {
    gate: &'a Gate,
    listener: &'a TcpListener,
    door: Door<'a, P>,
    serve: S,
    refused: Refused,
    /// Given up when descriptors have run out, so that one more connection can be taken and told so.
    spare: Option<File>,
}

impl<'a, P: Spoken, S: Fn(Box<Accepted<'a, P>>)> Acceptor<'a, P, S> {
    /// For the connections of one listener, which `serve` gives to their threads.
    pub fn new(gate: &'a Gate, listener: &'a TcpListener, door: Door<'a, P>, serve: S) -> Acceptor<'a, P, S> {
        let spare = File::open(SPARE).ok();
        Acceptor { gate, listener, door, serve, refused: Refused::default(), spare }
    }

    /// Accepts until the server stops.
    pub fn run(mut self) {
        let open = &self.gate.open;
        let mut pause = ACCEPT_PAUSE;
        while !open.is_stopping() {
            self.close_refused();
            match self.listener.accept() {
                Ok((stream, from)) => {
                    pause = ACCEPT_PAUSE;
                    // At `[::]` clients of IPv4 come from addresses that IPv6 maps, and have no others for us.
                    self.take(stream, SocketAddr::new(from.ip().to_canonical(), from.port()));
                }
                Err(_) if open.is_stopping() => return,
                Err(error) if is_about_one_connection(&error) => log_failure(&error, false),
                // Without the spare there is room for one more, which the next `accept` takes.
                Err(error) if is_about_descriptors(&error) && self.spare.take().is_some() => {}
                Err(error) => {
                    log_failure(&error, pause == ACCEPT_PAUSE);
                    open.pause(pause);
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                    self.spare = self.spare.take().or_else(|| File::open(SPARE).ok());
                }
            }
        }
    }

    /// Hands a connection to a thread, or refuses it.
    fn take(&mut self, stream: Stream, from: SocketAddr) {
        let gate = self.gate;
        if self.spare.is_none() {
            self.spare = File::open(SPARE).ok();
        }
        if self.spare.is_none() {
            let what = format_args!("refused {from}: no descriptor is left; raise the limit of open files");
            gate.report(Event::OutOfDescriptors, what);
            let why = "no descriptor for one more connection; try again later";
            refuse::tell(&stream, &self.door.refusal(&why));
            drop(stream);
            self.spare = File::open(SPARE).ok();
            return;
        }
        let stream = Arc::new(stream);
        let is_proxied = gate.is_proxied(self.door.class, from);
        let admitted = if self.door.class == Class::Client && gate.is_draining() {
            Err(Overload::Draining)
        } else if is_proxied {
            gate.admission.admit_unnamed(&gate.limits)
        } else {
            gate.admission.admit(self.door.class, from, &gate.limits)
        };
        match admitted {
            Ok(mut admitted) => {
                if !is_proxied {
                    gate.report(Event::Accepted(self.door.class), format_args!(""));
                }
                gate.cut_displaced(&mut admitted, self.door.class, from);
                if self.door.class == Class::Peer {
                    admitted.may_give_way(&stream);
                }
                let registered = gate.open.register(&stream);
                let accepted =
                    Accepted { door: self.door, stream, tls: None, from, is_proxied, admitted, registered };
                (self.serve)(Box::new(accepted));
            }
            Err(why) => {
                let what = format_args!("refused {} {from}: {why}", self.door.protocol);
                gate.report(Event::Refused(why, from), what);
                self.refused.refuse(stream, &self.door.refusal(&why));
            }
        }
    }

    /// Closes the refused whose time is over, until there is a connection to accept.
    fn close_refused(&mut self) {
        while let Some(due) = self.refused.due() {
            let wait = due.saturating_duration_since(clock::instant());
            let mut polled = [PollFd::new(self.listener, PollFlags::IN)];
            let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            match poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => self.refused.close_due(),
                // Stopping shuts the listener down, which ends the wait too.
                Ok(_) | Err(_) => break,
            }
        }
        self.refused.close_due();
    }
}

/// Logs that accepting failed: as a warning if something has run out, and that is `new`.
pub fn log_failure(error: &io::Error, new: bool) {
    if is_about_one_connection(error) {
        log::debug!("accept: {error}");
    } else if new {
        log::warn!("accept: {error}; raise the limit of open files if this goes on");
    }
}

/// Whether the failure was that of a connection which is gone, not of accepting.
pub fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether this process, or the system, has no descriptor left.
fn is_about_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::MFILE) || errno == Some(Errno::NFILE)
}
