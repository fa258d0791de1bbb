//! Why a load run fails. Every case is one sentence that says what to do.

use std::io;
use std::net::SocketAddr;

/// What makes a run worthless. Nothing that was measured before it is reported as a result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Options that contradict each other.
    #[error("{0}")]
    Usage(String),
    /// The target is no address and no name of one.
    #[error("cannot find {target}: {error}; give HOST:PORT")]
    Resolve {
        /// As it was given.
        target: String,
        /// What the system said.
        error: io::Error,
    },
    /// The target is another machine.
    #[error(
        "{0} is not on this machine; load aimed at others needs their consent: if you have it, add \
         --allow-any-target"
    )]
    Foreign(SocketAddr),
    /// More connections than descriptors.
    #[error(
        "{needed} open files are needed and {allowed} are allowed; raise the hard limit (`ulimit -Hn {needed}` \
         as root, or nofile in /etc/security/limits.conf)"
    )]
    Descriptors {
        /// As many as the connections and what else is open.
        needed: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// More connections than ports to connect from.
    #[error(
        "{connections} connections do not fit into the {ports} ports of {sources} source addresses; use more \
         --sources or widen net.ipv4.ip_local_port_range"
    )]
    Ports {
        /// The connections wanted.
        connections: u64,
        /// Ports of all source addresses together.
        ports: u64,
        /// Source addresses.
        sources: u64,
    },
    /// No server listens, or the system refuses to connect.
    #[error("cannot connect to {address}: {error}; is the server running, and has it room for more?")]
    Connect {
        /// The target.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Every port that could be connected from is taken.
    #[error(
        "no port is free to connect to {0} from: connections closed in the last minute still hold theirs; wait, or \
         use more --sources"
    )]
    PortsTaken(SocketAddr),
    /// It listens, but nothing comes back.
    #[error("{address} has not answered for {seconds} s, with {waiting} requests waiting")]
    Silent {
        /// The target.
        address: SocketAddr,
        /// How long nothing came.
        seconds: u64,
        /// Requests and connections not answered.
        waiting: u64,
    },
    /// The server closed a connection.
    #[error("{address} hung up on connection {connection} with {waiting} requests waiting: {error}")]
    HungUp {
        /// The target.
        address: SocketAddr,
        /// The number of the connection, from 0.
        connection: usize,
        /// Requests on it that were not answered.
        waiting: usize,
        /// What the system said.
        error: io::Error,
    },
    /// A fast wrong answer is a failure.
    #[error("{address} answered wrongly: {why}; asked {request:?}, got {reply:?}")]
    Wrong {
        /// The target.
        address: SocketAddr,
        /// What is wrong.
        why: String,
        /// The request, cut.
        request: String,
        /// The reply, cut.
        reply: String,
    },
    /// One of the observed processes is gone.
    #[error("the server process {0} has ended during the run")]
    Died(u32),
    /// The generator's own trouble.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl LoadError {
    /// Wraps what the system said about `what`.
    pub(crate) fn system(what: &'static str) -> impl Fn(io::Error) -> LoadError {
        move |error| LoadError::System { what, error }
    }
}
