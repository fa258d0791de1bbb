//! A watcher: a follower of the change log that is told where clients are, all of them, or those in a box or of a list.
//!
//! It is a position in the log, as a link is. It has no queue: one that reads slowly is told the newest of each client
//! when it comes to that. What it costs beside its position is what it must know to say that a client is gone:
//! - In a box, one bit for each client that it was told of there (`record_set`): some 30 bytes for one, and half a
//!   byte for each where they are many.
//! - Without a box nothing, because all clients that it may see were told, or will be.
//!
//! A watcher that comes back with a position is told what has changed since. Which clients of its box it knew then is
//! not known any more: until it has caught up it is told that each client which changed outside of the box is gone, and
//! that is bounded by `RESUMED_CHANGES_MAX`.

use super::Member;
use super::finder::Finder;
use super::located::{Located, place};
use super::record_set::RecordSet;
use crate::proto::geo::area::Area;
use crate::proto::model::stored_line::at_part;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::change_log::Change;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::{Source, trimmed};

/// The most changes after which a watcher of a box is told only what has changed since: when there are more, to tell
/// what is in the box is the shorter way.
const RESUMED_CHANGES_MAX: u64 = 4_096;

/// What a watcher wants to be told of, of what it may see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wants {
    /// Clients in this box; everywhere, if there is none.
    pub area: Option<Area>,
    /// Clients of these names; of all, if there are none.
    pub clients: Vec<String>,
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything follows: what is not told again until [`Event::Current`] is gone.
    Reset,
    /// Where a client is.
    Client(Located),
    /// A client was forgotten, has expired, has left the box, or may not be seen any more.
    Gone(String),
    /// All that was due has been told.
    Current,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// There is more to look at.
    More,
    /// That was all for now.
    All,
    /// What has expired is not remembered any more: the watcher must begin again, with a new [`Watch`].
    Lost,
}

/// Who sees which client.
pub type Sees<'a> = &'a dyn Fn(&str) -> bool;

/// A watcher.
#[derive(Debug)]
pub struct Watch {
    wants: Wants,
    cursor: Cursor,
    /// What was found at the beginning and is yet to be told, the newest change first.
    found: Vec<(u64, u32)>,
    /// The records that the watcher of a box may have been told of.
    told: RecordSet,
    /// How many clients had expired by then.
    departed: u64,
    /// Of clients that were forgotten before this position nothing was told.
    forgotten_before: u64,
    must_reset: bool,
    /// Whether it has come back, and has not caught up since.
    is_resuming: bool,
    is_current: bool,
}

impl Watch {
    /// Begins after a position of this run, if one is given and it can be resumed from, or with everything.
    pub fn begin(
        member: &Member,
        finder: &Finder,
        wants: Wants,
        after: Option<u64>,
        sees: Sees<'_>,
    ) -> Watch {
        let durable = member.durable_seq();
        let (last, departed) = member.read(|node| {
            let store = node.store();
            let last = store.last_seq().min(durable);
            // Position 0 has nothing.
            let after = after.filter(|after| (1..=last).contains(after));
            (last, after.and_then(|after| Some((after, store.expiry.departed.count_at(after)?))))
        });
        let mut watch = Watch {
            wants,
            cursor: Cursor::new(0, Source::NONE),
            found: Vec::new(),
            told: RecordSet::default(),
            departed: 0,
            forgotten_before: last,
            must_reset: true,
            is_resuming: false,
            is_current: false,
        };
        let found = watch.find(member, finder, last, sees);
        match (departed, found) {
            (Some((after, departed)), None) if watch.wants.area.is_none() => watch.resume(after, departed),
            (Some((after, departed)), Some((position, found)))
                if watch.wants.area.is_none() || position >= after && last - after <= RESUMED_CHANGES_MAX =>
            {
                watch.resume(after, departed);
                found.iter().for_each(|(_, record)| watch.told.insert(*record));
            }
            (_, Some((position, mut found))) => {
                // What has changed since comes through the log.
                found.retain(|(seq, _)| *seq <= position);
                found.sort_unstable_by(|a, b| b.cmp(a));
                watch.found = found;
                watch.cursor.skip_to(position);
                watch.departed = member.read(|node| node.store().expiry.departed.count());
            }
            (_, None) => watch.departed = member.read(|node| node.store().expiry.departed.count()),
        }
        watch
    }

    /// Begins with what changes from now on, everywhere.
    pub fn from_now(member: &Member, finder: &Finder, sees: Sees<'_>) -> Watch {
        let durable = member.durable_seq();
        let last = member.read(|node| node.store().last_seq().min(durable));
        let mut watch = Watch::begin(member, finder, Wants::default(), Some(last), sees);
        // What has expired since the last change is gone already.
        watch.departed = member.read(|node| node.store().expiry.departed.count());
        watch
    }

    fn resume(&mut self, after: u64, departed: u64) {
        self.cursor.skip_to(after);
        self.departed = departed;
        self.forgotten_before = after;
        self.must_reset = false;
        self.is_resuming = true;
    }

    /// Tells everything again, because the asker may see other clients now.
    pub fn begin_again(&mut self) {
        self.forgotten_before = self.forgotten_before.max(self.cursor.position());
        self.cursor = Cursor::new(0, Source::NONE);
        self.found.clear();
        (self.must_reset, self.is_resuming, self.is_current) = (true, false, false);
    }

    /// The position up to which everything was told.
    pub fn position(&self) -> u64 {
        self.found.last().map_or(self.cursor.position(), |(seq, _)| seq - 1)
    }

    /// Whether it has caught up since it began, once at least.
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// Looks at some of what has changed, and appends what is to be told, each with the position that is reached with
    /// it. Where the asker could see others `before`, those are gone.
    pub fn look(
        &mut self,
        member: &Member,
        sees: Sees<'_>,
        before: Option<Sees<'_>>,
        events: &mut Vec<(u64, Event)>,
    ) -> Looked {
        self.look_at(SCAN_RECORDS_MAX, member, sees, before, events)
    }

    /// Looks at no more than so many changes, where no more than as many events can be told now.
    pub fn look_at(
        &mut self,
        records_max: usize,
        member: &Member,
        sees: Sees<'_>,
        before: Option<Sees<'_>>,
        events: &mut Vec<(u64, Event)>,
    ) -> Looked {
        let records_max = records_max.min(SCAN_RECORDS_MAX);
        // A thousand watchers that look at once would keep those waiting who report.
        let _permit = member.cpu_permits.acquire();
        if std::mem::take(&mut self.must_reset) {
            events.push((0, Event::Reset));
        }
        if !self.found.is_empty() {
            self.tell_found(records_max, member, sees, events);
            return Looked::More;
        }
        let durable = member.durable_seq();
        let looked = member.read(|node| {
            let store = node.store();
            let mut departures = store.expiry.departed.after(self.departed)?.take(records_max).peekable();
            if departures.peek().is_some() {
                // Before the log: a record may be that of another client by now.
                for departure in departures {
                    self.departed += 1;
                    let client = std::str::from_utf8(&departure.client).unwrap_or_default();
                    let is_gone = match self.wants.area {
                        Some(_) => {
                            self.told.remove(departure.record)
                                || self.is_resuming && self.wants_client(client, sees)
                        }
                        None => {
                            self.wants_client(client, sees)
                                || before.is_some_and(|sees| self.wants_client(client, sees))
                        }
                    };
                    if is_gone {
                        events.push((self.cursor.position(), Event::Gone(client.to_owned())));
                    }
                }
                return Some(None);
            }
            let Watch { wants, cursor, told, forgotten_before, is_resuming, .. } = self;
            let mut sorter = Sorter {
                wants,
                told,
                forgotten_before: *forgotten_before,
                is_resuming: *is_resuming,
                sees,
                before,
            };
            let scanned = cursor.scan(store, durable, records_max, |change, line| {
                if let Some(event) = sorter.event(change, line) {
                    events.push((change.seq, event));
                }
            });
            Some(Some((scanned, scanned.position() >= store.last_seq().min(durable))))
        });
        let (scanned, is_all) = match looked {
            None => return Looked::Lost,
            Some(None) => return Looked::More,
            Some(Some(scanned)) => scanned,
        };
        // What was superseded by what is not durable yet is owed.
        let owes = self.cursor.safe(scanned) < scanned.position();
        self.cursor.advance(scanned);
        if is_all && !owes && !self.is_current {
            (self.is_current, self.is_resuming) = (true, false);
            events.push((self.cursor.position(), Event::Current));
        }
        if is_all { Looked::All } else { Looked::More }
    }

    /// Tells some of what was found at the beginning.
    fn tell_found(
        &mut self,
        records_max: usize,
        member: &Member,
        sees: Sees<'_>,
        events: &mut Vec<(u64, Event)>,
    ) {
        let next = self.found.split_off(self.found.len().saturating_sub(records_max));
        let lines = member.read(|node| {
            let line = |&(seq, record): &(u64, u32)| {
                let (latest, line) = node.store().change_at(record)?;
                // What has changed since comes through the log.
                (latest == seq).then(|| (seq, record, line.to_vec()))
            };
            next.iter().rev().filter_map(line).collect::<Vec<_>>()
        });
        for (seq, record, line) in lines {
            let Some(located) =
                Located::new(line).filter(|it| self.wants_client(it.sighting().client.0, sees))
            else {
                continue;
            };
            self.told.insert(record);
            events.push((seq, Event::Client(located)));
        }
    }

    /// Where the index or the names are the shorter way: the last changes of what is wanted, and the position at which
    /// that was so.
    fn find(
        &self,
        member: &Member,
        finder: &Finder,
        last: u64,
        sees: Sees<'_>,
    ) -> Option<(u64, Vec<(u64, u32)>)> {
        let Wants { area, clients } = &self.wants;
        let (position, records) = match area {
            Some(area) if clients.is_empty() => {
                let candidates = finder.candidates(member, area).ok().filter(|found| !found.is_cut)?;
                (candidates.position, candidates.records)
            }
            None if clients.is_empty() => return None,
            _ => {
                let records = member.read(|node| {
                    let record = |client: &String| node.store().record_of(client.as_bytes());
                    clients.iter().filter_map(record).collect()
                });
                (last, records)
            }
        };
        let mut found = Vec::new();
        for records in records.chunks(SCAN_RECORDS_MAX) {
            member.read(|node| {
                for &record in records {
                    let Some((seq, line)) = node.store().change_at(record) else { continue };
                    if self.is_inside(line)
                        && client(line).is_some_and(|client| self.wants_client(client, sees))
                    {
                        found.push((seq, record));
                    }
                }
            });
        }
        Some((position, found))
    }

    fn is_inside(&self, line: &[u8]) -> bool {
        self.wants.is_inside(line)
    }

    fn wants_client(&self, client: &str, sees: Sees<'_>) -> bool {
        self.wants.name(client) && sees(client)
    }
}

impl Wants {
    /// Whether a stored line is a sighting in the box.
    fn is_inside(&self, line: &[u8]) -> bool {
        match &self.area {
            None => at_part(line).is_some(),
            Some(area) => place(line).is_some_and(|(latitude, longitude)| area.contains(latitude, longitude)),
        }
    }

    fn name(&self, client: &str) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|wanted| wanted == client)
    }
}

/// Sorts out what of the changes is to be told.
struct Sorter<'a> {
    wants: &'a Wants,
    told: &'a mut RecordSet,
    forgotten_before: u64,
    is_resuming: bool,
    sees: Sees<'a>,
    before: Option<Sees<'a>>,
}

impl Sorter<'_> {
    /// What is to be told of a change. It is called under the lock.
    fn event(&mut self, change: Change, line: &[u8]) -> Option<Event> {
        let is_inside = self.wants.is_inside(line);
        let is_in_box = self.wants.area.is_some();
        if is_in_box && !is_inside && !self.is_resuming && !self.told.has(change.record) {
            return None;
        }
        let client = client(line)?;
        if !self.wants.name(client) {
            return None;
        }
        let sees = (self.sees)(client);
        if is_inside && sees {
            if is_in_box {
                self.told.insert(change.record);
            }
            return Located::new(line.to_vec()).map(Event::Client);
        }
        let could_see = sees || self.before.is_some_and(|sees| sees(client));
        let is_gone = if is_in_box {
            self.told.remove(change.record) || self.is_resuming && could_see
        } else if at_part(line).is_some() {
            // It may be seen no more.
            could_see
        } else {
            could_see && change.seq > self.forgotten_before
        };
        is_gone.then(|| Event::Gone(client.to_owned()))
    }
}

/// The client's name in a stored line. No more of it is looked at, because that is done for every change.
fn client(stored: &[u8]) -> Option<&str> {
    // Of a tombstone it is the second field behind its word.
    let (line, skip) = at_part(stored).map_or((stored, 2), |at| (at, 3));
    std::str::from_utf8(trimmed(line).split(|&byte| byte == b' ').nth(skip)?).ok()
}
