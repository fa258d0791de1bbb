//! What bounds the clients of a store.

use std::time::Duration;

use crate::proto::model::stored_line::StoredLine;
use crate::proto::model::time::Moment;
use crate::proto::store::update::{MergeRule, Reject, Update};

/// The most clients that are stored if nothing else is asked for: 2.5 GB, as 240 bytes were measured for each of four
/// million that report at random.
pub const CLIENTS_MAX: usize = 10_000_000;

/// The most clients that may be asked for; records are numbered with 32 bits.
pub const CLIENTS_CEILING: usize = 1_000_000_000;

/// With room for this many new clients or fewer a store is near its capacity: the original lines of reports are then
/// retained until they are merged, because they may have to be copied back. More reports than these are hardly ever
/// between their parsing and their merging.
pub(super) const NEAR_CAPACITY_CLIENTS: usize = 16 * 1024;

/// The same in bytes: so many clients with names of ordinary length.
pub(super) const NEAR_CAPACITY_BYTES: u64 = 256 * NEAR_CAPACITY_CLIENTS as u64;

/// Bounds of what clients may register, and of what they may do to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most clients that may register themselves.
    pub clients_max: usize,
    /// The most bytes of memory that clients may take by registering themselves.
    pub memory_bytes_max: u64,
    /// The bytes of memory that an index beside the store takes for each client; zero without one.
    pub index_bytes_per_client: usize,
    /// How far a stored time may be ahead of the receipt of a report: a stored report that is further ahead blocks its
    /// client no longer. `None` if times may be as they like.
    pub clock_lead_max: Option<Duration>,
}

impl Bounds {
    /// Why a client may not register itself where so many are known, and it would all take so many bytes then.
    pub(super) fn rejects(&self, clients: usize, bytes: u64) -> Option<Reject> {
        if clients >= self.clients_max {
            Some(Reject::TooManyClients)
        } else if bytes > self.memory_bytes_max {
            Some(Reject::OutOfMemory)
        } else {
            None
        }
    }

    /// If what is stored is from so far in the future that it blocks this report, which is not, the second since 1970
    /// in which the report was received.
    pub(super) fn blocked_at_s(&self, stored: Moment, report: &Update<'_>) -> Option<u64> {
        let lead = self.clock_lead_max.filter(|_| report.rule == MergeRule::LaterTime)?;
        let received_s = StoredLine::parse(report.text()).ok()?.received_s();
        let latest = Moment { seconds: received_s.saturating_add(1), nanos: 0 }.after(lead);
        (stored > latest && report.meta.moment <= latest).then_some(received_s)
    }
}

impl Default for Bounds {
    /// [`CLIENTS_MAX`], any memory, any time.
    fn default() -> Bounds {
        Bounds {
            clients_max: CLIENTS_MAX,
            memory_bytes_max: u64::MAX,
            index_bytes_per_client: 0,
            clock_lead_max: None,
        }
    }
}
