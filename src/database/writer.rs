//! The writer: a follower of the change log that stores what it finds in the database.
//!
//! It is a position in the log, as a link is: a database that is slow, full or down costs no memory, delays no client,
//! and is caught up. The database itself remembers how far the writer has come, in every part that can lose writes by
//! itself. The writer asks for that when it begins, after every failure and every few seconds. Where less is
//! remembered than was written, something is lost: by a crash, by a failover to a replica that was behind, by
//! `FLUSHALL`. Then the writer goes back to there.

use std::time::{Duration, Instant};

use super::engine::{Change, Engine, EngineError};
use super::history::HistoryQueue;
use super::order;
use super::state::State;
use crate::config::DatabaseUrl;
use crate::member::Member;
use crate::member::metrics::Event;
use crate::member::notifier::Subscription;
use crate::member::warnings::Source as WarnedOf;
use crate::os::clock;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::cursor::{Cursor, Scanned};
use crate::proto::store::update::{Source, trimmed};
use crate::proto::store::{SCAN_RECORDS_MAX, Store};

/// The clients, and the points, that are sent at once: more are not faster, and take the database longer at a stretch.
const BATCH_MAX: usize = 128;

/// How often the database is told how far the writer has come.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// How often the writer asks whether the database has still what was written.
const CHECK_EVERY: Duration = Duration::from_secs(3);

/// How long points may wait while no client changes.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// Between two attempts after a failure, growing.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long the writer goes on after the server has stopped, to write what is due.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The writer.
pub(super) struct Writer<'a> {
    url: &'a DatabaseUrl,
    state: &'a State,
    /// The points that wait, if points are kept.
    queue: Option<&'a HistoryQueue>,
    member: &'a Member,
    engine: Box<dyn Engine>,
    /// The last change that was there at the start. A position beyond that is of a memory that was lost.
    known_seq: u64,
    /// Where it is in the log; `None` until the database has said how far it has come.
    cursor: Option<Cursor>,
    /// Up to here everything is written, whatever happens to this server.
    safe: u64,
    /// What the database was last told to remember.
    remembered: u64,
    remember_at: Instant,
    check_at: Instant,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        url: &'a DatabaseUrl,
        state: &'a State,
        queue: Option<&'a HistoryQueue>,
        member: &'a Member,
        engine: Box<dyn Engine>,
    ) -> Writer<'a> {
        let (now, known_seq) = (clock::instant(), member.read(|node| node.store().last_seq()));
        let (cursor, safe, remembered) = (None, 0, 0);
        let (remember_at, check_at) = (now, now);
        Writer {
            url,
            state,
            queue,
            member,
            engine,
            known_seq,
            cursor,
            safe,
            remembered,
            remember_at,
            check_at,
        }
    }

    /// Writes until told to finish, and what is due then.
    pub(super) fn run(mut self, changes: &Subscription<'_>) {
        let (mut retry_wait, mut finish_at) = (RETRY_WAIT_MIN, None);
        loop {
            changes.begin_look();
            let is_stopping = changes.is_stopping();
            if is_stopping {
                self.remember_at = self.remember_at.min(clock::instant());
                let finish_at = *finish_at.get_or_insert_with(|| clock::deadline(FINISH_WAIT_MAX));
                if clock::instant() >= finish_at {
                    return log::warn!("the database is not told all: it is when the server starts again");
                }
            }
            match self.round() {
                Ok(has_more) => {
                    retry_wait = RETRY_WAIT_MIN;
                    if self.state.succeeded() {
                        log::info!("the database {} is there", self.url);
                    }
                    if is_stopping && !has_more {
                        return;
                    }
                    if !has_more {
                        changes.wait(IDLE_WAIT);
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    if is_stopping {
                        return log::warn!(
                            "the database is not told all: it is when the server starts again"
                        );
                    }
                    changes.pause_until(clock::deadline(retry_wait));
                    retry_wait = (2 * retry_wait).min(RETRY_WAIT_MAX);
                }
            }
        }
    }

    fn failed(&mut self, error: &EngineError) {
        self.check_at = clock::instant();
        if *error == EngineError::NoScript {
            return;
        }
        self.state.failed(error);
        let what = format_args!("the database {}: {error}", self.url);
        self.member.metrics.count_and_warn(Event::Database, WarnedOf::Own, what);
    }

    /// Writes some points and some clients; whether there is more.
    fn round(&mut self) -> Result<bool, EngineError> {
        if clock::instant() >= self.check_at {
            self.check()?;
            self.check_at = clock::deadline(CHECK_EVERY);
        }
        // Points first: one that was reported before its client was forgotten must not come after that.
        let mut has_more = self.write_points()?;
        has_more |= self.write_changes()?;
        if self.safe != self.remembered && clock::instant() >= self.remember_at {
            self.remember()?;
        }
        Ok(has_more)
    }

    /// Has the database remember how far the writer has come, unless it has lost something meanwhile: that must not
    /// be covered up.
    fn remember(&mut self) -> Result<(), EngineError> {
        let me = &self.member.me;
        let [before, now] = [self.remembered, self.safe].map(|seq| position(me.epoch, seq));
        if !self.engine.advance_positions(me.name.as_str(), &before, &now)? {
            return self.check();
        }
        self.remembered = self.safe;
        self.remember_at = clock::deadline(REMEMBER_EVERY);
        Ok(())
    }

    /// Asks how far the database has come, and goes back to there if that is less than was written.
    fn check(&mut self) -> Result<(), EngineError> {
        let (me, known_seq) = (&self.member.me, self.known_seq);
        let there = self.engine.positions(me.name.as_str())?;
        // A part that remembers nothing has nothing.
        let read = |text: &Option<String>| text.as_deref().and_then(|text| read_position(me.epoch, text));
        let there: Vec<Option<u64>> = there.iter().map(read).collect();
        if self.cursor.is_some() && there.iter().all(|there| *there == Some(self.remembered)) {
            return Ok(());
        }
        let mut least = there.into_iter().min().flatten().unwrap_or(0);
        if self.cursor.is_none() && least > known_seq {
            // This server has lost what came then.
            least = 0;
        }
        self.engine.set_positions(me.name.as_str(), &position(me.epoch, least))?;
        if self.cursor.is_some() && least < self.remembered {
            let what = format_args!(
                "the database {} has lost what was written since change {least}: it is written again",
                self.url
            );
            self.member.metrics.count_and_warn(Event::DatabaseLost, WarnedOf::Own, what);
        }
        if self.cursor.is_none() || least < self.remembered {
            self.cursor = Some(Cursor::new(least, Source::NONE));
            self.safe = least;
            self.state.reached(least);
        }
        self.remembered = least;
        Ok(())
    }

    fn write_points(&mut self) -> Result<bool, EngineError> {
        let Some(queue) = self.queue else { return Ok(false) };
        let points = queue.oldest(BATCH_MAX);
        if points.is_empty() {
            return Ok(false);
        }
        // The history of a client ends with the client.
        let keep_s = self.member.me.expire_after.map_or(u64::MAX, |after| after.as_secs());
        self.engine.append(&points, keep_s)?;
        queue.written(points.len());
        self.member.metrics.history_points.add(points.len() as u64);
        Ok(points.len() == BATCH_MAX)
    }

    fn write_changes(&mut self) -> Result<bool, EngineError> {
        let Some(cursor) = &mut self.cursor else { return Ok(false) };
        let durable = self.member.durable_seq();
        let (mut changes, mut safe, begun) = (Vec::new(), self.safe, cursor.position());
        let expire_after_s = self.member.me.expire_after.map(|after| after.as_secs());
        for _ in 0..BATCH_MAX / SCAN_RECORDS_MAX {
            let (scanned, is_all) =
                self.member.read(|node| scan(cursor, node.store(), durable, expire_after_s, &mut changes));
            safe = cursor.safe(scanned);
            cursor.advance(scanned);
            if is_all {
                break;
            }
        }
        let has_more = self.member.read(|node| cursor.is_behind(node.store(), durable));
        if !changes.is_empty()
            && let Err(error) = self.engine.write(&changes)
        {
            // What was not written is scanned again.
            *cursor = Cursor::new(self.safe, Source::NONE);
            return Err(error);
        }
        self.member.metrics.database_writes.add(changes.len() as u64);
        if cursor.position() > begun {
            self.safe = safe;
            self.state.reached(safe);
        }
        Ok(has_more)
    }
}

/// Copies what is due of some records.
fn scan(
    cursor: &Cursor,
    store: &Store,
    durable: u64,
    expire_after_s: Option<u64>,
    changes: &mut Vec<Change>,
) -> (Scanned, bool) {
    let scanned = cursor.scan(store, durable, SCAN_RECORDS_MAX, |_, line| {
        changes.extend(change(line, expire_after_s));
    });
    (scanned, scanned.position() >= store.last_seq().min(durable))
}

/// A stored line as a change.
fn change(line: &[u8], expire_after_s: Option<u64>) -> Option<Change> {
    let stored = StoredLine::parse(trimmed(line)).ok()?;
    let (start, end) = stored.client_range();
    Some(Change {
        client: std::str::from_utf8(&line[start..end]).ok()?.to_owned(),
        value: order::value_of(line)?,
        era: stored.era().0,
        is_tombstone: matches!(stored, StoredLine::Tombstone(_)),
        expires_s: expire_after_s
            .map_or(0, |after_s| stored.received_s().saturating_add(after_s).min(i64::MAX as u64)),
    })
}

/// A position as the database remembers it.
fn position(epoch: Epoch, seq: u64) -> String {
    format!("{:016x} {seq}", epoch.0)
}

/// The position in a memory of this epoch.
fn read_position(epoch: Epoch, text: &str) -> Option<u64> {
    let (of, seq) = text.split_once(' ')?;
    seq.parse().ok().filter(|_| of == format!("{:016x}", epoch.0))
}
