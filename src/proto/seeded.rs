//! The hash of names in the store's table: SipHash-1-3 with a secret key, which nobody can aim at without knowing it.
//!
//! It is the hash of the standard library's maps, for a name that is there as a whole: the hasher there takes bytes in
//! pieces, and needs twice the instructions.

use std::hash::{BuildHasher, RandomState};

/// A key that no other store has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64, u64);

/// What SipHash remembers while it hashes.
struct State([u64; 4]);

impl Seed {
    /// A key from the random numbers of the operating system.
    pub(super) fn random() -> Seed {
        let random = RandomState::new();
        Seed(random.hash_one(0), random.hash_one(1))
    }

    /// The hash of a name.
    #[inline(always)]
    pub(super) fn hash(self, name: &[u8]) -> u64 {
        // The words that spell "somepseudorandomlygeneratedbytes" are the algorithm's own.
        let mut state = State([
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ]);
        let (words, _) = name.as_chunks();
        for word in words {
            state.take(u64::from_le_bytes(*word));
        }
        state.take(rest(name) | (name.len() as u64) << 56);
        state.finish()
    }
}

impl State {
    #[inline(always)]
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline(always)]
    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        for _ in 0..3 {
            self.round();
        }
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    #[inline(always)]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32).wrapping_add(*d);
        *c = c.wrapping_add(*b);
        *d = d.rotate_left(21) ^ *a;
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

/// The bytes of a name behind its last whole word, as a word.
#[inline(always)]
fn rest(name: &[u8]) -> u64 {
    match name.last_chunk() {
        // Those before them are shifted out: by eight bytes in two steps if there is no rest.
        Some(last) => (u64::from_le_bytes(*last) >> 8) >> (56 - 8 * (name.len() % 8)),
        None => name.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher};

    #[test]
    fn it_is_the_hash_of_the_standard_library() {
        let text: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(151)).collect();
        for len in 0..text.len() {
            for start in 0..text.len() - len {
                let name = &text[start..start + len];
                // Its key is zero.
                let mut hasher = DefaultHasher::new();
                hasher.write(name);
                assert_eq!(Seed(0, 0).hash(name), hasher.finish(), "{name:?}");
            }
        }
    }

    #[test]
    fn both_halves_of_the_key_count_and_no_two_stores_have_the_same() {
        let hash = |seed: Seed| seed.hash(b"kiwi.cs.ucla.edu");
        assert_ne!(hash(Seed(0, 0)), hash(Seed(1, 0)));
        assert_ne!(hash(Seed(0, 0)), hash(Seed(0, 1)));
        assert_ne!(hash(Seed(1, 0)), hash(Seed(0, 1)));
        assert_ne!(hash(Seed::random()), hash(Seed::random()));
    }
}
