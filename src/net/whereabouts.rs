//! Where neighbours come from: the addresses of each, as they were found when it was dialled last.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use parking_lot::RwLock;

/// By neighbour, the addresses that it was found at.
#[derive(Debug, Default)]
pub struct Whereabouts(RwLock<BTreeMap<usize, Vec<IpAddr>>>);

impl Whereabouts {
    /// A neighbour was found at these addresses, and is at no others.
    pub fn found(&self, neighbour: usize, addresses: &[SocketAddr]) {
        let mut found: Vec<IpAddr> = addresses.iter().map(|address| address.ip().to_canonical()).collect();
        found.sort_unstable();
        found.dedup();
        self.0.write().insert(neighbour, found);
    }

    /// A neighbour is one no longer.
    pub fn forget(&self, neighbour: usize) {
        self.0.write().remove(&neighbour);
    }

    /// The neighbours at an address.
    pub fn at(&self, address: IpAddr) -> Vec<usize> {
        let all = self.0.read();
        let there = all.iter().filter(|(_, found)| found.contains(&address.to_canonical()));
        there.map(|(neighbour, _)| *neighbour).collect()
    }

    /// The addresses of each neighbour.
    pub fn all(&self) -> Vec<Vec<IpAddr>> {
        self.0.read().values().cloned().collect()
    }
}
