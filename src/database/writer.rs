//! The writer: a follower of the change log that stores what it finds in the database.
//!
//! It is a position in the log, as a link is: a database that is slow, full or down costs no memory, delays no client,
//! and is caught up. The database itself remembers how far the writer has come, in every part that can lose writes by
//! itself. The writer asks for that when it begins, after every failure and every few seconds. Where less is
//! remembered than was written, something is lost: by a crash, by a failover to a replica that was behind, by
//! `FLUSHALL`. Then the writer goes back to there.
//!
//! It writes in sweeps, each up to the last change at its beginning, and begins one a second. A client that reports all
//! the time is written once in each. Within a sweep a batch is
//! sent while the database works on the one before.

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

/// How often a sweep begins. Clients that report more often than that cost the database no more.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The batches that are written at a stretch, before points and the stop are looked at.
const STRETCH_BATCHES_MAX: usize = 32;

/// How long points may wait.
const IDLE_WAIT: Duration = Duration::from_millis(100);

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
    /// The last change of the sweep that is under way or over, and when the next one may begin.
    sweep_end: u64,
    sweep_at: Instant,
    /// Up to here everything is written, whatever happens to this server.
    safe: u64,
    /// What the database was last told to remember.
    remembered: u64,
    remember_at: Instant,
    check_at: Instant,
}

/// What is sent at once.
struct Batch {
    changes: Vec<Change>,
    /// Up to here everything is written with it, whatever happens to this server.
    safe: u64,
    /// Whether the sweep ends with it.
    is_last: bool,
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
        Writer {
            url,
            state,
            queue,
            member,
            engine,
            known_seq,
            cursor: None,
            sweep_end: 0,
            sweep_at: now,
            safe: 0,
            remembered: 0,
            remember_at: now,
            check_at: now,
        }
    }

    /// Writes until told to finish, and what is due then.
    pub(super) fn run(mut self, changes: &Subscription<'_>) {
        let (mut retry_wait, mut finish_at) = (RETRY_WAIT_MIN, None);
        loop {
            changes.begin_look();
            let is_stopping = changes.is_stopping();
            if is_stopping {
                let now = clock::instant();
                (self.remember_at, self.sweep_at) = (self.remember_at.min(now), self.sweep_at.min(now));
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
                    let now = clock::instant();
                    if !has_more && now < self.sweep_at {
                        changes.pause_until(self.sweep_at.min(now + IDLE_WAIT));
                    } else if !has_more {
                        changes.wait(IDLE_WAIT);
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    if changes.is_stopping() {
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
        if self.cursor.is_some() {
            // What came after the position that is remembered may be lost with what has failed.
            (self.cursor, self.safe) = (Some(Cursor::new(self.remembered, Source::NONE)), self.remembered);
            self.state.reached(self.safe);
        }
        if matches!(error, EngineError::NoScript | EngineError::Changed) {
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
        let before = vec![Some(before); self.engine.parts()];
        if !self.engine.move_positions(me.name.as_str(), &before, &now)? {
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
        let seqs: Vec<Option<u64>> = there.iter().map(read).collect();
        if self.cursor.is_some() && seqs.iter().all(|seq| *seq == Some(self.remembered)) {
            return Ok(());
        }
        let mut least = seqs.into_iter().min().flatten().unwrap_or(0);
        if self.cursor.is_none() && least > known_seq {
            // This server has lost what came then.
            least = 0;
        }
        if !self.engine.move_positions(me.name.as_str(), &there, &position(me.epoch, least))? {
            // Something was lost just now.
            return Err(EngineError::Changed);
        }
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

    /// Writes some batches of a sweep; whether there is more of it.
    fn write_changes(&mut self) -> Result<bool, EngineError> {
        let Some(mut batch) = self.first_batch() else { return Ok(false) };
        self.engine.begin_write(&batch.changes)?;
        for number in 1.. {
            let is_over = batch.is_last || number == STRETCH_BATCHES_MAX;
            let next = if is_over { None } else { self.next_batch() };
            // It is there when the database has done with the one before.
            if let Some(next) = &next {
                self.engine.begin_write(&next.changes)?;
            }
            self.engine.finish_write()?;
            self.member.metrics.database_writes.add(batch.changes.len() as u64);
            self.safe = self.safe.max(batch.safe);
            self.state.reached(self.safe);
            match next {
                Some(next) => batch = next,
                None => break,
            }
        }
        Ok(!batch.is_last)
    }

    /// The next batch of the sweep, or the first of a new one if that is due.
    fn first_batch(&mut self) -> Option<Batch> {
        let position = self.cursor.as_ref()?.position();
        if position >= self.sweep_end {
            let now = clock::instant();
            let last = self.member.read(|node| node.store().last_seq()).min(self.member.durable_seq());
            if now < self.sweep_at || position >= last {
                return None;
            }
            (self.sweep_end, self.sweep_at) = (last, now + SWEEP_EVERY);
        }
        self.next_batch()
    }

    /// What comes next, which is passed over from here on.
    fn next_batch(&mut self) -> Option<Batch> {
        let cursor = self.cursor.as_mut()?;
        let (durable, begun) = (self.member.durable_seq(), cursor.position());
        let expire_after_s = self.member.me.expire_after.map(|after| after.as_secs());
        let (mut changes, mut safe) = (Vec::with_capacity(BATCH_MAX), begun);
        for _ in 0..BATCH_MAX / SCAN_RECORDS_MAX {
            let scanned =
                self.member.read(|node| scan(cursor, node.store(), durable, expire_after_s, &mut changes));
            safe = cursor.safe(scanned);
            cursor.advance(scanned);
            if cursor.position() >= self.sweep_end {
                break;
            }
        }
        let is_last = cursor.position() >= self.sweep_end || cursor.position() == begun;
        Some(Batch { changes, safe, is_last })
    }
}

/// Copies what is due of some records.
fn scan(
    cursor: &Cursor,
    store: &Store,
    durable: u64,
    expire_after_s: Option<u64>,
    changes: &mut Vec<Change>,
) -> Scanned {
    cursor.scan(store, durable, SCAN_RECORDS_MAX, |_, line| changes.extend(change(line, expire_after_s)))
}

/// A stored line as a change.
fn change(line: &[u8], expire_after_s: Option<u64>) -> Option<Change> {
    let stored = StoredLine::parse(trimmed(line)).ok()?;
    let (start, end) = stored.client_range();
    Some(Change {
        client: std::str::from_utf8(&line[start..end]).ok()?.to_owned(),
        value: order::value_of_parsed(&stored, trimmed(line)),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::database::engine::Point;
    use crate::tests::harness::alone;

    /// A database that can lose all between two questions.
    #[derive(Default)]
    struct Memory {
        values: BTreeMap<String, Vec<u8>>,
        position: Option<String>,
        loses_all_after_question: bool,
    }

    impl Engine for Arc<Mutex<Memory>> {
        fn begin_write(&mut self, changes: &[Change]) -> Result<(), EngineError> {
            let values = changes.iter().map(|change| (change.client.clone(), change.value.clone()));
            self.lock().values.extend(values);
            Ok(())
        }

        fn finish_write(&mut self) -> Result<(), EngineError> {
            Ok(())
        }

        fn read(&mut self, client: &str) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(self.lock().values.get(client).cloned())
        }

        fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError> {
            each(self.lock().values.values().cloned().collect());
            Ok(())
        }

        fn append(&mut self, _: &[Point], _: u64) -> Result<(), EngineError> {
            Ok(())
        }

        fn track(&mut self, _: &str) -> Result<Vec<Vec<u8>>, EngineError> {
            Ok(Vec::new())
        }

        fn parts(&self) -> usize {
            1
        }

        fn positions(&mut self, _: &str) -> Result<Vec<Option<String>>, EngineError> {
            let mut memory = self.lock();
            let position = memory.position.clone();
            if memory.loses_all_after_question {
                *memory = Memory::default();
            }
            Ok(vec![position])
        }

        fn move_positions(
            &mut self,
            _: &str,
            before: &[Option<String>],
            position: &str,
        ) -> Result<bool, EngineError> {
            let mut memory = self.lock();
            let is_there = memory.position == before[0];
            if is_there {
                memory.position = Some(position.to_owned());
            }
            Ok(is_there)
        }
    }

    /// A writer that begins, and writes all.
    fn write_all(member: &Member, memory: &Arc<Mutex<Memory>>) {
        let (url, state) = (DatabaseUrl::parse("redis://localhost").unwrap(), State::default());
        let mut writer = Writer::new(&url, &state, None, member, Box::new(Arc::clone(memory)));
        for _ in 0..9 {
            (writer.remember_at, writer.sweep_at) = (clock::instant(), clock::instant());
            match writer.round() {
                Ok(true) | Err(EngineError::Changed) => writer.check_at = clock::instant(),
                Ok(false) => return,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it does not come to its end");
    }

    #[test]
    fn what_is_lost_between_the_question_and_the_first_position_is_written_again() {
        let server = alone();
        let mut talk = server.client();
        for client in 0..10 {
            talk.send(format!("IAMAT c{client} +1+1 5\n"));
            talk.line();
        }
        let memory = Arc::new(Mutex::new(Memory::default()));
        write_all(&server.member, &memory);
        let values = memory.lock().values.clone();
        let position = memory.lock().position.clone();
        assert_eq!(values.len(), 10);
        assert!(position.as_ref().unwrap().ends_with(" 10"), "{position:?}");
        memory.lock().values.remove("c3");
        write_all(&server.member, &memory);
        assert_eq!(memory.lock().values.len(), 9, "a writer goes on where another one has ended");
        memory.lock().loses_all_after_question = true;
        write_all(&server.member, &memory);
        assert_eq!(memory.lock().values, values);
        assert_eq!(memory.lock().position, position);
    }
}
