//! What has become of the connections of a fleet: the last thing that its process says.

use serde::{Deserialize, Serialize};

/// What is counted by a fleet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Count {
    /// Connections made.
    pub(crate) connected: u64,
    /// Connections that could not be made.
    pub(crate) not_connected: u64,
    /// Connections that the server has ended.
    pub(crate) cut: u64,
    /// Lines that say that there is no room for a connection.
    pub(crate) refused: u64,
    /// Lines that are as they should be.
    pub(crate) right: u64,
    /// Lines that are not.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) wrong_line: Option<String>,
    /// Reports that were not answered.
    pub(crate) unanswered: u64,
    /// Bytes that the system has taken.
    pub(crate) bytes_sent: u64,
    /// Bytes that came.
    pub(crate) bytes_received: u64,
    /// Processor time of the fleet itself.
    pub(crate) cpu_seconds: f64,
}
