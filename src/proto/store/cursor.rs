//! A position in the log of changes, and the rules of what is due to a follower from there.
//!
//! Every follower of the changes holds one: a link to a neighbour, and whatever else wants to know of them. A follower
//! copies what is due with [`Cursor::scan`], sends it, and then calls [`Cursor::advance`]: a position moves only after
//! the lines before it were sent. These are the rules of what is due:
//! - Only durable changes are: nothing is sent that a crash of ours could undo.
//! - Split horizon: a change that was learned from the follower is not, because the follower has it.
//! - A superseded change is not, because what superseded it will be. But until that is durable a crash undoes it, and
//!   the older change, which the journal has, is true again. So the follower is not told that it has everything up to
//!   there ([`Cursor::safe`]) until what superseded it is durable: then a crash leaves that, with a greater sequence
//!   number, to be told.

use crate::proto::store::change_log::Change;
use crate::proto::store::record::Record;
use crate::proto::store::update::Source;
use crate::proto::store::{SCAN_RECORDS_MAX, Store};

/// The most entries of the log that one scan looks at, those included that are skipped.
const SCAN_ENTRIES_MAX: usize = 4 * SCAN_RECORDS_MAX;

/// The most entries of the log whose hashes are taken at once: they are shorter than lines.
pub const HASHES_MAX: usize = 16 * SCAN_RECORDS_MAX;

/// A position in the log of changes.
#[derive(Debug)]
pub struct Cursor {
    position: u64,
    follower: Source,
    /// The changes that were passed on the way here and are superseded by what is not durable yet.
    superseded: Vec<SupersededRange>,
}

/// What one scan has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cursor moves only after its lines were sent"]
pub struct Scanned {
    /// The position up to which every change has been looked at.
    position: u64,
    /// How many lines were copied.
    lines: usize,
    /// The changes that were superseded by one that is not durable.
    superseded: Option<SupersededRange>,
    durable: u64,
}

/// Superseded changes of one scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SupersededRange {
    /// The sequence number of the first of them.
    first: u64,
    /// The greatest sequence number of what has superseded them.
    superseded_by: u64,
}

/// The last change that a crash could not undo, as the store was last told: there may be later ones.
pub(crate) fn durable_seq(store: &Store) -> u64 {
    store.log.flushed().durable
}

impl Cursor {
    /// The cursor of a follower that has everything up to `position`. What was learned from `follower` is not due to
    /// it; [`Source::NONE`] is a follower that learns everything from us.
    pub fn new(position: u64, follower: Source) -> Cursor {
        Cursor { position, follower, superseded: Vec::new() }
    }

    /// The sequence number up to which every change was sent or need not be.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether there are durable changes after the position. `durable` is the sequence number of the last change that a
    /// crash could not undo.
    pub fn is_behind(&self, store: &Store, durable: u64) -> bool {
        self.position < store.last_seq().min(durable)
    }

    /// Appends the lines of at most `records_max` records that are due.
    pub fn copy(&self, store: &Store, durable: u64, records_max: usize, out: &mut Vec<u8>) -> Scanned {
        self.scan(store, durable, records_max, |_, line| out.extend_from_slice(line))
    }

    /// Calls `push` with the last change and the line of at most `records_max` records that are due.
    pub fn scan(
        &self,
        store: &Store,
        durable: u64,
        records_max: usize,
        mut push: impl FnMut(Change, &[u8]),
    ) -> Scanned {
        let push = |change, record: &Record| push(change, record.line.bytes());
        self.scan_records(store, durable, (SCAN_ENTRIES_MAX, records_max), push)
    }

    /// Appends the hashes of at most [`HASHES_MAX`] records that are due.
    pub fn hashes(&self, store: &Store, durable: u64, out: &mut Vec<u64>) -> Scanned {
        self.scan_records(store, durable, (HASHES_MAX, HASHES_MAX), |_, record| out.push(record.digest))
    }

    fn scan_records(
        &self,
        store: &Store,
        durable: u64,
        (entries_max, records_max): (usize, usize),
        mut push: impl FnMut(Change, &Record),
    ) -> Scanned {
        let mut scanned = self.here(durable);
        if !self.is_behind(store, durable) {
            return scanned;
        }
        let mut changes = store.log.after(self.position);
        for change in changes.by_ref().take(entries_max) {
            if scanned.lines == records_max || change.seq > durable {
                return scanned;
            }
            scanned.position = change.seq;
            let record = &store.records[change.record];
            let latest = store.log.seq_of(change.record);
            if latest > durable {
                scanned.superseded = Some(SupersededRange::and(scanned.superseded, change.seq, latest));
            } else if latest == change.seq && record.meta.source != self.follower {
                push(change, record);
                scanned.lines += 1;
            }
        }
        if changes.next().is_none() {
            // After a recovery the last sequence number is greater than that of any change.
            scanned.position = scanned.position.max(durable.min(store.last_seq()));
        }
        scanned
    }

    /// What a scan has come to that has found nothing.
    pub fn here(&self, durable: u64) -> Scanned {
        Scanned { position: self.position, lines: 0, superseded: None, durable }
    }

    /// The position up to which the follower has everything, whatever happens to us, once what was scanned has been
    /// sent.
    pub fn safe(&self, scanned: Scanned) -> u64 {
        let ranges = self.superseded.iter().chain(&scanned.superseded);
        let open = ranges.filter(|range| range.superseded_by > scanned.durable);
        open.map(|range| range.first - 1).fold(scanned.position, u64::min)
    }

    /// Moves the position: what was scanned has been sent.
    pub fn advance(&mut self, scanned: Scanned) {
        self.position = scanned.position;
        self.superseded.retain(|range| range.superseded_by > scanned.durable);
        self.superseded.extend(scanned.superseded);
    }

    /// Moves the position without sending what is due before it.
    pub fn skip_to(&mut self, position: u64) {
        self.position = position;
    }
}

impl Scanned {
    /// The position that [`Cursor::advance`] moves to.
    pub fn position(self) -> u64 {
        self.position
    }

    /// How many lines were copied.
    pub fn lines(self) -> usize {
        self.lines
    }
}

impl SupersededRange {
    /// The changes `before` and one that comes after them.
    fn and(before: Option<SupersededRange>, seq: u64, superseded_by: u64) -> SupersededRange {
        let SupersededRange { first, superseded_by: most } =
            before.unwrap_or(SupersededRange { first: seq, superseded_by });
        SupersededRange { first, superseded_by: most.max(superseded_by) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::epoch::Epoch;
    use crate::proto::store::update::Update;

    /// A store to which each of these clients has reported in turn, each time a second later.
    fn store(clients: &str, source: Source) -> Store {
        let mut store = Store::new();
        for (time, client) in clients.chars().enumerate() {
            let line = format!("AT A +1 {client} +1+1 {}\n", time + 1);
            store.merge(&Update::from_stored(line.as_bytes(), source).unwrap());
        }
        store
    }

    fn copied(cursor: &Cursor, store: &Store, durable: u64) -> (Scanned, String) {
        let mut out = Vec::new();
        let scanned = cursor.copy(store, durable, 64, &mut out);
        let lines = String::from_utf8(out).unwrap();
        (scanned, lines.lines().map(|line| line.split(' ').nth(3).unwrap()).collect())
    }

    #[test]
    fn only_durable_changes_are_due() {
        let store = store("abc", Source::CLIENT);
        let mut cursor = Cursor::new(0, Source::NONE);
        for (durable, due) in [(0, ""), (1, "a"), (1, ""), (9, "bc"), (9, "")] {
            assert_eq!(cursor.is_behind(&store, durable), !due.is_empty());
            let (scanned, clients) = copied(&cursor, &store, durable);
            assert_eq!((&*clients, scanned.lines()), (due, due.len()));
            cursor.advance(scanned);
        }
        assert_eq!(cursor.position(), 3);
    }

    #[test]
    fn changes_learned_from_the_follower_are_not_due() {
        let neighbour = |epoch| Source::neighbour(3, Epoch(epoch));
        let store = store("abc", neighbour(1));
        assert_eq!(copied(&Cursor::new(0, neighbour(1)), &store, 9).1, "");
        assert_eq!(copied(&Cursor::new(0, neighbour(2)), &store, 9).1, "abc", "it has forgotten them");
        assert_eq!(copied(&Cursor::new(0, Source::NONE), &store, 9).1, "abc");
    }

    #[test]
    fn superseded_changes_are_safe_when_what_superseded_them_is_durable() {
        // The changes 2 and 3 are superseded by 5 and 4.
        let store = store("abccb", Source::CLIENT);
        let mut cursor = Cursor::new(0, Source::NONE);
        for (durable, due, safe) in [(3, "a", 1), (4, "c", 1), (5, "b", 5)] {
            let (scanned, clients) = copied(&cursor, &store, durable);
            assert_eq!((&*clients, cursor.safe(scanned)), (due, safe), "{durable}");
            assert_eq!(scanned.position(), durable);
            cursor.advance(scanned);
        }
        assert!(cursor.superseded.is_empty());
    }
}
