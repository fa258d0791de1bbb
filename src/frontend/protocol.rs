//! What is spoken at a door.

use std::fmt;

use crate::net::accept::Spoken;
use crate::proto::http::response::refusal;

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The line protocol, with clients.
    Line,
    /// The protocol between servers.
    Peer,
    /// HTTP, with phones, browsers and monitors.
    Http,
}

impl Protocol {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Line => "client",
            Protocol::Peer => "peer",
            Protocol::Http => "http",
        }
    }
}

impl Spoken for Protocol {
    fn refusal(self, why: &dyn fmt::Display) -> String {
        match self {
            Protocol::Line | Protocol::Peer => format!("? {why}\n"),
            Protocol::Http => refusal(&why.to_string()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
