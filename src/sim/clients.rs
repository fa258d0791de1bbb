//! Clients of a simulated herd: they move between servers, and their clocks are wrong.

use super::timeline::EPOCH_NS;

/// The largest error of a client's clock, in nanoseconds: an hour.
const CLOCK_ERROR_NS_MAX: i64 = 3_600_000_000_000;

/// What one client says to one server.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server, by its index.
    pub server: usize,
    /// One or more lines.
    pub lines: Vec<u8>,
}

/// The name of the client of this number.
pub(super) fn name_of(index: usize) -> String {
    format!("client-{index}.example")
}

/// Some clients.
#[derive(Debug)]
pub struct Clients {
    clients: Vec<Client>,
    servers: usize,
    are_steady: bool,
}

#[derive(Debug)]
struct Client {
    name: String,
    /// The server it speaks to now.
    server: usize,
    clock_ns: i64,
    /// What it has said, to be said again.
    said: Vec<Vec<u8>>,
}

impl Clients {
    /// `count` clients of a herd of `servers` servers.
    pub fn new(count: usize, servers: usize, are_steady: bool, rng: &mut fastrand::Rng) -> Clients {
        let client = |index| Client {
            name: name_of(index),
            server: rng.usize(..servers),
            clock_ns: if rng.bool() { 0 } else { rng.i64(-CLOCK_ERROR_NS_MAX..=CLOCK_ERROR_NS_MAX) },
            said: Vec::new(),
        };
        Clients { clients: (0..count).map(client).collect(), servers, are_steady }
    }

    /// What a random client says at `now_ns`: mostly where it is, sometimes what it has said before, the same twice, or
    /// two places at the same time at two servers.
    pub fn speak(&mut self, now_ns: u64, rng: &mut fastrand::Rng) -> Vec<Report> {
        let index = rng.usize(..self.clients.len());
        let client = &mut self.clients[index];
        if rng.u8(..4) == 0 {
            client.server = rng.usize(..self.servers);
        }
        let time_ns = EPOCH_NS.saturating_add(now_ns).saturating_add_signed(client.clock_ns);
        match rng.u8(..10) {
            _ if self.are_steady => vec![client.say(time_ns, 1, client.server, rng)],
            0 if !client.said.is_empty() => {
                let lines = client.said[rng.usize(..client.said.len())].clone();
                vec![Report { server: client.server, lines }]
            }
            1 => (0..2).map(|_| client.say(time_ns, 1, rng.usize(..self.servers), rng)).collect(),
            2 => vec![client.say(time_ns, rng.u64(2..6), client.server, rng)],
            3 => vec![client.say(time_ns, 1, client.server, rng); 2],
            _ => vec![client.say(time_ns, 1, client.server, rng)],
        }
    }
}

impl Client {
    /// Reports to a server in `count` lines that differ by a nanosecond each.
    fn say(&mut self, time_ns: u64, count: u64, server: usize, rng: &mut fastrand::Rng) -> Report {
        let mut lines = Vec::new();
        for ns in time_ns..time_ns + count {
            let (latitude, longitude) = (rng.i32(-90..=90), rng.i32(-180..=180));
            let (seconds, nanos) = (ns / 1_000_000_000, ns % 1_000_000_000);
            // Two of these are the same time in other words, and one is less than a nanosecond later.
            let more = ["", "", "0", "004"][rng.usize(..4)];
            let line = format!("IAMAT {} {latitude:+}{longitude:+} {seconds}.{nanos:09}{more}\n", self.name);
            lines.extend_from_slice(line.as_bytes());
        }
        self.said.push(lines.clone());
        Report { server, lines }
    }
}
