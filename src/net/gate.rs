//! What everything in this room shares: who is admitted, which streams are open, and where events are reported.

use std::fmt;
use std::net::{Shutdown as Half, SocketAddr};

use ipnet::IpNet;

use super::admission::{Admission, Admitted, Class, Displaced, Overload};
use super::bodies::Bodies;
use super::read_buffers::ReadBuffers;
use super::shutdown::OpenStreams;
use super::stream::hang_up;
use crate::config::Limits;

/// The state that all accepted connections of a process share.
pub struct Gate {
    /// The places that are taken.
    pub admission: Admission,
    /// The streams of all accepted connections.
    pub open: OpenStreams,
    /// Those of them that wait for a request, and have none in hand.
    pub resting: OpenStreams,
    /// What long messages take while they come in.
    pub bodies: Bodies,
    /// Room to read into for clients that send many lines at once.
    pub read_buffers: ReadBuffers,
    /// The bounds.
    pub limits: Limits,
    /// Where proxies are, which name their clients.
    proxies: Vec<IpNet>,
    report: Report,
}

/// Takes what must be counted or warned of, with the words of the warning.
pub type Report = Box<dyn Fn(Event, fmt::Arguments<'_>) + Send + Sync>;

/// What happens to connections, for whom counts and warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted.
    Accepted(Class),
    /// One from this address was refused because of a limit of ours.
    Refused(Overload, SocketAddr),
    /// One has given way to a newcomer from this address because of a limit of ours.
    GaveWay(Class, SocketAddr),
    /// One from the proxy at this address was refused because that did not say whose it is.
    NotNamed(SocketAddr),
    /// A handshake of TLS was finished.
    Handshake,
    /// One from this address was closed because it is not encrypted.
    HandshakeFailed(SocketAddr),
    /// One was refused because no descriptor could be had.
    OutOfDescriptors,
    /// One was refused because no thread could be had.
    OutOfThreads,
    /// One was refused because no memory could be had.
    OutOfMemory,
    /// The conversation panicked: a bug of ours.
    Panicked,
}

impl Gate {
    /// Nothing is connected yet.
    pub fn new(limits: Limits, admission: Admission, proxies: Vec<IpNet>, report: Report) -> Gate {
        let (open, resting) = (OpenStreams::default(), OpenStreams::default());
        Gate {
            admission,
            open,
            resting,
            bodies: Bodies::default(),
            read_buffers: ReadBuffers::default(),
            limits,
            proxies,
            report,
        }
    }

    /// Lets no more clients in, and ends the connections that rest. Others go on until they end by themselves.
    pub fn drain(&self) {
        self.resting.stop_reading();
    }

    /// Whether no more clients are let in.
    pub fn is_draining(&self) -> bool {
        self.resting.is_stopping()
    }

    /// Whether a connection from there must begin with the header of a proxy. Neighbours come without one.
    pub fn is_proxied(&self, class: Class, from: SocketAddr) -> bool {
        let address = from.ip().to_canonical();
        class == Class::Client && self.proxies.iter().any(|network| network.contains(&address))
    }

    /// Cuts the connection that has given way to a newcomer, if one has.
    pub fn cut_displaced(&self, newcomer: &mut Admitted<'_>, class: Class, from: SocketAddr) {
        let Some(Displaced { stream, address }) = newcomer.take_displaced() else { return };
        // To its thread it looks like the other side hanging up, after what has come already.
        hang_up(&stream, Half::Read);
        let who = match class {
            Class::Client => "an idle client",
            Class::Peer => "a connection without a hello",
        };
        let what =
            format_args!("{who} from {address} has given way to one more from {from}: there was no place");
        self.report(Event::GaveWay(class, from), what);
    }

    /// Reports an event.
    pub fn report(&self, event: Event, what: fmt::Arguments<'_>) {
        (self.report)(event, what);
    }
}
