//! The door of the line protocol: clients, and neighbours of the legacy dialect, which come to the same port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::connection::{Connection, Shared};
use super::protocol::Protocol;
use crate::member::conversation::{Conversation, Remote};
use crate::net::accept::Accepted;
use crate::net::deadlines::Phase;
use crate::proto::line::framing::{CLIENT_READ_BYTES, Framing};

/// Serves a client until either side ends the connection.
///
/// # Errors
/// Why it ended, if neither side meant it to.
pub fn serve(shared: Shared<'_>, accepted: Accepted<'_, Protocol>) -> io::Result<()> {
    let (member, limits) = (shared.member, &shared.gate.limits);
    let remote = Remote { door: accepted.door.protocol.name(), from: accepted.from };
    // A proxy names any address that it is told: none of them makes a neighbour.
    let legacy = if accepted.is_proxied { &[] } else { legacy_at(shared.legacy, accepted.from) };
    let conversation = Conversation::with_client(Arc::clone(&member.me), remote, legacy);
    let framing = Framing::new(limits.line_bytes_max, CLIENT_READ_BYTES);
    let phase = Phase::Messages {
        // A neighbour may have nothing to tell for days.
        idle_time_max: limits.idle_time_max.filter(|_| legacy.is_empty()),
        idle_time_when_full: limits.idle_time_when_full,
        message_time_max: limits.line_time_max,
    };
    Connection::begin(shared, &accepted.stream, accepted.admitted, phase, conversation, framing)?.run()
}

/// The legacy neighbours at an address, by their indices.
fn legacy_at(legacy: &[(IpAddr, Vec<usize>)], from: SocketAddr) -> &[usize] {
    let address = from.ip().to_canonical();
    let there = legacy.iter().find(|(neighbour, _)| *neighbour == address);
    there.map_or(&[], |(_, neighbours)| neighbours)
}
