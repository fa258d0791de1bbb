//! Durability: which reports survive the end of a server, and where they are recorded.

use std::path::PathBuf;
use std::time::Duration;

/// How durable a report is when it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It lives as long as the server, because nothing is recorded.
    #[default]
    None,
    /// The operating system has it: it survives any end of the process, and it is on disk within 50 ms.
    Os,
    /// It is on disk.
    Sync,
}

/// Where and how durably reports are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalOptions {
    /// How durable a report is when it is acknowledged.
    pub durability: Durability,
    /// The folder of the journal.
    pub dir: PathBuf,
    /// What each flush is made to take longer, to measure what a slower disk would do.
    pub flush_delay: Duration,
    /// Whether it is never made smaller, to measure what that costs.
    pub only_grows: bool,
}
