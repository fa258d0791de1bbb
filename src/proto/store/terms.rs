//! What the servers of a herd tell each other of their bounds, so that all keep to the same.

/// What a heartbeat says beside positions and digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The cut-off of expiry, in seconds since 1970; 0 if nothing expires. See [`crate::proto::store::expiry`].
    pub cutoff_s: u64,
    /// The least memory for clients.
    pub memory: MemoryBound,
}

/// The memory that a server has for clients, as it is told on through the herd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// In bytes.
    pub bytes_max: u64,
    /// How many links it has come along.
    pub hops: u32,
}

/// The most links that a bound is told along. In a ring a bound that no server has any more would be told on for ever.
const HOPS_MAX: u32 = 64;

/// The bound of our own memory, and those that neighbours have told. New clients are refused by the least of them: what
/// one server takes, all must keep.
#[derive(Debug)]
pub(crate) struct MemoryBounds {
    own_bytes_max: u64,
    /// By neighbour: what it told last. It counts while the neighbour is away too, because it will be back.
    told: Vec<Option<MemoryBound>>,
}

impl MemoryBounds {
    pub(crate) fn new(own_bytes_max: u64, neighbours: usize) -> MemoryBounds {
        MemoryBounds { own_bytes_max, told: vec![None; neighbours] }
    }

    /// A neighbour has told this.
    pub(crate) fn hear(&mut self, neighbour: usize, bound: MemoryBound) {
        self.told[neighbour] = (bound.hops < HOPS_MAX).then_some(bound);
    }

    /// There is one more neighbour.
    pub(crate) fn add_neighbour(&mut self) {
        self.told.push(None);
    }

    /// What a neighbour has told counts no more.
    pub(crate) fn forget(&mut self, neighbour: usize) {
        self.told[neighbour] = None;
    }

    /// The least bound that is known, in bytes.
    pub(crate) fn least(&self) -> u64 {
        self.told.iter().flatten().map(|bound| bound.bytes_max).fold(self.own_bytes_max, u64::min)
    }

    /// What a neighbour is told: the least bound that is known from elsewhere.
    pub(crate) fn told_to(&self, neighbour: usize) -> MemoryBound {
        let others = self.told.iter().enumerate().filter(|(index, _)| *index != neighbour);
        let heard = others.filter_map(|(_, bound)| *bound);
        let passed_on = heard.map(|bound| MemoryBound { hops: bound.hops + 1, ..bound });
        let own = MemoryBound { bytes_max: self.own_bytes_max, hops: 0 };
        passed_on.fold(own, |least, bound| {
            if (bound.bytes_max, bound.hops) < (least.bytes_max, least.hops) { bound } else { least }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers in a ring, each with the neighbours before and behind it.
    fn ring(bytes: &[u64]) -> Vec<MemoryBounds> {
        bytes.iter().map(|&bytes_max| MemoryBounds::new(bytes_max, 2)).collect()
    }

    /// A heartbeat on every link.
    fn beat(ring: &mut [MemoryBounds]) {
        let count = ring.len();
        for at in 0..count {
            let (before, behind) = (ring[at].told_to(0), ring[at].told_to(1));
            ring[(at + count - 1) % count].hear(1, before);
            ring[(at + 1) % count].hear(0, behind);
        }
    }

    #[test]
    fn least_bound_is_known_everywhere_and_a_bound_that_is_gone_is_forgotten() {
        let mut ring = ring(&[100, 70, 80, 90, 100]);
        (0..5).for_each(|_| beat(&mut ring));
        assert!(ring.iter().all(|bounds| bounds.least() == 70));
        ring[1].own_bytes_max = 200;
        (0..200).for_each(|_| beat(&mut ring));
        assert!(ring.iter().all(|bounds| bounds.least() == 80), "{ring:?}");
    }
}
