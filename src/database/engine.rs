//! What a database must be able to do, whatever it is.

use super::order;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::update::trimmed;

/// When a database erases a value at the latest, in seconds since 1970: it counts in milliseconds.
const EXPIRES_MAX_S: u64 = i64::MAX as u64 / 1_000;

/// What is to be known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its name.
    pub(super) client: String,
    /// Its value: see [`super::order`].
    pub(super) value: Vec<u8>,
    /// Its era. What was reported before that began is erased.
    pub(super) era: u32,
    /// Whether it says that the client was forgotten.
    pub(super) is_tombstone: bool,
    /// When the database may erase it by itself, in seconds since 1970; 0 for never.
    pub(super) expires_s: u64,
}

impl Change {
    /// A stored line as a change; `None` if it is none.
    pub(super) fn of(line: &[u8], expire_after_s: Option<u64>) -> Option<Change> {
        let stored = StoredLine::parse(trimmed(line)).ok()?;
        let (start, end) = stored.client_range();
        Some(Change {
            client: std::str::from_utf8(&line[start..end]).ok()?.to_owned(),
            value: order::value_of_parsed(&stored, trimmed(line)),
            era: stored.era().0,
            is_tombstone: matches!(stored, StoredLine::Tombstone(_)),
            expires_s: expire_after_s
                .map_or(0, |after_s| stored.received_s().saturating_add(after_s).min(EXPIRES_MAX_S)),
        })
    }
}

/// Where a client was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Its name.
    pub(super) client: String,
    /// The stored line, without its line feed.
    pub(super) line: Vec<u8>,
    /// When a server got the report, in seconds since 1970.
    pub(super) received_s: u64,
}

/// A database. Every call ends within some seconds, and may be repeated.
pub(super) trait Engine: Send {
    /// Begins to store what is newer than what is there. More may be begun, and nothing else is asked, until each is
    /// done or one has failed, with which all are over.
    fn begin_write(&mut self, changes: &[Change]) -> Result<(), EngineError>;

    /// Waits until the first that was begun is done. If it fails with [`EngineError::Moving`] only some of its changes
    /// are not stored, and what else was begun goes on.
    fn finish_write(&mut self) -> Result<(), EngineError>;

    /// The value of a client.
    fn read(&mut self, client: &str) -> Result<Option<Vec<u8>>, EngineError>;

    /// Passes all values to `each`, some perhaps twice.
    fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError>;

    /// Adds points to the history of their clients, which is kept for so many seconds after its last point. Those that
    /// are there are taken out of `points`, even if it fails: a point that is added twice is there twice.
    fn append(&mut self, points: &mut Vec<Point>, keep_s: u64) -> Result<(), EngineError>;

    /// The lines of a client's history, in the order in which they came.
    fn track(&mut self, client: &str) -> Result<Vec<Vec<u8>>, EngineError>;

    /// The parts of the database that can lose something by themselves.
    fn parts(&self) -> usize;

    /// How far a server has come with writing, as each part of the database remembers it: a part that has lost what
    /// was written has lost that too.
    fn positions(&mut self, server: &str) -> Result<Vec<Option<String>>, EngineError>;

    /// Has each part of the database remember how far a server has come, if it still remembers the position before,
    /// or none where there was none; whether all did. What is lost between two calls is not covered up so.
    fn move_positions(
        &mut self,
        server: &str,
        before: &[Option<String>],
        position: &str,
    ) -> Result<bool, EngineError>;
}

/// Why a database has not done what was asked.
#[cfg_attr(not(feature = "database"), expect(dead_code, reason = "without an engine nothing fails"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// It cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It does not let us in.
    #[error("it does not let us in: {0}; see --database-password-file")]
    Denied(String),
    /// It takes nothing more.
    #[error("it is full: raise its `maxmemory`, or keep less by --history and expire_after")]
    Full,
    /// It is a copy.
    #[error("it is a replica that cannot be written to: name the primary, its cluster or its sentinels")]
    ReadOnly,
    /// It lacks the scripts, because it has begun again or another took its place. They are loaded with the next call.
    #[error("it has lost our scripts")]
    NoScript,
    /// It has lost something between two questions. It is asked again.
    #[error("it has changed meanwhile")]
    Changed,
    /// It takes some keys only when their slot is where it is moved to.
    #[error(
        "a slot of the cluster is being moved: if that was broken off finish it with `redis-cli --cluster fix`"
    )]
    Moving,
    /// It has refused.
    #[error("{0}")]
    Refused(String),
}
