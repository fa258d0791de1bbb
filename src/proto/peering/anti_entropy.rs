//! Anti-entropy: two servers repair a difference that should not be there.
//!
//! With every acknowledgement of a heartbeat the neighbour sends its bucket digests if its digest differs from ours. In
//! a busy herd it nearly always does, because some update is on its way. A bucket that is the same as one heartbeat ago
//! on both sides, and still differs, although everything that either side knew one heartbeat ago has been merged by the
//! other, has drifted apart. Both sides find that out for themselves and send the whole bucket again.

use crate::proto::store::Store;
use crate::proto::store::digest::{BUCKETS, BucketDigests};

/// Both sides' bucket digests at one heartbeat.
#[derive(Debug)]
pub(crate) struct Compared {
    ours: BucketDigests,
    theirs: BucketDigests,
    our_seq: u64,
    their_seq: u64,
}

/// The buckets to be sent again, and how far that has come.
#[derive(Debug)]
pub(crate) struct Repair {
    chosen: Box<[bool; BUCKETS]>,
    next_record: usize,
}

impl Compared {
    /// Our store, and the bucket digests of a neighbour whose last change has the sequence number `their_seq`.
    pub(crate) fn of(store: &Store, their_seq: u64, theirs: BucketDigests) -> Compared {
        let ours = store.digest().buckets().clone();
        Compared { ours, theirs, our_seq: store.last_seq(), their_seq }
    }

    fn is_as(&self, before: &Compared, bucket: usize) -> bool {
        self.ours[bucket] == before.ours[bucket] && self.theirs[bucket] == before.theirs[bucket]
    }
}

impl Repair {
    /// The repair of the buckets that have drifted apart between two heartbeats, if there are any: `acknowledged` is
    /// how far the neighbour has merged our changes, `received_up_to` how far we have merged the neighbour's.
    pub(crate) fn of(
        before: &Compared,
        now: &Compared,
        acknowledged: u64,
        received_up_to: u64,
    ) -> Option<Repair> {
        let all_is_merged = acknowledged >= before.our_seq && received_up_to >= before.their_seq;
        if !all_is_merged {
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

    /// Appends the next lines, of records whose last change is `durable`; returns where to go on, or `None` if those
    /// were all.
    pub(crate) fn push_next_to(&self, store: &Store, durable: u64, out: &mut Vec<u8>) -> Option<usize> {
        store.scan_buckets(&self.chosen, self.next_record, durable, out)
    }

    /// Every record before this one has been sent.
    pub(crate) fn go_on_at(&mut self, record: usize) {
        self.next_record = record;
    }
}
