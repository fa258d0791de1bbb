//! What is spoken at a door.

use std::fmt;

use crate::member::conversation::Remote;
use crate::net::accept::{Accepted, Spoken};
use crate::proto::http::response::refusal;
use crate::proto::mqtt::encode::UNAVAILABLE;

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The line protocol, with clients.
    Line,
    /// The line protocol, encrypted.
    LineTls,
    /// The protocol between servers.
    Peer,
    /// HTTP, with phones, browsers and monitors.
    Http,
    /// HTTP, encrypted.
    Https,
    /// MQTT, with phones and home automation.
    Mqtt,
    /// MQTT, encrypted.
    Mqtts,
}

impl Protocol {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Line => "client",
            Protocol::LineTls => "client_tls",
            Protocol::Peer => "peer",
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Mqtt => "mqtt",
            Protocol::Mqtts => "mqtts",
        }
    }

    /// What is agreed on in the handshake of TLS, where clients ask.
    pub fn application_protocols(self) -> &'static [&'static str] {
        match self {
            Protocol::Line | Protocol::LineTls | Protocol::Peer => &[],
            Protocol::Http | Protocol::Https => &["http/1.1"],
            Protocol::Mqtt | Protocol::Mqtts => &["mqtt"],
        }
    }
}

impl Spoken for Protocol {
    fn refusal(self, why: &dyn fmt::Display) -> String {
        match self {
            Protocol::Line | Protocol::LineTls | Protocol::Peer => format!("? {why}\n"),
            Protocol::Http | Protocol::Https => refusal(503, &why.to_string()),
            Protocol::Mqtt | Protocol::Mqtts => UNAVAILABLE.to_owned(),
        }
    }

    fn answer_to_plain_text(self) -> String {
        match self {
            Protocol::Line | Protocol::LineTls | Protocol::Peer => {
                "? this port speaks TLS: encrypt, or use the port for plain text\n".to_owned()
            }
            Protocol::Http | Protocol::Https => {
                refusal(400, "this port speaks TLS: use https in the address")
            }
            Protocol::Mqtt | Protocol::Mqtts => UNAVAILABLE.to_owned(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The other side of a connection.
pub fn remote(accepted: &Accepted<'_, Protocol>) -> Remote {
    let Accepted { door, from, is_proxied, .. } = *accepted;
    Remote { door: door.protocol.name(), from, is_proxied }
}
