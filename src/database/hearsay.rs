//! What a database says, as updates: it is merged as what a neighbour says is.

use super::order;
use crate::member::Member;
use crate::proto::store::update::{Reject, Source, Update, Updates};

/// Lines that the database has.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    lines: Vec<u8>,
    ends: Vec<usize>,
}

impl Hearsay {
    /// The values that servers of ours have written. Others are left out.
    pub(super) fn of<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Hearsay {
        let mut hearsay = Hearsay::default();
        for line in values.into_iter().filter_map(order::stored_of) {
            hearsay.lines.extend_from_slice(&line);
            hearsay.ends.push(hearsay.lines.len());
        }
        hearsay
    }

    /// Merges all, and wakes those who follow the changes. It need not be durable, because the database has it.
    pub(super) fn merge_into(mut self, member: &Member) -> usize {
        let (applied, lsn) = member.apply(&mut self);
        // If it cannot be made durable, followers are not told before it can.
        let _ = member.persist(lsn);
        if applied.applied > 0 {
            member.metrics.applied.add(applied.applied as u64);
            member.notifiers.notify(member);
        }
        applied.applied
    }
}

impl Updates for Hearsay {
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let end = *self.ends.get(i)?;
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        Update::from_stored(&self.lines[start..end], Source::DATABASE)
    }

    /// Only clients that register themselves are rejected.
    fn reject(&mut self, _: usize, _: Reject) {}
}
