//! Mistakes that a driver could make, planted by tests to show that the checks would find them.

use crate::proto::command::{PeerCommand, peer_command};
use crate::proto::node::Node;

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A sender moves its position when it copies, and an errand that comes before the write ends the write.
    PositionBeforeWrite,
    /// A connection begins at the present although neighbours should be told what they missed.
    NoCatchUp,
    /// A sender does not know the neighbour as the one whose conversation tells us things.
    ToldSentBack,
    /// A server that has lost its memory comes back with the epoch it had.
    EpochKept,
    /// What a neighbour tells is dropped if its time equals the stored one's.
    FirstArrivalWins,
    /// A sender looks once per errand and forgets errands that come while it is busy.
    OneWalkPerErrand,
    /// A conversation takes one line from each read.
    OneLinePerRead,
    /// The end of the stream ends a neighbour's line.
    CutLineBelieved,
    /// A sender never learns that its connection has ended.
    HangUpMissed,
}

/// Whether `line` tells of a client at exactly the time that is stored.
pub(super) fn is_tie(node: &Node, line: &[u8]) -> bool {
    let Ok(PeerCommand::At(told)) = peer_command(line) else { return false };
    let stored = node.store().line_of(told.client.0.as_bytes());
    match stored.map(peer_command) {
        Some(Ok(PeerCommand::At(stored))) => stored.time == told.time,
        Some(Ok(PeerCommand::Hello(_)) | Err(_)) | None => false,
    }
}
