//! The command-line client: lines from a terminal or a pipe to a server, and its replies back.
//!
//! This file has the requests, the connecting and the errors; [`converse`] does the talking.

mod conversation;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use conversation::{Input, Replies, converse};

use crate::proto::model::name::ServerName;

/// How long connecting may take, all addresses of a host together.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long a server may be silent after it has been sent all requests. The slowest reply waits for a
/// provider of places, whose own deadline is well within this.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses of one host that are tried, so that each gets a useful share of the deadline.
const ADDRESSES_MAX: usize = 4;

/// The work that the command line asks of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The server to talk to.
    pub server: Target,
    /// The one request to make; without it, requests are read from standard input.
    pub ask: Option<Ask>,
}

/// The server to talk to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A member of the herd.
    Member(ServerName, SocketAddr),
    /// `HOST:PORT`, to be looked up.
    Host(String),
}

/// A request made of words that the server checks; none has white space in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Report where a client is.
    IAmAt {
        /// The client.
        client: String,
        /// Signed degrees of latitude and longitude.
        location: String,
        /// POSIX seconds; now, if missing.
        time: Option<String>,
    },
    /// Ask what is near a client.
    WhatsAt {
        /// The client.
        client: String,
        /// Kilometres.
        radius: String,
        /// The most places wanted.
        limit: String,
    },
}

/// Why the client could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host has no address.
    #[error("cannot find {host:?}: {source}; give a server of the herd or HOST:PORT")]
    Unknown {
        /// As it was given.
        host: String,
        /// The error of the system.
        source: io::Error,
    },
    /// No server listens there, or none answers within [`CONNECT_DEADLINE`].
    #[error("cannot connect to {server}: {source}; is it running? {}", how_to_start(server))]
    Unreachable {
        /// Which server.
        server: Target,
        /// The error of the system.
        source: io::Error,
    },
    /// The server hung up too soon.
    #[error("the server closed the connection before everything was answered; try again, or another server")]
    Closed,
    /// The server said nothing for too long.
    #[error("the server has not answered within {} s; try another server", .0.as_secs())]
    Silent(Duration),
    /// The connection or the machine failed.
    #[error("the connection failed: {0}; try again, or another server")]
    Connection(io::Error),
    /// Standard input cannot be read.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// The replies cannot be written.
    #[error("cannot write the replies: {0}")]
    Output(io::Error),
}

/// Connects, sends the request of `options` or all of standard input, and copies each reply to `output` at once.
pub fn run(options: &Options, output: &mut impl Write) -> Result<Replies, ClientError> {
    let stream = connect(&options.server)?;
    let input = match &options.ask {
        Some(ask) => Input::Text(ask.line(now())),
        // Not `Stdin` itself, because waiting on the descriptor would not see the bytes in its buffer.
        None => {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(ClientError::Input)?;
            Input::Stream(File::from(stdin))
        }
    };
    converse(&stream, input, output, PEER_TIMEOUT)
}

/// Connects to `server` within [`CONNECT_DEADLINE`].
pub fn connect(server: &Target) -> Result<TcpStream, ClientError> {
    let addresses: Vec<SocketAddr> = match server {
        Target::Member(_, address) => vec![*address],
        Target::Host(host) => host
            .to_socket_addrs()
            .map_err(|source| ClientError::Unknown { host: host.clone(), source })?
            .take(ADDRESSES_MAX)
            .collect(),
    };
    let share = CONNECT_DEADLINE / addresses.len().max(1) as u32;
    let mut failure = io::Error::new(ErrorKind::NotFound, "it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(ClientError::Unreachable { server: server.clone(), source: failure })
}

impl Ask {
    /// The request as a line, its missing time filled in by `now`.
    fn line(&self, now: Duration) -> String {
        match self {
            Ask::IAmAt { client, location, time: Some(time) } => {
                format!("IAMAT {client} {location} {time}\n")
            }
            Ask::IAmAt { client, location, time: None } => {
                format!("IAMAT {client} {location} {}.{:09}\n", now.as_secs(), now.subsec_nanos())
            }
            Ask::WhatsAt { client, radius, limit } => format!("WHATSAT {client} {radius} {limit}\n"),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Member(name, address) => write!(f, "{name} at {address}"),
            Target::Host(host) => f.write_str(host),
        }
    }
}

fn how_to_start(server: &Target) -> String {
    match server {
        Target::Member(name, _) => format!("`proxyherd serve {name}` starts it"),
        Target::Host(_) => "`proxyherd herd --list` shows the addresses of the herd".to_owned(),
    }
}

/// The time since 1970, which a report gets that names none.
#[expect(clippy::disallowed_methods, reason = "the client has no clock to be handed; it reads one once")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
