//! Where neighbours come from: the addresses of each, as they were found when it was dialled last, and what those who
//! are believed by their address have open.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown as Half, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;

use super::stream::{Stream, hang_up};

/// By neighbour, the addresses that it was found at.
#[derive(Debug, Default)]
pub struct Whereabouts(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    found: BTreeMap<usize, Vec<IpAddr>>,
    /// Connections from there, and where each comes from.
    open: BTreeMap<u64, (IpAddr, Arc<Stream>)>,
    next: u64,
}

/// Keeps a connection among those that are cut with their neighbour until it is dropped.
#[derive(Debug)]
pub struct Entered<'a> {
    whereabouts: &'a Whereabouts,
    key: u64,
}

impl Whereabouts {
    /// A neighbour was found at these addresses, and is at no others.
    pub fn found(&self, neighbour: usize, addresses: &[SocketAddr]) {
        let mut found: Vec<IpAddr> = addresses.iter().map(|address| address.ip().to_canonical()).collect();
        found.sort_unstable();
        found.dedup();
        self.0.write().found.insert(neighbour, found);
    }

    /// A neighbour is one no longer: connections from where no other one is are cut.
    pub fn forget(&self, neighbour: usize) {
        let mut state = self.0.write();
        let left = state.found.remove(&neighbour).unwrap_or_default();
        let is_cut = |from: &IpAddr| left.contains(from) && state.at(*from).next().is_none();
        let cut: Vec<Arc<Stream>> = state
            .open
            .values()
            .filter(|(from, _)| is_cut(from))
            .map(|(_, stream)| Arc::clone(stream))
            .collect();
        drop(state);
        cut.iter().for_each(|stream| hang_up(stream, Half::Both));
    }

    /// The neighbours at an address.
    pub fn at(&self, address: IpAddr) -> Vec<usize> {
        self.0.read().at(address.to_canonical()).collect()
    }

    /// The neighbours at an address, and the place of a connection from there, if there are any.
    pub fn enter(&self, address: IpAddr, stream: &Arc<Stream>) -> (Vec<usize>, Option<Entered<'_>>) {
        // Most connections are those of clients, which need not wait for each other.
        if self.at(address).is_empty() {
            return (Vec::new(), None);
        }
        self.enter_neighbour(address.to_canonical(), stream)
    }

    #[inline(never)]
    fn enter_neighbour(&self, from: IpAddr, stream: &Arc<Stream>) -> (Vec<usize>, Option<Entered<'_>>) {
        let mut state = self.0.write();
        let neighbours: Vec<usize> = state.at(from).collect();
        if neighbours.is_empty() {
            return (neighbours, None);
        }
        let key = state.next;
        state.next += 1;
        state.open.insert(key, (from, Arc::clone(stream)));
        (neighbours, Some(Entered { whereabouts: self, key }))
    }

    /// The addresses of each neighbour.
    pub fn all(&self) -> Vec<Vec<IpAddr>> {
        self.0.read().found.values().cloned().collect()
    }
}

impl State {
    fn at(&self, address: IpAddr) -> impl Iterator<Item = usize> {
        self.found.iter().filter(move |(_, found)| found.contains(&address)).map(|(neighbour, _)| *neighbour)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.whereabouts.0.write().open.remove(&self.key);
    }
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connection_is_cut_when_no_neighbour_is_left_where_it_comes_from() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other_side = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Arc::new(listener.accept().unwrap().0);
        let from = other_side.local_addr().unwrap();
        let whereabouts = Whereabouts::default();
        assert!(whereabouts.enter(from.ip(), &stream).1.is_none());
        whereabouts.found(3, &[from]);
        whereabouts.found(5, &[from]);
        let (neighbours, entered) = whereabouts.enter(from.ip(), &stream);
        assert_eq!(neighbours, [3, 5]);
        whereabouts.forget(3);
        (&*stream).write_all(b"x").unwrap();
        whereabouts.forget(5);
        assert_eq!((&*stream).write(b"x").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
        drop(entered);
        assert!(whereabouts.0.read().open.is_empty());
    }
}
