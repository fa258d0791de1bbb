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
    /// Connections refused because there were too many, or no thread for one more.
    connections_refused,
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
    /// Connections of a neighbour that a newer one has replaced.
    callers_replaced,
    /// Callers that did not prove to be a neighbour.
    callers_refused,
    /// Buckets that were found to differ for no reason and were told again.
    buckets_repaired,
    /// Bytes written to neighbours.
    link_bytes,
    /// Conversations that ended by a bug of ours.
    bugs,
}
