//! What two servers do about a difference that should not be there.
//!
//! With every acknowledgement of a beat the neighbour sends its fingerprint if that differs from ours. In a busy herd
//! it nearly always does, for there is something on its way. A bucket that is the same as one beat ago on both
//! sides, and still differs, although everything that either side knew one beat ago has been merged by the other,
//! has drifted apart. Both sides find that out for themselves and tell the whole bucket again.

use crate::proto::bug::Bug;
use crate::proto::node::Identity;
use crate::proto::store::Store;
use crate::proto::store::digest::{BUCKETS, BucketDigests};

/// Both sides' fingerprints at one beat.
#[derive(Debug)]
pub(crate) struct Compared {
    ours: BucketDigests,
    theirs: BucketDigests,
    our_number: u64,
    their_number: u64,
}

/// The buckets to be told again, and how far that has come.
#[derive(Debug)]
pub(crate) struct Repair {
    chosen: Box<[bool; BUCKETS]>,
    next_record: usize,
}

impl Compared {
    /// Our store, and the fingerprint of a neighbour whose last change has `their_number`.
    pub(crate) fn of(store: &Store, their_number: u64, theirs: BucketDigests) -> Compared {
        let ours = store.digest().sums().clone();
        Compared { ours, theirs, our_number: store.last_seq(), their_number }
    }

    fn is_as(&self, before: &Compared, bucket: usize) -> bool {
        self.ours[bucket] == before.ours[bucket] && self.theirs[bucket] == before.theirs[bucket]
    }
}

impl Repair {
    /// What has drifted apart between two beats, if anything has: `acknowledged` is how far the neighbour has merged
    /// what we told it, `heard` how far we have merged what it told us.
    pub(crate) fn of(
        me: &Identity,
        before: &Compared,
        now: &Compared,
        acknowledged: u64,
        heard: u64,
    ) -> Option<Repair> {
        let is_eager = me.has(Bug::RepairTooEager);
        let before = if is_eager { now } else { before };
        let all_is_told = acknowledged >= before.our_number && heard >= before.their_number;
        if me.has(Bug::RepairSkipped) || !(all_is_told || is_eager) {
            return None;
        }
        let drifted = |bucket: usize| now.is_as(before, bucket) && now.ours[bucket] != now.theirs[bucket];
        let chosen: Box<[bool; BUCKETS]> = Box::new(std::array::from_fn(drifted));
        chosen.contains(&true).then_some(Repair { chosen, next_record: 0 })
    }

    /// How many buckets have drifted apart.
    pub(crate) fn buckets(&self) -> usize {
        self.chosen.iter().filter(|&&chosen| chosen).count()
    }

    /// Appends the next lines, of what has no greater number than `until`; returns where to go on, or `None` if that
    /// was all.
    pub(crate) fn push_next_to(&self, store: &Store, until: u64, out: &mut Vec<u8>) -> Option<usize> {
        store.scan_buckets(&self.chosen, self.next_record, until, out)
    }

    /// What came before this record has been told.
    pub(crate) fn go_on_at(&mut self, record: usize) {
        self.next_record = record;
    }
}
