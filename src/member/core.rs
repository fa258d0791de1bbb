//! What a member asks of a core database, if it has one: clients that it does not know, and where they were before.

use std::fmt;
use std::time::Duration;

use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::Store;
use crate::proto::store::update::{MergeRule, Source, Updates, trimmed};

/// A core database, for those who ask. None of the methods is to be called under the lock of the node.
pub trait Core: fmt::Debug + Send + Sync {
    /// Looks for a client that is not known, and merges what is found; whether something was. It takes some hundred
    /// milliseconds at most, and no time while the database is known to be down.
    fn fetch(&self, client: &str) -> bool;

    /// Whether points are kept.
    fn keeps_history(&self) -> bool;

    /// Takes points for the history: stored lines, each with its line feed. It never waits, and returns how many there
    /// is no room for.
    fn record(&self, points: &[u8]) -> u64;

    /// The points of a client that are kept, as stored lines in the order in which they came.
    ///
    /// # Errors
    /// If they cannot be had now, or ever.
    fn track(&self, client: &str) -> Result<Vec<Vec<u8>>, NoTrack>;

    /// How it is. The store is that of the member.
    fn status(&self, store: &Store) -> CoreStatus;
}

/// Why there is no track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTrack {
    /// Nothing is kept.
    #[error("no history is kept here: start the servers with --database and --history")]
    NotKept,
    /// The database does not answer.
    #[error("the database does not answer: ask again later")]
    Silent,
    /// Too many ask.
    #[error("too many ask for tracks at once: ask again later")]
    Busy,
}

/// How a core database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreStatus {
    /// Where it is, without a password.
    pub url: String,
    /// Whether the last call succeeded.
    pub is_up: bool,
    /// For how long that has been so.
    pub since: Duration,
    /// By how many clients it is behind.
    pub behind: u64,
    /// What last went wrong, if it is down.
    pub error: Option<String>,
    /// Bytes of points that wait for it.
    pub history_bytes: u64,
}

impl fmt::Display for CoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_secs(self.since.as_secs());
        let since = humantime::format_duration(seconds);
        let how = if self.is_up { "up" } else { "down" };
        write!(f, "{how} for {since}, behind by {}", self.behind)?;
        if self.history_bytes > 0 {
            write!(f, ", {} bytes of history wait", self.history_bytes)?;
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, "; {error}"))
    }
}

/// The reports among updates, for the history: those of our own clients, because other servers keep those of theirs.
pub(super) fn points(updates: &impl Updates) -> Vec<u8> {
    let mut points = Vec::new();
    for update in (0..).map_while(|i| updates.get(i)) {
        if update.meta.source == Source::CLIENT && update.rule == MergeRule::LaterTime {
            points.extend_from_slice(update.line);
        }
    }
    points
}

/// The points whose clients are known: where some were rejected, others are of clients that are not stored.
pub(super) fn of_known(points: &[u8], is_known: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut known = Vec::new();
    for line in points.split_inclusive(|&byte| byte == b'\n') {
        let client = StoredLine::parse(trimmed(line)).map(|stored| stored.client_range());
        if client.is_ok_and(|(start, end)| is_known(&line[start..end])) {
            known.extend_from_slice(line);
        }
    }
    known
}
