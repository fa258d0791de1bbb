//! The doors: what is spoken on each port, one file for each, and the thread that serves one connection.

pub mod connection;
pub mod line;
pub mod peer;

use std::fmt;
use std::io;

use self::connection::Shared;
use crate::net::accept::Accepted;

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The line protocol, with clients.
    Line,
    /// The protocol between servers.
    Peer,
}

/// Serves a connection from its first byte to its last.
pub fn serve(shared: Shared<'_>, accepted: Accepted<'_, Protocol>) {
    let (protocol, from) = (accepted.door.protocol, accepted.from);
    log::info!("{protocol} {from} connected");
    match serve_by(shared, accepted) {
        Ok(()) => log::info!("{protocol} {from} disconnected"),
        Err(error) => log::info!("{protocol} {from} disconnected: {error}"),
    }
}

fn serve_by(shared: Shared<'_>, accepted: Accepted<'_, Protocol>) -> io::Result<()> {
    match accepted.door.protocol {
        Protocol::Line => line::serve(shared, accepted),
        Protocol::Peer => peer::serve(shared, accepted),
    }
}

impl Protocol {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Line => "client",
            Protocol::Peer => "peer",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
