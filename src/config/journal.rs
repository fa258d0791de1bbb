//! What of a server survives its end.

use std::path::PathBuf;
use std::time::Duration;

/// When a report that is acknowledged is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// While the server runs: nothing is recorded.
    #[default]
    None,
    /// Once the operating system has it: whatever becomes of the process it survives, and it is on disk within 50 ms.
    Os,
    /// Once it is on disk.
    Sync,
}

/// Where and how what is acknowledged is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalOptions {
    /// When it is kept.
    pub durability: Durability,
    /// The folder of the journal.
    pub dir: PathBuf,
    /// What each flush is made to take longer, to measure what a slower disk would do.
    pub flush_delay: Duration,
    /// Whether it is never made smaller, to measure what that costs.
    pub only_grows: bool,
}
