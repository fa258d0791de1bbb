//! Expiry: a client that has not reported for so long is dropped, on every server alike.
//!
//! A record is as old as its receipt by the first server, which stands in the record, so it is equally old everywhere.
//! One whose receipt is before the *cut-off* is dropped, and not taken from others. Clocks differ, so servers tell each
//! other their cut-offs in heartbeats and adopt the greatest, and compare what they know only while these are equal.
//! The cut-off moves in steps, because each costs a sweep through everything.

use std::time::Duration;

use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::departed::Departed;
use crate::proto::store::update::{Update, trimmed};

/// The steps of the cut-off in the time after which a record expires: by one of these a record may be late.
const STEPS: u64 = 64;

/// The longest step: a record may be an hour late.
const STEP_S_MAX: u64 = 60 * 60;

/// How far the cut-off of a neighbour may be ahead of that of our own clock. One that is further ahead has a wrong
/// clock, which must not erase what the herd knows; time zones and daylight saving are within.
const LEAD_S_MAX: u64 = 24 * 60 * 60;

/// The records that one sweep looks at: what holds the lock for a tenth of a millisecond.
pub const SWEEP_RECORDS_MAX: usize = 256;

/// Where the cut-off is, and how far the sweep has come.
#[derive(Debug, Default)]
pub struct Expiry {
    /// By our own clock; 0 if nothing expires.
    own_s: u64,
    /// What counts: the greatest of all that were adopted.
    cutoff_s: u64,
    /// Up to where everything has been dropped.
    swept_s: u64,
    next_record: usize,
    /// The clients that expired last.
    pub departed: Departed,
}

impl Expiry {
    /// Sets the cut-off by our own clock, which shows `now_s` seconds since 1970. A cut-off never moves back.
    pub fn set_clock(&mut self, now_s: u64, expire_after: Duration) {
        let step_s = (expire_after.as_secs() / STEPS).clamp(1, STEP_S_MAX);
        self.own_s = (now_s.saturating_sub(expire_after.as_secs()) / step_s * step_s).max(1);
        self.raise(self.own_s);
    }

    /// Adopts the cut-off of a neighbour if ours is behind, unless its clock must be wrong, or nothing expires here.
    pub fn adopt(&mut self, cutoff_s: u64) {
        if self.own_s > 0 && cutoff_s <= self.own_s.saturating_add(LEAD_S_MAX) {
            self.raise(cutoff_s);
        }
    }

    /// The cut-off that counts, in seconds since 1970; 0 if nothing expires.
    pub fn cutoff_s(&self) -> u64 {
        self.cutoff_s
    }

    /// Whether all that is stored is of this cut-off, as at a neighbour with it: only then can both be compared.
    pub fn is_swept_to(&self, cutoff_s: u64) -> bool {
        self.cutoff_s == cutoff_s && self.swept_s == cutoff_s
    }

    /// Whether an update is too old to be stored. One that is must not replace a record that is not, or both are lost.
    pub(super) fn has_update_expired(&self, update: &Update<'_>) -> bool {
        // Nearly every report is received after its time, so that its time alone shows that it is young enough.
        let is_young = update.meta.moment.seconds >= self.cutoff_s && update.has_positive_skew();
        !is_young && self.has_expired(update.line)
    }

    /// Whether a stored line is too old to be stored.
    pub(super) fn has_expired(&self, line: &[u8]) -> bool {
        let received_s = || StoredLine::parse(trimmed(line)).map(|stored| stored.received_s());
        self.cutoff_s > 0 && received_s().is_ok_and(|received_s| received_s < self.cutoff_s)
    }

    /// The record with which a sweep goes on, if there is one to be done.
    pub(super) fn next_to_sweep(&self) -> Option<usize> {
        (self.swept_s < self.cutoff_s).then_some(self.next_record)
    }

    /// A sweep has come so far, or is done.
    pub(super) fn swept_to(&mut self, next_record: Option<usize>) {
        self.next_record = next_record.unwrap_or_default();
        if next_record.is_none() {
            self.swept_s = self.cutoff_s;
        }
    }

    fn raise(&mut self, cutoff_s: u64) {
        if cutoff_s > self.cutoff_s {
            self.cutoff_s = cutoff_s;
            self.next_record = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn cutoff_moves_in_steps_and_never_back() {
        let mut expiry = Expiry::default();
        expiry.adopt(99);
        assert_eq!(expiry.cutoff_s(), 0, "nothing expires here");
        expiry.set_clock(1_700_000_000, 30 * DAY);
        let first = expiry.cutoff_s();
        assert_eq!(first, (1_700_000_000 - 30 * 86_400) / 3_600 * 3_600);
        expiry.set_clock(1_600_000_000, 30 * DAY);
        assert_eq!(expiry.cutoff_s(), first);
        assert!(!expiry.is_swept_to(first));
        expiry.swept_to(None);
        assert!(expiry.is_swept_to(first) && !expiry.is_swept_to(first + 3_600));
    }

    #[test]
    fn clock_that_is_a_day_ahead_is_believed_and_one_that_is_further_ahead_is_not() {
        let mut expiry = Expiry::default();
        expiry.set_clock(1_700_000_000, 30 * DAY);
        let own = expiry.cutoff_s();
        expiry.adopt(own + LEAD_S_MAX + 1);
        assert_eq!(expiry.cutoff_s(), own);
        expiry.adopt(own + LEAD_S_MAX);
        assert_eq!(expiry.cutoff_s(), own + LEAD_S_MAX);
    }
}
