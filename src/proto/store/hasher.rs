//! The hash of names in the store's table. It is seeded, so that no client can choose names that collide in it.
//!
//! foldhash takes a third of the instructions of SipHash, the hash of the standard library's maps, and promises less:
//! an attacker who sees hashes could derive its secret. These hashes never leave the server. What an attacker can see
//! is how long a reply takes, in which a single search is a few nanoseconds.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// The part of the secret that all stores of a process have. foldhash would make it of addresses and the time.
static SHARED: OnceLock<SharedSeed> = OnceLock::new();

/// Hashes names with a secret that no other store has.
#[derive(Clone, Debug)]
pub(crate) struct NameHasher(SeedableRandomState);

impl NameHasher {
    /// With a secret from the random numbers of the operating system.
    pub(crate) fn random() -> NameHasher {
        let random = RandomState::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random.hash_one(0)));
        NameHasher(SeedableRandomState::with_seed(random.hash_one(1), shared))
    }

    /// The hash of a name.
    #[inline(always)]
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        // Hashing it as a value would hash its length too, which keeps values apart that follow each other.
        let mut hasher = self.0.build_hasher();
        hasher.write(name);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_do_not_collide_and_no_two_stores_hash_alike() {
        let (one, other) = (NameHasher::random(), NameHasher::random());
        let mut hashes = BTreeSet::new();
        for number in 0..10_000 {
            // Of every length from one to a hundred bytes.
            let name = format!("{number}{}", "x".repeat(number % 97));
            assert_eq!(one.hash(name.as_bytes()), one.hash(name.as_bytes()));
            assert_ne!(one.hash(name.as_bytes()), other.hash(name.as_bytes()));
            assert!(hashes.insert(one.hash(name.as_bytes())), "{name}");
        }
        // As many as there can be: the lowest bits choose the place in a table, the seven highest what is looked at.
        let ends = |end: fn(u64) -> u64| hashes.iter().map(|&hash| end(hash)).collect::<BTreeSet<_>>().len();
        assert_eq!((ends(|hash| hash % 256), ends(|hash| hash >> 57)), (256, 128));
    }
}
