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

use super::engine::{Change, Engine, EngineError, Point};
use super::history::HistoryQueue;
use super::state::State;
use crate::config::DatabaseUrl;
use crate::member::Member;
use crate::member::metrics::Event;
use crate::member::notifier::Subscription;
use crate::member::warnings::Source as WarnedOf;
use crate::os::clock;
use crate::proto::model::epoch::Epoch;
use crate::proto::store::cursor::{Cursor, Scanned};
use crate::proto::store::update::Source;
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

/// How long what a slot that is being moved does not take is not tried again.
const HELD_FOR: Duration = Duration::from_secs(5);

/// How often in a row a database may lose scripts, or change, before that is worth a warning.
const CHANGES_MAX: u32 = 5;

/// How long the writer goes on after the server has stopped, to write what is due.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The writer.
pub(super) struct Writer<'a> {
    url: &'a DatabaseUrl,
    state: &'a State,
    /// The points that wait, if points are kept.
    queue: Option<&'a HistoryQueue>,
    /// Points that were taken out of the queue and are not in the database yet, at most a batch.
    points: Vec<Point>,
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
    /// Whether a slot that is being moved has not taken something. Everything else is written, but `safe` stands still
    /// until then, and then the writer goes back to it.
    held_until: Option<Instant>,
    /// How often in a row the database has changed meanwhile.
    changes_in_row: u32,
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
            points: Vec::new(),
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
            held_until: None,
            changes_in_row: 0,
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
                    return self.warn_unfinished();
                }
            }
            match self.round() {
                Ok(has_more) => {
                    (retry_wait, self.changes_in_row) = (RETRY_WAIT_MIN, 0);
                    if self.state.succeeded() {
                        log::info!("the database {} is there", self.url);
                    }
                    if is_stopping && !has_more && (self.held_until.is_some() || !self.points.is_empty()) {
                        return self.warn_unfinished();
                    }
                    if is_stopping && !has_more && self.is_at_the_end() {
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
                        return self.warn_unfinished();
                    }
                    changes.pause_until(clock::deadline(retry_wait));
                    retry_wait = (2 * retry_wait).min(RETRY_WAIT_MAX);
                }
            }
        }
    }

    /// Whether all has been passed over that there is now, and not only what was there when the last sweep began.
    fn is_at_the_end(&self) -> bool {
        let last = self.member.read(|node| node.store().last_seq()).min(self.member.durable_seq());
        self.cursor.as_ref().is_some_and(|cursor| cursor.position() >= last)
    }

    fn warn_unfinished(&self) {
        let held: u64 = self.points.iter().map(|point| point.line.len() as u64).sum();
        let lost = match self.queue.map_or(0, HistoryQueue::bytes) + held {
            0 => String::new(),
            bytes => format!("; {bytes} bytes of history are lost"),
        };
        log::warn!("the database is not told all clients: it is when the server starts again{lost}");
    }

    fn failed(&mut self, error: &EngineError) {
        self.check_at = clock::instant();
        self.held_until = None;
        if self.cursor.is_some() {
            // What came after the position that is remembered may be lost with what has failed.
            (self.cursor, self.safe) = (Some(Cursor::new(self.remembered, Source::NONE)), self.remembered);
            self.state.reached(self.safe);
        }
        let has_changed = matches!(error, EngineError::NoScript | EngineError::Changed);
        self.changes_in_row = if has_changed { self.changes_in_row + 1 } else { 0 };
        if has_changed && self.changes_in_row < CHANGES_MAX {
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
            (self.safe, self.held_until) = (least, None);
            self.state.reached(least);
        }
        self.remembered = least;
        Ok(())
    }

    fn write_points(&mut self) -> Result<bool, EngineError> {
        let Some(queue) = self.queue else { return Ok(false) };
        let taken = queue.oldest(BATCH_MAX - self.points.len());
        queue.written(taken.len());
        self.points.extend(taken);
        let count = self.points.len();
        if count == 0 {
            return Ok(false);
        }
        // The history of a client ends with the client.
        let keep_s = self.member.me.expire_after.map_or(u64::MAX, |after| after.as_secs());
        let appended = self.engine.append(&mut self.points, keep_s);
        self.member.metrics.history_points.add((count - self.points.len()) as u64);
        match appended {
            Err(EngineError::Moving) => self.warn_of_moving(),
            other => other?,
        }
        Ok(count == BATCH_MAX && self.points.is_empty())
    }

    fn warn_of_moving(&self) {
        let what = format_args!("the database {}: {}", self.url, EngineError::Moving);
        self.member.metrics.count_and_warn(Event::Database, WarnedOf::Own, what);
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
            match self.engine.finish_write() {
                Err(EngineError::Moving) => {
                    self.held_until = Some(clock::deadline(HELD_FOR));
                    self.warn_of_moving();
                }
                other => other?,
            }
            self.member.metrics.database_writes.add(batch.changes.len() as u64);
            if self.held_until.is_none() {
                self.safe = self.safe.max(batch.safe);
                self.state.reached(self.safe);
            }
            match next {
                Some(next) => batch = next,
                None => break,
            }
        }
        Ok(!batch.is_last)
    }

    /// The next batch of the sweep, or the first of a new one if that is due.
    fn first_batch(&mut self) -> Option<Batch> {
        let (mut position, now) = (self.cursor.as_ref()?.position(), clock::instant());
        if position >= self.sweep_end && self.held_until.is_some_and(|until| now >= until) {
            (self.cursor, self.held_until) = (Some(Cursor::new(self.safe, Source::NONE)), None);
            position = self.safe;
        }
        if position >= self.sweep_end {
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
    cursor.scan(store, durable, SCAN_RECORDS_MAX, |_, line| changes.extend(Change::of(line, expire_after_s)))
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
    use crate::tests::harness::{TestServer, alone};

    /// A database that can lose all between two questions, and in which the slot of one client may be moved.
    #[derive(Default)]
    struct Memory {
        values: BTreeMap<String, Vec<u8>>,
        history: Vec<Point>,
        position: Option<String>,
        loses_all_after_question: bool,
        moving: Option<&'static str>,
        silent: Option<&'static str>,
        has_refused: bool,
    }

    impl Engine for Arc<Mutex<Memory>> {
        fn begin_write(&mut self, changes: &[Change]) -> Result<(), EngineError> {
            let mut memory = self.lock();
            for change in changes {
                match memory.moving == Some(change.client.as_str()) {
                    true => memory.has_refused = true,
                    false => drop(memory.values.insert(change.client.clone(), change.value.clone())),
                }
            }
            Ok(())
        }

        fn finish_write(&mut self) -> Result<(), EngineError> {
            if std::mem::take(&mut self.lock().has_refused) { Err(EngineError::Moving) } else { Ok(()) }
        }

        fn read(&mut self, client: &str) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(self.lock().values.get(client).cloned())
        }

        fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError> {
            each(self.lock().values.values().cloned().collect());
            Ok(())
        }

        fn append(&mut self, points: &mut Vec<Point>, _: u64) -> Result<(), EngineError> {
            let mut memory = self.lock();
            let silent = memory.silent;
            memory.history.extend(points.extract_if(.., |point| silent != Some(point.client.as_str())));
            if points.is_empty() { Ok(()) } else { Err(EngineError::Silent) }
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

    /// Reports of so many clients, which are all acknowledged.
    fn report(server: &TestServer, clients: u32) {
        let mut talk = server.client();
        for client in 0..clients {
            talk.send(format!("IAMAT c{client} +1+1 5\n"));
        }
        (0..clients).for_each(|_| drop(talk.line()));
    }

    #[test]
    fn stop_within_a_sweep_writes_what_has_changed_since_it_began() {
        let server = alone();
        report(&server, 1_000);
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (url, state) = (DatabaseUrl::parse("redis://localhost").unwrap(), State::default());
        let mut writer = Writer::new(&url, &state, None, &server.member, Box::new(Arc::clone(&memory)));
        writer.sweep_end = 1;
        let changes = server.member.subscribe();
        server.member.notifiers.stop();
        writer.run(&changes);
        assert_eq!(memory.lock().values.len(), 1_000);
        assert!(memory.lock().position.as_ref().unwrap().ends_with(" 1000"));
    }

    #[test]
    fn slot_that_is_being_moved_holds_up_its_own_clients_alone() {
        let server = alone();
        report(&server, 500);
        let memory = Arc::new(Mutex::new(Memory { moving: Some("c300"), ..Memory::default() }));
        let (url, state) = (DatabaseUrl::parse("redis://localhost").unwrap(), State::default());
        let mut writer = Writer::new(&url, &state, None, &server.member, Box::new(Arc::clone(&memory)));
        let mut round = || {
            let now = clock::instant();
            (writer.remember_at, writer.sweep_at) = (now, now);
            writer.held_until = writer.held_until.map(|_| now);
            writer.round().unwrap();
        };
        (0..5).for_each(|_| round());
        assert_eq!(memory.lock().values.len(), 499, "all others are written");
        let position = memory.lock().position.clone().unwrap();
        let seq: u64 = position.split_once(' ').unwrap().1.parse().unwrap();
        assert!(seq <= 300, "{position}: what is not written is not remembered as written");
        memory.lock().moving = None;
        (0..5).for_each(|_| round());
        assert_eq!(memory.lock().values.len(), 500);
        assert!(memory.lock().position.as_ref().unwrap().ends_with(" 500"));
    }

    #[test]
    fn points_that_are_there_are_not_added_again_because_others_are_not() {
        let server = alone();
        let memory = Arc::new(Mutex::new(Memory { silent: Some("emu"), ..Memory::default() }));
        let (url, state) = (DatabaseUrl::parse("redis://localhost").unwrap(), State::default());
        let queue = HistoryQueue::new(1 << 20);
        queue.push(b"AT A +1 kiwi +1+1 5\nAT A +1 emu +1+1 5\nAT A +1 kiwi +1+1 6\n");
        let engine = Box::new(Arc::clone(&memory));
        let mut writer = Writer::new(&url, &state, Some(&queue), &server.member, engine);
        for _ in 0..3 {
            assert_eq!(writer.write_points(), Err(EngineError::Silent));
        }
        let count =
            |client: &str| memory.lock().history.iter().filter(|point| point.client == client).count();
        assert_eq!((count("kiwi"), count("emu")), (2, 0));
        memory.lock().silent = None;
        assert_eq!(writer.write_points(), Ok(false));
        assert_eq!((count("kiwi"), count("emu")), (2, 1));
    }

    #[test]
    fn database_that_changes_again_and_again_is_warned_of() {
        let server = alone();
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (url, state) = (DatabaseUrl::parse("redis://localhost").unwrap(), State::default());
        let mut writer = Writer::new(&url, &state, None, &server.member, Box::new(memory));
        (1..CHANGES_MAX).for_each(|_| writer.failed(&EngineError::Changed));
        assert_eq!(state.calls().2, None);
        writer.failed(&EngineError::Changed);
        assert!(state.calls().2.is_some());
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
