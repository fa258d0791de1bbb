//! fold
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
static SHARED: OnceLock<SharedSeed> = OnceLock::new();
#[derive(Clone, Debug)]
pub(super) struct Seed(SeedableRandomState);
impl Seed {
    pub(super) fn random() -> Seed {
        let random = RandomState::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random.hash_one(0)));
        Seed(SeedableRandomState::with_seed(random.hash_one(1), shared))
    }
    #[inline(always)]
    pub(super) fn hash(&self, name: &[u8]) -> u64 {
        let mut h = self.0.build_hasher();
        h.write(name);
        h.finish()
    }
}
