//! The hashes of the records that came of late: by them a server knows whether it has what a neighbour says to have.

use std::fmt;

/// The hashes that are remembered, in 256 KiB. A neighbour asks for a record within a tenth of a second, in which a
/// server merges some ten thousand at most. A hash that is forgotten too early costs a line that was known.
const HASHES_MAX: usize = 32 * 1024;

/// The hashes that share a place: the oldest of them gives way. With a few thousand within the time that counts, it is
/// never one of these.
const PLACE_HASHES: usize = 8;

/// How many places there are.
const PLACES: usize = HASHES_MAX / PLACE_HASHES;

/// Hashes of records, as they are in digests.
pub struct RecentHashes {
    places: Vec<[u64; PLACE_HASHES]>,
}

impl RecentHashes {
    /// Adds the hash of a record that was merged, or was outdated when it came.
    #[inline]
    pub fn insert(&mut self, hash: u64) {
        let hashes = &mut self.places[place_of(hash)];
        hashes.copy_within(..PLACE_HASHES - 1, 1);
        hashes[0] = hash;
    }

    /// Whether it is remembered.
    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        // An empty place is full of zeros.
        hash != 0 && self.places[place_of(hash)].contains(&hash)
    }
}

fn place_of(hash: u64) -> usize {
    hash as usize % PLACES
}

impl Default for RecentHashes {
    /// None.
    fn default() -> RecentHashes {
        RecentHashes { places: vec![[0; PLACE_HASHES]; PLACES] }
    }
}

impl fmt::Debug for RecentHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentHashes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_hashes_are_remembered() {
        let (mut recent, mut random) = (RecentHashes::default(), fastrand::Rng::with_seed(1));
        let hashes: Vec<u64> = (0..2 * HASHES_MAX).map(|_| random.u64(1..)).collect();
        assert!(!recent.contains(hashes[0]) && !recent.contains(0));
        for (at, &hash) in hashes.iter().enumerate() {
            recent.insert(hash);
            assert!(recent.contains(hash) && recent.contains(hashes[at - at.min(HASHES_MAX / 16)]));
        }
        assert!(!recent.contains(hashes[0]), "it has a bound");
    }
}
