//! The core database: a place that has all that the herd knows and where clients were before, for servers that begin
//! without data, for questions about clients that are known nowhere else, and for other programs.
//!
//! The herd does without it. A report is acknowledged when the journal has it; the database is a follower of the change
//! log, as a link is (`writer`), and may be slow, full, frozen or gone. Every server writes all that it knows, and
//! what is not newer than what is there changes nothing: `order` makes texts of records that compare byte by byte as
//! the herd orders them. `FORMAT.md` says for others what is written.
//!
//! - `engine` is what a database must be able to do, and `redis` one that can.
//! - `cold_start` reads all of it before the ports of a server without data open; `reader` asks for single clients,
//!   and for tracks. What they find is merged as what a neighbour says is (`hearsay`).
//! - `history` is the queue of points that wait for the writer.

mod cold_start;
mod engine;
mod hearsay;
mod history;
mod order;
mod reader;
#[cfg(feature = "database")]
mod redis;
mod state;
mod writer;

use std::io;
use std::path::Path;

use self::engine::Engine;
use self::history::HistoryQueue;
use self::reader::Questions;
use self::state::State;
use self::writer::Writer;
use crate::config::DatabaseOptions;
use crate::member::Member;
use crate::member::core::{Core, CoreStatus, NoTrack};
use crate::member::notifier::Subscription;
use crate::proto::store::Store;

/// The core database of a running server.
#[derive(Debug)]
pub struct Database {
    options: DatabaseOptions,
    state: State,
    questions: Questions,
    queue: Option<HistoryQueue>,
}

impl Database {
    /// The database that the options name. Nothing is connected yet.
    ///
    /// # Errors
    /// If it cannot be used as the options say.
    pub fn open(options: DatabaseOptions) -> io::Result<Database> {
        check(&options)?;
        Ok(Database {
            state: State::default(),
            questions: Questions::new(),
            queue: options.history.map(|history| HistoryQueue::new(history.queue_bytes_max)),
            options,
        })
    }

    /// Reads everything into a member that knows nothing, or not all, because the start before was broken off, as the
    /// folder of its journal says. `report` is told how far that is. It takes as long as it takes, but a database that
    /// says nothing new is waited for no longer than the options say.
    pub fn cold_start(&self, member: &Member, folder: Option<&Path>, report: impl Fn(&str)) {
        let (clients, tombstones) = member.read(|node| (node.store().len(), node.store().tombstones()));
        let is_unfinished = folder.is_some_and(cold_start::is_unfinished);
        // With a journal the last sequence number is greater than that of any change.
        if clients + tombstones > 0 && !is_unfinished {
            return log::info!("the database is not read, because {clients} clients are known here");
        }
        let why = if is_unfinished { "an earlier start has not read all" } else { "nothing is known here" };
        log::info!("{why}: the database {} is read", self.options.url);
        if let Some(Err(error)) = folder.map(cold_start::begin) {
            log::warn!(
                "if the server is stopped now it does not read the database to its end later: {error}"
            );
        }
        let mut engine = self.engine();
        let is_all = cold_start::read(&mut *engine, member, self.options.wait_max, report);
        let is_durable = member.read(|node| node.store().last_seq()) <= member.durable_seq();
        if is_all
            && is_durable
            && let Some(Err(error)) = folder.map(cold_start::finish)
        {
            log::warn!("the next start reads the database again: {error}");
        }
    }

    /// Writes what changes until told to finish.
    pub fn write(&self, member: &Member, changes: &Subscription<'_>) {
        let writer = Writer::new(&self.options.url, &self.state, self.queue.as_ref(), member, self.engine());
        writer.run(changes);
    }

    /// Answers questions until stopped.
    pub fn answer(&self, member: &Member) {
        self.questions.run(member, self.engine());
    }

    /// A connection of its own. Nothing is connected yet.
    #[cfg(feature = "database")]
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(redis::Redis::new(&self.options))
    }

    #[cfg(not(feature = "database"))]
    fn engine(&self) -> Box<dyn Engine> {
        unreachable!("a program without databases opens none")
    }

    /// Lets the thread end that answers questions.
    pub fn stop_answering(&self) {
        self.questions.stop();
    }
}

impl Core for Database {
    fn fetch(&self, client: &str) -> bool {
        self.questions.fetch(client)
    }

    fn keeps_history(&self) -> bool {
        self.queue.is_some()
    }

    fn record(&self, points: &[u8]) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.push(points))
    }

    fn track(&self, client: &str) -> Result<Vec<Vec<u8>>, NoTrack> {
        if self.queue.is_none() {
            return Err(NoTrack::NotKept);
        }
        self.questions.track(client)
    }

    fn status(&self, store: &Store) -> CoreStatus {
        let (is_up, since, error) = self.state.calls();
        // Each client has its last change only, and a start leaves many numbers out.
        let most = (store.len() + store.tombstones()) as u64;
        CoreStatus {
            url: self.options.url.to_string(),
            is_up,
            since,
            behind: store.last_seq().saturating_sub(self.state.position()).min(most),
            error,
            history_bytes: self.queue.as_ref().map_or(0, HistoryQueue::bytes),
        }
    }
}

/// Whether a database can be used as the options say. Nothing is connected yet.
#[cfg(feature = "database")]
fn check(options: &DatabaseOptions) -> io::Result<()> {
    redis::Redis::check(options).map_err(io::Error::other)
}

#[cfg(not(feature = "database"))]
fn check(_: &DatabaseOptions) -> io::Result<()> {
    Err(io::Error::other("this program was built without databases"))
}
