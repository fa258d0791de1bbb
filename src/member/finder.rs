//! The finder: which clients are in a box, and which are the nearest to a place.
//!
//! It has an index by place of its own, which costs reports nothing: a thread follows the change log as a link does,
//! copies a few changed lines at a time under the read lock, and brings the index up to date without it. What the index
//! names is looked up in the store again, so an answer says what is stored now. Locks are taken one after the other:
//! that of the cursor may be held when the node's or the index's is taken, and those two are never held together.

use std::sync::atomic::Ordering;
use std::time::Duration;

use geographiclib_rs::{Geodesic, InverseGeodesic};

use super::Member;
use super::located::{Located, client, place, seen_in};
use super::notifier::Subscription;
use super::owners::Owners;
use super::watchers::Watchers;
use crate::os::clock;
use crate::os::sync::{AtomicBool, Mutex, RwLock};
use crate::proto::geo::area::Area;
use crate::proto::geo::spatial_index::{self, SpatialIndex};
use crate::proto::model::attributes::Attributes;
use crate::proto::model::sighting::Sighting;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::newest::{line_at, newest_records, record_of, seq_of};
use crate::proto::store::update::Source;

/// How long the thread rests after it has caught up: reports then wake it a hundred times a second and not thousands,
/// and a client that reports often is moved once for many reports.
const REST: Duration = Duration::from_millis(10);

/// How many scans a question makes of what the thread has not seen yet, so that a client that has reported and then
/// asks finds its report, unless thousands come in a second.
const SCANS_OF_A_QUESTION: usize = 4;

/// The same while the index does not have everything that was there at the start: of some thousand clients it is
/// complete then.
const SCANS_OF_THE_FIRST: usize = 64;

/// The most clients that the index names for one question: some may be of no use to who asks.
const CANDIDATES_MAX: usize = 4_096;

/// The most users whose clients are looked for in one answer: more than a family or a team has.
const USERS_MAX: usize = 1_000;

/// The most entries of the change log that are looked at for those that changed last: some microseconds under the read
/// lock. Of fewer clients than half of that all are found; of more some of the older ones may be missing while a few
/// report without end.
const NEWEST_ENTRIES_MAX: usize = 4_096;

/// The bytes of most lines.
const LINE_BYTES: usize = 160;

/// The bytes of memory that it takes for each client.
pub const BYTES_PER_CLIENT: usize = spatial_index::BYTES_PER_RECORD;

/// Finds clients by place, and by whose they are.
#[derive(Debug)]
pub struct Finder {
    follower: Mutex<Follower>,
    index: RwLock<SpatialIndex>,
    owners: RwLock<Owners>,
    /// Whether the index has everything that was there at the start.
    is_ready: AtomicBool,
    earth: Geodesic,
}

/// How far the index has come. Only who holds its lock changes the index.
#[derive(Debug)]
struct Follower {
    cursor: Cursor,
    /// The cut-off up to which expired clients have been dropped from the index.
    swept_s: u64,
    lines: Vec<u8>,
    /// The record of each line, and where the line ends.
    records: Vec<(u32, usize)>,
}

/// The clients that were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundClients {
    /// Each client; by [`Finder::nearest`] nearest first, and with the metres that it is away.
    pub clients: Vec<(Located, Option<f64>)>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// What the index has in a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The numbers of the records: all that were in the box at the position, and perhaps others.
    pub records: Vec<u32>,
    /// Whether there may be more.
    pub is_cut: bool,
    /// The position in the log of changes up to which the index has everything.
    pub position: u64,
}

/// The index is not complete yet, because the server has just started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index of places is being built since the start: ask again in a second")]
pub struct NotReady;

impl Default for Finder {
    fn default() -> Finder {
        let cursor = Cursor::new(0, Source::NONE);
        Finder {
            follower: Mutex::new(Follower { cursor, swept_s: 0, lines: Vec::new(), records: Vec::new() }),
            index: RwLock::new(SpatialIndex::default()),
            owners: RwLock::default(),
            is_ready: AtomicBool::new(false),
            earth: Geodesic::wgs84(),
        }
    }
}

impl Finder {
    /// Follows the changes until told to finish, and wakes all watchers when there are some: so what wakes a thousand
    /// of them costs a report no more than one.
    pub fn run(&self, member: &Member, changes: &Subscription<'_>, watchers: &Watchers) {
        while !changes.is_stopping() {
            changes.begin_look();
            let mut has_changed = false;
            while !changes.is_stopping() && self.catch_up(member) {
                has_changed = true;
            }
            self.is_ready.store(true, Ordering::Release);
            watchers.notify();
            if has_changed {
                changes.pause_until(clock::deadline(REST));
            } else {
                changes.wait(Duration::MAX);
            }
        }
    }

    /// How many clients the index has.
    pub fn clients(&self) -> usize {
        self.index.read().len()
    }

    /// At most `limit` clients in a box, of those that the asker may see.
    ///
    /// # Errors
    /// If the server has just started.
    pub fn within(
        &self,
        member: &Member,
        area: &Area,
        limit: usize,
        may_see: impl Fn(&Located) -> bool,
    ) -> Result<FoundClients, NotReady> {
        let _permit = member.cpu_permits.acquire();
        self.prepare(member)?;
        let candidates = self.index.read().within(area, CANDIDATES_MAX);
        let mut found = FoundClients { clients: Vec::new(), is_cut: candidates.is_cut };
        for_each_located(member, &candidates.records, |located| {
            let is_inside = |(latitude, longitude)| area.contains(latitude, longitude);
            if !place(located.stored_line()).is_some_and(is_inside) || !may_see(&located) {
                return true;
            }
            if found.clients.len() == limit {
                found.is_cut = true;
                return false;
            }
            found.clients.push((located, None));
            true
        });
        Ok(found)
    }

    /// The records that may be in a box.
    ///
    /// # Errors
    /// If the server has just started.
    pub fn candidates(&self, member: &Member, area: &Area) -> Result<Candidates, NotReady> {
        let _permit = member.cpu_permits.acquire();
        self.prepare(member)?;
        // The position goes first: the index may have come further when it is asked, and never less far.
        let position = self.follower.lock().cursor.position();
        let found = self.index.read().within(area, CANDIDATES_MAX);
        Ok(Candidates { records: found.records, is_cut: found.is_cut, position })
    }

    /// The at most `limit` nearest clients within a radius of a place, of those that the asker may see.
    ///
    /// # Errors
    /// If the server has just started.
    pub fn nearest(
        &self,
        member: &Member,
        near: (f64, f64),
        radius_m: f64,
        limit: usize,
        may_see: impl Fn(&Located) -> bool,
    ) -> Result<FoundClients, NotReady> {
        let _permit = member.cpu_permits.acquire();
        self.prepare(member)?;
        let mut count = limit + 1;
        loop {
            let candidates = self.index.read().nearest(near, radius_m, count);
            let mut clients = Vec::new();
            for_each_located(member, &candidates.records, |located| {
                let Some((latitude, longitude)) = place(located.stored_line()) else { return true };
                let metres = self.earth.inverse(near.0, near.1, latitude, longitude);
                if metres <= radius_m && may_see(&located) {
                    clients.push((located, Some(metres)));
                }
                true
            });
            // There are more only if the index has named as many as it was asked for.
            let has_more = candidates.is_cut || candidates.records.len() >= count;
            if clients.len() <= limit && has_more && count < CANDIDATES_MAX {
                count = (4 * count).min(CANDIDATES_MAX);
                continue;
            }
            clients.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal));
            let is_cut = clients.len() > limit || has_more;
            clients.truncate(limit);
            return Ok(FoundClients { clients, is_cut });
        }
    }

    /// Passes clients to `look`, those that changed last first, until it has seen enough: all, or those of users, each
    /// with the clients that do not bear the user's name; but not the one with the name `except`. Somewhat more than
    /// `limit` are found, if there are as many. A client that is new counts as its user's when the thread has seen it.
    pub fn newest<'u>(
        &self,
        member: &Member,
        users: Option<impl Iterator<Item = (&'u str, &'u [String])>>,
        except: &[u8],
        limit: usize,
        mut look: impl FnMut(&Sighting<'_>, Option<Attributes<'_>>) -> bool,
    ) {
        let found_max = 2 * limit + 1;
        let mut records = match users {
            None => member.read(|node| newest_records(node.store(), found_max, NEWEST_ENTRIES_MAX)),
            Some(users) => self.newest_of(member, users),
        };
        let own = member.read(|node| record_of(node.store(), except));
        records.retain(|&record| Some(record) != own);
        records.truncate(found_max);
        if !records.is_empty() {
            let _permit = member.cpu_permits.acquire();
            for_each_line(member, &records, |line| {
                seen_in(line).is_none_or(|(sighting, attributes)| look(&sighting, attributes))
            });
        }
    }

    /// The records of users, those that changed last first.
    fn newest_of<'u>(
        &self,
        member: &Member,
        users: impl Iterator<Item = (&'u str, &'u [String])>,
    ) -> Vec<u32> {
        let (mut records, mut listed) = (Vec::new(), Vec::new());
        let owners = self.owners.read();
        for (user, clients) in users.take(USERS_MAX) {
            records.extend(owners.of(user).take(CANDIDATES_MAX - records.len()));
            listed.extend(clients.iter().take(CANDIDATES_MAX - listed.len()));
        }
        drop(owners);
        for listed in listed.chunks(SCAN_RECORDS_MAX) {
            let record = |client: &&String| member.read(|node| record_of(node.store(), client.as_bytes()));
            records.extend(listed.iter().filter_map(record));
        }
        let mut newest = Vec::with_capacity(records.len());
        for records in records.chunks(SCAN_RECORDS_MAX) {
            member.read(|node| {
                newest.extend(records.iter().map(|&record| (seq_of(node.store(), record), record)))
            });
        }
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.dedup();
        newest.into_iter().map(|(_, record)| record).collect()
    }

    fn prepare(&self, member: &Member) -> Result<(), NotReady> {
        let is_ready = self.is_ready.load(Ordering::Acquire);
        let scans_max = if is_ready { SCANS_OF_A_QUESTION } else { SCANS_OF_THE_FIRST };
        let has_all = (0..scans_max).any(|_| !self.catch_up(member));
        if has_all && !is_ready {
            self.is_ready.store(true, Ordering::Release);
        }
        if has_all || is_ready { Ok(()) } else { Err(NotReady) }
    }

    /// Brings a few changes into the index; whether there may be more.
    fn catch_up(&self, member: &Member) -> bool {
        let mut follower = self.follower.lock();
        let Follower { cursor, swept_s, lines, records } = &mut *follower;
        lines.clear();
        records.clear();
        let durable_seq = member.durable_seq();
        let (scanned, cutoff_s) = member.read(|node| {
            let store = node.store();
            let scanned = cursor.scan(store, durable_seq, SCAN_RECORDS_MAX, |change, line| {
                lines.extend_from_slice(line);
                records.push((change.record, lines.len()));
            });
            (scanned, Some(store.expiry.cutoff_s()).filter(|&cutoff_s| store.expiry.is_swept_to(cutoff_s)))
        });
        if scanned.position() > cursor.position() {
            let mut start = 0;
            let owners = self.owners.read();
            let changed: Vec<_> = records
                .iter()
                .map(|&(record, end)| {
                    let line = &lines[std::mem::replace(&mut start, end)..end];
                    (record, place(line), client(line).map_or(0, |client| owners.hash_of(client)))
                })
                .collect();
            drop(owners);
            let mut index = self.index.write();
            changed.iter().for_each(|&(record, place, _)| index.set(record, place));
            drop(index);
            let mut owners = self.owners.write();
            changed.iter().for_each(|&(record, _, user)| owners.set(record, user));
            drop(owners);
            cursor.advance(scanned);
            return true;
        }
        // Clients that expire do not come through the log.
        if let Some(cutoff_s) = cutoff_s.filter(|cutoff_s| cutoff_s != swept_s) {
            self.drop_vacant(member);
            *swept_s = cutoff_s;
        }
        false
    }

    /// Drops what is not stored any more. If another client takes the place of a record meanwhile, that is a change,
    /// which is seen later.
    fn drop_vacant(&self, member: &Member) {
        let end = self.index.read().end();
        for from in (0..end).step_by(SCAN_RECORDS_MAX) {
            let to = end.min(from + SCAN_RECORDS_MAX as u32);
            let known: Vec<u32> = {
                let index = self.index.read();
                (from..to).filter(|&record| index.has(record)).collect()
            };
            let vacant: Vec<u32> = member.read(|node| {
                let is_vacant = |record: &u32| node.store().change_at(*record).is_none();
                known.into_iter().filter(is_vacant).collect()
            });
            if !vacant.is_empty() {
                let mut index = self.index.write();
                vacant.iter().for_each(|&record| index.set(record, None));
                drop(index);
                let mut owners = self.owners.write();
                vacant.into_iter().for_each(|record| owners.set(record, 0));
            }
        }
    }
}

/// Looks up records, a few at a time under the read lock, until `look` has seen enough.
fn for_each_located(member: &Member, records: &[u32], mut look: impl FnMut(Located) -> bool) {
    for_each_line(member, records, |line| Located::new(line.to_vec()).is_none_or(&mut look));
}

/// Looks up the stored lines of records in the same way.
fn for_each_line(member: &Member, records: &[u32], mut look: impl FnMut(&[u8]) -> bool) {
    let count = records.len().min(SCAN_RECORDS_MAX);
    let (mut lines, mut ends) = (Vec::with_capacity(count * LINE_BYTES), Vec::with_capacity(count));
    for records in records.chunks(SCAN_RECORDS_MAX) {
        lines.clear();
        ends.clear();
        // Only copied here: the processor then fetches several records from memory at once.
        member.read(|node| {
            for line in records.iter().filter_map(|&record| line_at(node.store(), record)) {
                lines.extend_from_slice(line);
                ends.push(lines.len());
            }
        });
        let mut start = 0;
        if !ends.iter().all(|&end| look(&lines[std::mem::replace(&mut start, end)..end])) {
            return;
        }
    }
}
