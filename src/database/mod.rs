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
        drop(open_engine(&options)?);
        Ok(Database {
            state: State::default(),
            questions: Questions::new(),
            queue: options.history.map(|history| HistoryQueue::new(history.queue_bytes_max)),
            options,
        })
    }

    /// Reads everything into a member that knows nothing; `report` is told how far that is. It takes as long as it
    /// takes, but a database that says nothing is waited for no longer than the options say.
    pub fn cold_start(&self, member: &Member, report: impl Fn(&str)) {
        // With a journal the last sequence number is greater than that of any change.
        if member.read(|node| node.store().len() + node.store().tombstones() > 0) {
            return;
        }
        log::info!("nothing is known here: the database {} is read", self.options.url);
        match open_engine(&self.options) {
            Ok(mut engine) => cold_start::read(&mut *engine, member, self.options.wait_max, report),
            Err(error) => log::warn!("the database cannot be read: {error}"),
        }
    }

    /// Writes what changes until told to finish.
    pub fn write(&self, member: &Member, changes: &Subscription<'_>) {
        match open_engine(&self.options) {
            Ok(engine) => {
                let writer = Writer::new(&self.options.url, &self.state, self.queue.as_ref(), member, engine);
                writer.run(changes);
            }
            Err(error) => log::warn!("nothing is written to the database: {error}"),
        }
    }

    /// Answers questions until stopped.
    pub fn answer(&self, member: &Member) {
        match open_engine(&self.options) {
            Ok(engine) => self.questions.run(member, engine),
            Err(error) => log::warn!("the database is asked nothing: {error}"),
        }
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

/// Opens an engine. Nothing is connected yet.
#[cfg(feature = "database")]
fn open_engine(options: &DatabaseOptions) -> io::Result<Box<dyn Engine>> {
    match redis::Redis::open(options) {
        Ok(engine) => Ok(Box::new(engine)),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Opens an engine, if there were one.
#[cfg(not(feature = "database"))]
fn open_engine(_: &DatabaseOptions) -> io::Result<Box<dyn Engine>> {
    Err(io::Error::other("this program was built without databases"))
}
