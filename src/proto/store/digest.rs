//! The digest: a fingerprint of everything that a server knows, in buckets, updated on every change.
//!
//! It crosses the wire, so every hash in it is one with a specified output: XXH3, 64 bits, seed 0.

use xxhash_rust::xxh3::xxh3_64;

/// How many buckets the clients are spread over. One that differs between two servers names a 256th of the
/// clients to compare, and all of them together are two kilobytes.
pub const BUCKETS: usize = 256;

/// The digest of each bucket: the sum of the hashes of its records.
pub type BucketDigests = Box<[u64; BUCKETS]>;

/// The bucket of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(pub u8);

/// A fingerprint of all records. It does not depend on the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    buckets: BucketDigests,
}

impl Bucket {
    /// The bucket that holds the client with this name.
    pub fn of(client: &[u8]) -> Bucket {
        Bucket(xxh3_64(client) as u8)
    }
}

/// The hash of one record: of its `AT` line without the line feed.
pub fn record_hash(line: &[u8]) -> u64 {
    xxh3_64(line)
}

/// The hash of a report, by which it is known again whatever server repeats it and whatever that has rewritten: of the
/// client, the location and the time, as they end an `AT` line, without the line feed.
pub fn report_hash(report: &[u8]) -> u64 {
    xxh3_64(report)
}

impl Digest {
    /// The fingerprint of knowing nothing.
    pub fn empty() -> Digest {
        Digest { buckets: Box::new([0; BUCKETS]) }
    }

    /// Replaces a record's hash; `old` is 0 for a new client.
    pub fn replace(&mut self, bucket: Bucket, old: u64, new: u64) {
        let sum = &mut self.buckets[usize::from(bucket.0)];
        *sum = sum.wrapping_sub(old).wrapping_add(new);
    }

    /// The digest of each bucket.
    pub fn buckets(&self) -> &BucketDigests {
        &self.buckets
    }

    /// The whole fingerprint in one number, for people to compare.
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |total, sum| u64::wrapping_add(total.rotate_left(1), *sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_specified_ones() {
        // Test values of the XXH3 reference implementation: the empty input, seed 0.
        assert_eq!(record_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(Bucket::of(b""), Bucket(0xc2));
    }

    #[test]
    fn digest_depends_on_the_records_and_not_on_their_order() {
        let (mut one, mut other) = (Digest::empty(), Digest::empty());
        one.replace(Bucket(7), 0, 11);
        one.replace(Bucket(7), 0, 22);
        other.replace(Bucket(7), 0, 22);
        other.replace(Bucket(7), 0, 99);
        assert_ne!(one, other);
        other.replace(Bucket(7), 99, 11);
        assert_eq!(one, other);
        assert_eq!((one.buckets()[7], one.buckets()[8]), (33, 0));
        assert_ne!(one.total(), Digest::empty().total());
    }
}
