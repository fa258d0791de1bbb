//! A herd in a box: the rules of `proto` under virtual time, with faults, from a seed.
//!
//! A [`World`] drives the real nodes, sessions, links and framing the way the threaded server does, every line
//! as bytes over a stream; only threads, sockets and clocks are played. The same seed gives the same run.
//!
//! 1. [`World::new`] starts every server of a [`Graph`], and their senders dial.
//! 2. [`World::report`], [`World::cut`], [`World::crash`] and so on act at the present; [`World::run_until`]
//!    moves it on. A [`faults::Plan`] is a random list of such acts.
//! 3. [`World::heal_all`] repairs everything, and [`World::settle`] runs until nothing is left to happen and
//!    says whether the herd agrees.

pub mod check;
pub mod clients;
pub mod faults;
pub mod graph;

mod bug;
mod conversation;
mod event;
mod network;
mod sender;
mod server;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

#[cfg(test)]
pub(crate) use bug::Bug;
#[cfg(not(test))]
use bug::Bug;
use check::Witness;
use event::{End, Event, Queue};
use graph::Graph;
use network::{Conn, Wire};
use server::{Neighbour, Server};

/// True time when a world begins, in nanoseconds since 1970.
pub const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// What may differ between two worlds of the same seed and graph.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a neighbour is told what it missed.
    pub catch_up: bool,
    /// A mistake for the checks to find.
    #[cfg(test)]
    pub(crate) bug: Option<Bug>,
}

/// A herd, the network between its servers, and what is known about both that no server knows.
#[derive(Debug)]
pub struct World {
    options: Options,
    graph: Graph,
    rng: fastrand::Rng,
    now_ns: u64,
    queue: Queue,
    servers: Vec<Server>,
    /// The links of the graph.
    wires: Vec<Wire>,
    /// All connections there ever were, by number; those that ended are gone.
    conns: Vec<Option<Conn>>,
    /// The attempts to dial there ever were.
    attempts: u64,
    witness: Witness,
    /// Whether anything has been cut or has crashed.
    disturbed: bool,
    trace: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            catch_up: true,
            #[cfg(test)]
            bug: None,
        }
    }
}

impl World {
    /// A herd whose servers have just been started.
    pub fn new(seed: u64, graph: Graph, options: Options) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut neighbours = vec![Vec::new(); graph.names().len()];
        for (link, &(a, b)) in graph.links().iter().enumerate() {
            neighbours[a].push(Neighbour { server: b, link });
            neighbours[b].push(Neighbour { server: a, link });
        }
        let named = graph.names().iter().cloned().zip(neighbours);
        let servers = named.map(|(name, neighbours)| Server::new(name, neighbours, &mut rng)).collect();
        let wires = graph.links().iter().map(|_| Wire::new(&mut rng)).collect();
        let mut world = World {
            options,
            witness: Witness::new(&graph),
            rng,
            now_ns: 0,
            queue: Queue::default(),
            servers,
            wires,
            conns: Vec::new(),
            attempts: 0,
            disturbed: false,
            trace: seed,
            graph,
        };
        (0..world.servers.len()).for_each(|server| world.start(server));
        world
    }

    /// Who is linked to whom.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Nanoseconds since the world began.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// A number that two runs share only if everything that happened in them was the same.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// A client sends bytes to a server: whole lines, or parts of them. Answers the replies; a server that is
    /// down answers nothing.
    pub fn report(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        self.note("report", server, bytes);
        self.hear_client(server, bytes)
    }

    /// The `AT` line that a server has of a client, if it is up and knows it.
    pub fn line_of(&self, server: usize, client: &str) -> Option<&[u8]> {
        self.servers[server].life.as_ref()?.node.store().line_of(client.as_bytes())
    }

    /// A link goes down: its connections lose what is in flight, and nobody gets through until it is healed.
    pub fn cut(&mut self, link: usize) {
        self.note("cut", link, b"");
        self.disturbed = true;
        self.wires[link].up = false;
        self.sever_link(link);
    }

    /// A link comes up again.
    pub fn heal(&mut self, link: usize) {
        self.note("heal", link, b"");
        self.wires[link].up = true;
    }

    /// A server stops at once and forgets everything.
    pub fn crash(&mut self, server: usize) {
        self.note("crash", server, b"");
        self.disturbed = true;
        self.servers[server].life = None;
        self.sever_server(server);
    }

    /// A server that has crashed starts again, with nothing in its memory.
    pub fn restart(&mut self, server: usize) {
        self.note("restart", server, b"");
        self.start(server);
    }

    /// Every link comes up and every server runs; what they know now must not be lost from here on.
    pub fn heal_all(&mut self) {
        (0..self.wires.len()).for_each(|link| self.heal(link));
        (0..self.servers.len()).for_each(|server| self.restart(server));
        self.remember_floor();
    }

    /// Lets everything happen that is due in so much time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now_ns.saturating_add(time.as_nanos() as u64));
    }

    /// Lets everything happen that is due until then, in nanoseconds since the world began.
    pub fn run_until(&mut self, until_ns: u64) {
        self.happen_until(until_ns);
        self.now_ns = self.now_ns.max(until_ns);
    }

    /// Runs until nothing is left to happen; the present is then when the last thing happened. `false` if
    /// that takes longer than `within`.
    fn run_until_quiet(&mut self, within: Duration) -> bool {
        self.happen_until(self.now_ns.saturating_add(within.as_nanos() as u64));
        self.queue.is_empty()
    }

    /// Stops at once when a line is sent again where it has been: such a flood may never end.
    fn happen_until(&mut self, until_ns: u64) {
        while self.witness.repeated == 0
            && let Some((at_ns, event)) = self.queue.next(until_ns)
        {
            self.now_ns = at_ns;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dial { sender, attempt } => {
                self.note("dial", sender.server, &attempt.to_le_bytes());
                self.dial(sender, attempt);
            }
            Event::Walk { sender, conn } => {
                self.note("walk", conn, b"");
                self.walk(sender, conn);
            }
            Event::Write { sender, conn } => {
                self.note("write", conn, b"");
                self.write(sender, conn);
            }
            Event::Arrive { conn, at, bytes } => {
                let Some(bytes) = self.receive(conn, at, bytes) else { return };
                self.note("arrive", conn, &bytes);
                match at {
                    End::Callee => self.hear_peer(conn, Some(&bytes)),
                    End::Caller => self.answered(conn, &bytes),
                }
            }
            Event::HangUp { conn, at } => {
                self.note("hang-up", conn, b"");
                match at {
                    End::Callee => {
                        self.hear_peer(conn, None);
                        self.leave(conn, End::Callee);
                    }
                    End::Caller => self.caller_hung_up(conn),
                }
            }
        }
    }

    /// Makes something part of the trace.
    fn note(&mut self, what: &str, whom: usize, bytes: &[u8]) {
        let before =
            self.trace ^ self.now_ns.rotate_left(32) ^ xxh3_64_with_seed(what.as_bytes(), whom as u64);
        self.trace = xxh3_64_with_seed(bytes, before);
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug() == Some(bug)
    }

    #[cfg(test)]
    fn bug(&self) -> Option<Bug> {
        self.options.bug
    }

    #[cfg(not(test))]
    fn bug(&self) -> Option<Bug> {
        None
    }
}

fn from_us(us: u64) -> u64 {
    us * 1_000
}

fn from_ms(ms: u64) -> u64 {
    ms * 1_000_000
}
