//! Durability: which reports survive the end of a server, and where they are recorded.

use std::path::PathBuf;

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
}
