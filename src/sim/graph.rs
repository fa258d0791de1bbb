//! Who is linked to whom: the shapes that a herd is tried in.

use crate::proto::model::name::ServerName;

/// The most servers of a simulated herd. With a few links each they fit into some hundred megabytes.
pub const SERVERS_MAX: usize = 10_000;

/// The servers of a herd and the links between them.
#[derive(Clone, Debug)]
pub struct Graph {
    names: Vec<ServerName>,
    links: Vec<(usize, usize)>,
}

impl Graph {
    /// Servers with these names, and links between them by index.
    ///
    /// # Panics
    /// If there are no servers or more than [`SERVERS_MAX`], if a link has an end that is no server or two
    /// equal ends, or if two links join the same servers.
    pub fn new(names: Vec<ServerName>, links: Vec<(usize, usize)>) -> Graph {
        assert!((1..=SERVERS_MAX).contains(&names.len()), "a herd has 1 to {SERVERS_MAX} servers");
        for (index, &(a, b)) in links.iter().enumerate() {
            assert!(a != b && a < names.len() && b < names.len(), "{a}-{b} is no link");
            let earlier = &links[..index];
            assert!(!earlier.contains(&(a, b)) && !earlier.contains(&(b, a)), "{a}-{b} is there twice");
        }
        Graph { names, links }
    }

    /// The default herd.
    pub fn default_herd() -> Graph {
        let names = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];
        Graph::new(names.map(named).to_vec(), vec![(0, 3), (0, 4), (1, 3), (1, 4), (2, 3)])
    }

    /// The herd of 2022's edition of the course.
    pub fn herd_of_2022() -> Graph {
        let names = ["Bailey", "Bona", "Campbell", "Clark", "Jaquez"];
        let links = vec![(3, 4), (3, 1), (2, 0), (2, 1), (2, 4), (1, 0)];
        Graph::new(names.map(named).to_vec(), links)
    }

    /// One after the other.
    pub fn chain(servers: usize) -> Graph {
        Graph::numbered(servers, (1..servers).map(|server| (server - 1, server)).collect())
    }

    /// One after the other, and the last linked to the first. Fewer than three make a chain.
    pub fn ring(servers: usize) -> Graph {
        let closing = (servers > 2).then_some((servers - 1, 0));
        Graph::numbered(servers, (1..servers).map(|server| (server - 1, server)).chain(closing).collect())
    }

    /// All linked to the first.
    pub fn star(servers: usize) -> Graph {
        Graph::numbered(servers, (1..servers).map(|server| (0, server)).collect())
    }

    /// All linked to all.
    pub fn mesh(servers: usize) -> Graph {
        Graph::numbered(servers, (0..servers).flat_map(|b| (0..b).map(move |a| (a, b))).collect())
    }

    /// A random tree with up to `more` links added.
    pub fn connected(servers: usize, more: usize, rng: &mut fastrand::Rng) -> Graph {
        let mut links: Vec<_> = (1..servers).map(|server| (rng.usize(..server), server)).collect();
        for _ in 0..more {
            let (a, b) = (rng.usize(..servers), rng.usize(..servers));
            if a != b && !links.contains(&(a, b)) && !links.contains(&(b, a)) {
                links.push((a, b));
            }
        }
        Graph::numbered(servers, links)
    }

    /// One of the above, of any shape, with 2 to `servers_max` servers.
    pub fn any(servers_max: usize, rng: &mut fastrand::Rng) -> Graph {
        let servers = rng.usize(2..=servers_max.max(2));
        match rng.u8(..10) {
            0 => Graph::chain(servers),
            1 => Graph::ring(servers),
            2 => Graph::star(servers),
            3 => Graph::mesh(servers.min(12)),
            4 => Graph::default_herd(),
            5 => Graph::herd_of_2022(),
            _ => Graph::connected(servers, rng.usize(..=servers), rng),
        }
    }

    /// The servers' names, by index.
    pub fn names(&self) -> &[ServerName] {
        &self.names
    }

    /// The links, by index: the indices of the two servers.
    pub fn links(&self) -> &[(usize, usize)] {
        &self.links
    }

    /// The messages that one update costs when nothing fails: every server tells all its neighbours but the
    /// one that it was learned from, `2E-(N-1)`.
    pub fn messages_per_update(&self) -> u64 {
        (2 * self.links.len() + 1 - self.names.len()) as u64
    }

    fn numbered(servers: usize, links: Vec<(usize, usize)>) -> Graph {
        Graph::new((0..servers).map(|server| named(&format!("S{server:03}"))).collect(), links)
    }
}

fn named(name: &str) -> ServerName {
    ServerName::parse(name).expect("the names in this file are letters and digits")
}
