//! How connections are divided among the threads of the generator.

/// The part of one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shard {
    pub(super) first: usize,
    pub(super) count: usize,
    /// How many of them send: the first ones.
    pub(super) active: usize,
}

impl Shard {
    /// The part of thread number `part` of `parts`.
    pub(super) fn of(part: u32, parts: u32, connections: u32, active: u32) -> Shard {
        // The remainders go to the first parts.
        let share = |all: u32| all / parts + u32::from(part < all % parts);
        let first = part * (connections / parts) + part.min(connections % parts);
        Shard { first: first as usize, count: share(connections) as usize, active: share(active) as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_one_thread() {
        for (parts, connections, active) in [(1, 1, 1), (3, 7, 4), (4, 10_000, 102), (5, 5, 5)] {
            let shares: Vec<Shard> =
                (0..parts).map(|part| Shard::of(part, parts, connections, active)).collect();
            let mut next = 0;
            for share in &shares {
                assert_eq!(share.first, next);
                assert!(share.active >= 1 && share.active <= share.count, "{share:?}");
                next += share.count;
            }
            assert_eq!(next, connections as usize);
            assert_eq!(shares.iter().map(|share| share.active).sum::<usize>(), active as usize);
        }
    }
}
