//! Free loopback addresses for servers, and the herds they form.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use proxyherd::config::{Herd, Member};
use proxyherd::proto::model::name::ServerName;
use socket2::{Domain, Socket, Type};

use crate::load::Protocol;

/// The names of the default herd, in the order of their numbers in a [`Shape`].
pub(crate) const NAMES: [&str; 5] = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];

/// An address that nothing else uses: a loopback address of this process's own, with a port that is free.
/// It is bound and never listened on: a server that is being started at this moment holds a copy of the socket until
/// it runs its own program, and a copy that listened would take this one's connections.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    // 127.0 and the ranges of the server's own tests are left alone.
    let host =
        Ipv4Addr::new(127, 200 + (next / 250 % 50) as u8, (process % 251) as u8, 1 + (next % 250) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((IpAddr::V4(host), 0)).into())?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("an address of another kind was given"))
}

/// Who is linked to whom, by the numbers of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What it is called in results.
    pub(crate) name: &'static str,
    /// How many servers.
    pub(crate) servers: usize,
    /// How many of them, the last ones, are not started.
    pub(crate) absent: usize,
    /// The links.
    pub(crate) links: &'static [(usize, usize)],
}

/// One server on its own.
pub(super) const ALONE: Shape = Shape { name: "alone", servers: 1, absent: 0, links: &[] };

/// One server, and a neighbour that the suite plays.
pub(super) const ONE_OF_TWO: Shape = Shape { name: "one of two", servers: 2, absent: 1, links: &[(0, 1)] };

/// The graph of the default herd.
pub(crate) const SEED: Shape =
    Shape { name: "seed", servers: 5, absent: 0, links: &[(0, 3), (0, 4), (1, 3), (1, 4), (2, 3)] };

/// One after the other.
pub(super) const CHAIN: Shape =
    Shape { name: "chain", servers: 5, absent: 0, links: &[(0, 1), (1, 2), (2, 3), (3, 4)] };

/// All linked to the first.
pub(super) const STAR: Shape =
    Shape { name: "star", servers: 5, absent: 0, links: &[(0, 1), (0, 2), (0, 3), (0, 4)] };

/// All linked to all.
pub(super) const MESH: Shape = Shape {
    name: "mesh",
    servers: 5,
    absent: 0,
    links: &[(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)],
};

impl Shape {
    /// A herd of this shape on free addresses.
    pub(super) fn herd(&self) -> io::Result<Herd> {
        let name = |at: usize| ServerName::parse(NAMES[at]).expect("the names above follow the rule");
        let members: io::Result<Vec<Member>> = (0..self.servers)
            .map(|at| Ok(Member::herd(name(at), free_address()?, free_address()?)))
            .collect();
        let links = self.links.iter().map(|&(a, b)| (name(a), name(b))).collect();
        Herd::new(members?, links, true).map_err(|error| io::Error::other(error.to_string()))
    }

    /// A herd of this shape on free addresses, whose servers have a port for what is spoken with them.
    pub(super) fn herd_for(&self, protocol: Protocol) -> io::Result<Herd> {
        let herd = self.herd()?;
        let with = |member: &Member| {
            let member = member.clone();
            Ok(match protocol {
                Protocol::Http => Member { http: Some(free_address()?.into()), ..member },
                Protocol::Https => Member { https: Some(free_address()?.into()), ..member },
                Protocol::Mqtt => Member { mqtt: Some(free_address()?.into()), ..member },
                Protocol::Herd | Protocol::Echo | Protocol::Redis | Protocol::Memcached => member,
            })
        };
        let members: io::Result<Vec<Member>> = herd.members().iter().map(with).collect();
        Herd::new(members?, herd.links().to_vec(), true).map_err(|error| io::Error::other(error.to_string()))
    }

    /// The server that is the most links away from the first.
    pub(super) fn farthest(&self) -> usize {
        self.distances().into_iter().zip(0..).max().map_or(0, |(_, at)| at)
    }

    /// How many links each server is away from the first.
    pub(super) fn distances(&self) -> Vec<usize> {
        let mut distances = vec![usize::MAX; self.servers];
        distances[0] = 0;
        // Every round of this loop settles at least the next distance.
        for _ in 1..self.servers {
            for &(a, b) in self.links {
                let (to_a, to_b) = (distances[b].saturating_add(1), distances[a].saturating_add(1));
                distances[a] = distances[a].min(to_a);
                distances[b] = distances[b].min(to_b);
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_links() {
        assert_eq!(SEED.distances(), [0, 2, 2, 1, 1]);
        assert_eq!(CHAIN.distances(), [0, 1, 2, 3, 4]);
        assert_eq!(STAR.distances(), [0, 1, 1, 1, 1]);
        assert_eq!(MESH.distances(), [0, 1, 1, 1, 1]);
        assert_eq!(ALONE.distances(), [0]);
        assert_eq!([SEED, CHAIN, STAR].map(|shape| shape.farthest()), [2, 4, 4]);
    }

    #[test]
    fn herds_have_addresses_of_their_own() {
        for shape in [ALONE, SEED, CHAIN, STAR, MESH] {
            let herd = shape.herd().unwrap();
            assert_eq!((herd.members().len(), herd.links().len()), (shape.servers, shape.links.len()));
            assert!(herd.members().iter().all(|member| member.client.is_loopback()));
        }
    }
}
