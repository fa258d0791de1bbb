//! The command-line client: lines from a terminal or a pipe to a server, and its replies back.
//!
//! This file has the requests, the connecting and the errors; [`converse`] does the talking. What is asked of a running
//! server over HTTP is a [`Command`].

pub mod admin;
mod backup;
mod clients;
mod command;
mod conversation;
mod drain;
mod error;
mod filters;
mod forget;
pub mod http;
mod owed;
mod seen;
mod share;
mod status;
mod terminal;
mod watch;

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use command::Command;
pub use conversation::{Input, Outputs, Replies, converse};
pub use error::{CONNECT_DEADLINE, ClientError, Target};
pub use filters::Filters;
use terminal::Terminal;

/// How long a server may be silent that owes something. It is told that no request follows when all replies have come,
/// or none for a third of this time. The slowest reply waits for a provider of places, whose own deadline, as far as it
/// is not raised, is well within the rest.
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

/// [`run`] with standard output, whose terminal, if it is one, is commanded by nothing in a reply.
pub fn run_on_stdout(options: &Options) -> Result<Replies, ClientError> {
    let (stdout, notes) = (io::stdout().lock(), io::stderr());
    if stdout.is_terminal() {
        run(options, &mut Outputs { replies: Terminal::new(stdout), notes })
    } else {
        run(options, &mut Outputs { replies: stdout, notes })
    }
}

/// Connects, sends the request of `options` or all of standard input, and copies each reply at once. A reason goes to
/// the notes for each error line that has one.
pub fn run(options: &Options, outputs: &mut Outputs<impl Write, impl Write>) -> Result<Replies, ClientError> {
    let stream = connect(&options.server)?;
    let input = match &options.ask {
        Some(ask) => Input::Text(ask.line(now())),
        // Not `Stdin` itself, because waiting on the descriptor would not see the bytes in its buffer.
        None => {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(ClientError::Input)?;
            Input::Stream(File::from(stdin))
        }
    };
    converse(&stream, input, outputs, PEER_TIMEOUT)
}

/// Connects to `server` within [`CONNECT_DEADLINE`].
pub fn connect(server: &Target) -> Result<TcpStream, ClientError> {
    let unknown = |host: String, source| ClientError::Unknown { host, source };
    let found = match server {
        Target::Member(_, address) => {
            address.to_socket_addrs().map_err(|error| unknown(address.to_string(), error))?
        }
        Target::Host(host) => host.to_socket_addrs().map_err(|error| unknown(host.clone(), error))?,
    };
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
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

/// The time since 1970, which a report gets that names none, and from which ages are counted.
#[expect(clippy::disallowed_methods, reason = "the client has no clock to be handed")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
