//! The receiving side of a simulated server: what a connection's thread does with what it reads.
//!
//! It drives the conversation of `member`, as the threads of a server do, and so covers the fast path too: lines in
//! canonical form take it wherever lines are not logged. Only reading, writing and waiting for a commit are played.

use std::sync::Arc;

use super::member::SimulatedMember;
use crate::member::conversation::{self, Pause, Remote};
use crate::member::turn::{Lsn, Turn};
use crate::proto::line::framing::{Framing, LINE_BYTES_MAX, PEER_LINE_BYTES_MAX};
use crate::proto::model::time::Moment;
use crate::proto::node::Identity;
use crate::proto::peering::noise::EphemeralKey;

/// Bytes read at once: as few as framing allows, for a herd of 200 has tens of thousands of conversations.
const READ_BYTES: usize = 1;

/// What a provider without places would answer.
const NO_PLACES: &str = r#"{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}"#;

/// A conversation with a client or a neighbour.
#[derive(Debug)]
pub(super) struct Conversation {
    conversation: conversation::Conversation,
    framing: Framing,
    turn: Turn,
    /// What comes while it waits for a commit, if it does: it reads that when it goes on.
    pub unread: Option<Vec<u8>>,
}

/// The outcome of what was read.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Replies, to be sent when `needs_lsn` is durable.
    pub replies: Vec<u8>,
    /// How far the records must be durable before the replies may leave.
    pub needs_lsn: Lsn,
    /// Sightings that were applied: every sender must be woken.
    pub applied: usize,
    /// The neighbour that has come: its older connections end, and the sender to it must be woken.
    pub authenticated: Option<usize>,
    /// Lines that were refused.
    pub refused: usize,
    /// Whether the connection must be closed.
    pub close: bool,
}

impl Conversation {
    pub(super) fn with_clients(me: &Arc<Identity>, member: &SimulatedMember<'_>) -> Conversation {
        let conversation = conversation::Conversation::with_client(me.clone(), remote("client"), &[]);
        Conversation::new(conversation, Framing::new(LINE_BYTES_MAX, READ_BYTES), member)
    }

    pub(super) fn with_peer(
        me: &Arc<Identity>,
        key: EphemeralKey,
        member: &SimulatedMember<'_>,
    ) -> Conversation {
        let conversation = conversation::Conversation::with_peer(me.clone(), remote("peer"), key);
        let framing = Framing::new(PEER_LINE_BYTES_MAX, READ_BYTES).whole_lines_only();
        Conversation::new(conversation, framing, member)
    }

    fn new(
        conversation: conversation::Conversation,
        framing: Framing,
        member: &SimulatedMember<'_>,
    ) -> Conversation {
        Conversation { conversation, framing, turn: Turn::new(member), unread: None }
    }

    /// Takes what was read at `received`, and after it perhaps the end of the stream.
    pub(super) fn hear(
        &mut self,
        member: &SimulatedMember<'_>,
        mut bytes: &[u8],
        has_ended: bool,
        received: Moment,
    ) -> Heard {
        let mut heard = Heard::default();
        while !bytes.is_empty() {
            bytes = read(&mut self.framing, bytes);
            self.lines(member, received, &mut heard);
        }
        if has_ended {
            self.framing.filled(0);
            self.lines(member, received, &mut heard);
        }
        heard.needs_lsn = self.turn.needs_lsn();
        heard
    }

    /// Takes all complete lines. Their replies wait together, so there is no number of bytes that is too many.
    fn lines(&mut self, member: &SimulatedMember<'_>, received: Moment, heard: &mut Heard) {
        let Conversation { conversation, framing, turn, .. } = self;
        loop {
            match conversation.lines(member, turn, framing, received, usize::MAX) {
                Pause::Empty => break,
                Pause::Full => {}
                // Simulated herds have no secret.
                Pause::Secured(_) => {}
                Pause::Authenticated(neighbour) => heard.authenticated = Some(neighbour),
                // The answer waits with all other replies until what it covers is durable.
                Pause::Heartbeat(heartbeat) => conversation.acknowledge(member, turn, &heartbeat, true),
                Pause::Ask(query) => conversation.answer(turn, &query, NO_PLACES),
                Pause::Close(_) => {
                    heard.close = true;
                    break;
                }
            }
        }
        turn.apply(member);
        heard.replies.extend_from_slice(turn.replies());
        turn.sent();
        let counts = turn.take_counts();
        heard.applied += counts.applied as usize;
        heard.refused += counts.refused as usize;
    }
}

/// Reads as many bytes as there is room for. Returns the rest.
pub(super) fn read<'a>(framing: &mut Framing, bytes: &'a [u8]) -> &'a [u8] {
    let space = framing.space();
    let (read, rest) = bytes.split_at(space.len().min(bytes.len()));
    space[..read.len()].copy_from_slice(read);
    framing.filled(read.len());
    rest
}

/// The other side: nothing here has an address.
fn remote(door: &'static str) -> Remote {
    Remote { door, from: ([0, 0, 0, 0], 0).into(), is_proxied: false }
}
