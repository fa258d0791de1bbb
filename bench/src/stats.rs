//! What a variant counts: the same as the threaded server, at the same places.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What there is to count.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Connections accepted on the client port.
    ClientsAccepted,
    /// Connections accepted on the peer port.
    PeersAccepted,
    /// Connections refused because there were too many.
    ConnectionsRefused,
    /// Lines from clients.
    ClientLines,
    /// Lines on the peer port.
    PeerLines,
    /// Lines that got an error line.
    LinesRefused,
    /// Sightings that were stored and passed on.
    News,
    /// Sightings that were known or overtaken.
    Stale,
    /// Questions about a client that is known.
    Questions,
    /// Questions that the provider of places could not answer.
    PlacesFailures,
    /// Connections made to neighbours.
    LinksUp,
    /// Links whose neighbour has said nothing for too long.
    LinksSilent,
    /// Links whose neighbour did not prove to be it.
    LinksUnproved,
    /// Connections of neighbours on which nothing has come for too long.
    CallersSilent,
    /// Connections of a neighbour that a newer one has replaced.
    CallersReplaced,
    /// Callers that speak another version.
    CallersOfOtherVersion,
    /// Callers that meant another server.
    CallersAstray,
    /// Callers that are no neighbours.
    CallersUnknown,
    /// Callers that did not prove to be the neighbour that they said they were.
    CallersUnproved,
    /// Buckets that were found to differ for no reason and were told again.
    BucketsRepaired,
    /// Bytes written to neighbours.
    LinkBytes,
}

const ALL: [Count; 21] = [
    Count::ClientsAccepted,
    Count::PeersAccepted,
    Count::ConnectionsRefused,
    Count::ClientLines,
    Count::PeerLines,
    Count::LinesRefused,
    Count::News,
    Count::Stale,
    Count::Questions,
    Count::PlacesFailures,
    Count::LinksUp,
    Count::LinksSilent,
    Count::LinksUnproved,
    Count::CallersSilent,
    Count::CallersReplaced,
    Count::CallersOfOtherVersion,
    Count::CallersAstray,
    Count::CallersUnknown,
    Count::CallersUnproved,
    Count::BucketsRepaired,
    Count::LinkBytes,
];

/// The sums since the server started.
#[derive(Debug, Default)]
pub struct Stats([AtomicU64; ALL.len()]);

impl Stats {
    /// Adds `number` to one of them. Nothing is decided by it, so its order does not matter.
    pub fn add(&self, count: Count, number: u64) {
        self.0[count as usize].fetch_add(number, Ordering::Relaxed);
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, count) in ALL.into_iter().enumerate() {
            let separator = if at == 0 { "" } else { " " };
            write!(f, "{separator}{count:?}={}", self.0[count as usize].load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}
