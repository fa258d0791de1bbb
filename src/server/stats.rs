//! What the server counts. Every counter is named once, here, and costs one relaxed atomic addition.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows. Nothing is decided by it, so its order against other memory does not matter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Everything that is counted since the server started.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        impl fmt::Display for Stats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let counters = [$((stringify!($name), &self.$name),)+];
                for (at, (name, counter)) in counters.into_iter().enumerate() {
                    let separator = if at == 0 { "" } else { " " };
                    write!(f, "{separator}{name}={}", counter.get())?;
                }
                Ok(())
            }
        }
    };
}

stats! {
    /// Connections accepted on the client port.
    clients_accepted,
    /// Connections accepted on the peer port.
    peers_accepted,
    /// Connections refused, for whichever reason: those counted under `over_` and `out_of_` say which.
    connections_refused,
    /// Clients refused because as many as may be were connected.
    over_connections_max,
    /// Clients refused because as many as may be were connected from their address.
    over_per_address_max,
    /// Connections refused on the peer port because too many were there without a hello.
    over_hello_pending_max,
    /// Connections on the peer port closed because no hello came in time.
    over_hello_time,
    /// Connections closed because a line was too long.
    over_line_bytes,
    /// Clients that took too long for a line.
    over_line_time,
    /// Clients that said nothing for too long.
    over_idle_time,
    /// Clients that took too long to take their replies.
    over_reply_time,
    /// Reports refused because their client was new and as many as may be were known.
    over_clients_max,
    /// Questions that a provider of places was not asked, for as many as may be were under way.
    over_places_calls,
    /// Questions that a provider of places was not asked, for the connection had asked its share.
    over_places_per_minute,
    /// Connections refused for want of a thread.
    out_of_threads,
    /// Connections refused for want of memory.
    out_of_memory,
    /// Connections refused for want of a descriptor.
    out_of_descriptors,
    /// Connections closed for what was said on them.
    turned_away,
    /// Lines from clients.
    client_lines,
    /// Lines on the peer port.
    peer_lines,
    /// Lines that got an error line.
    lines_refused,
    /// Sightings that were stored and passed on.
    news,
    /// Sightings that were known or overtaken.
    stale,
    /// `WHATSAT` questions about a client that is known.
    questions,
    /// Questions that the provider of places could not answer.
    places_failures,
    /// Connections made to neighbours.
    links_up,
    /// Links whose neighbour has said nothing for too long.
    links_silent,
    /// Links whose neighbour did not prove to be it.
    links_unproved,
    /// Connections of neighbours on which nothing has come for too long.
    callers_silent,
    /// Connections of a neighbour that a newer one has replaced.
    callers_replaced,
    /// Callers that speak another version.
    callers_of_other_version,
    /// Callers that meant another server.
    callers_astray,
    /// Callers that are no neighbours.
    callers_unknown,
    /// Callers that did not prove to be the neighbour that they said they were.
    callers_unproved,
    /// Buckets that were found to differ for no reason and were told again.
    buckets_repaired,
    /// `AT` lines written to neighbours.
    link_lines,
    /// Bytes written to neighbours.
    link_bytes,
    /// Reports that were merged and not acknowledged, for they could not be kept.
    not_kept,
    /// Times that the journal could not be written.
    journal_failures,
    /// Times that what was written to the journal was put on disk in the background.
    journal_flushes,
    /// Conversations that ended by a bug of ours.
    bugs,
}
