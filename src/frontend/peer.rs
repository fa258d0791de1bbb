//! The door of the protocol between servers: neighbours, once they have authenticated.

use std::io;
use std::sync::Arc;

use super::connection::{Connection, Shared};
use super::protocol::{Protocol, remote};
use crate::member::conversation::Conversation;
use crate::net::accept::Accepted;
use crate::net::deadlines::{Deadlines, Phase};
use crate::os::{clock, random};
use crate::proto::line::framing::Framing;

/// Serves a neighbour, which has yet to authenticate, until either side ends the connection.
///
/// # Errors
/// Why it ended, if neither side meant it to.
#[inline(never)]
pub fn serve(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) -> io::Result<()> {
    let member = shared.member;
    let remote = remote(&accepted);
    let conversation = Conversation::with_peer(Arc::clone(&member.me), remote, random::ephemeral_key()?);
    let phase = Phase::Unauthenticated(clock::deadline(shared.gate.limits.hello_time_max));
    let framing = Framing::for_unauthenticated();
    let deadlines = Deadlines::new(&accepted.stream, accepted.tls, phase, shared.gate.limits.reply_time_max)?;
    Connection::begin(shared, &accepted.stream, accepted.admitted, deadlines, conversation, framing).run()
}
