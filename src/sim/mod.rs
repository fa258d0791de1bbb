//! A herd in a box: the rules of `proto` and the conversation of `member` under virtual time, with faults, from a seed.
//!
//! A [`World`] drives the real nodes, conversations, links and framing the way the threaded server does, every line
//! as bytes over a stream; only threads, sockets, disks and clocks are played. A seed gives one run, always. The
//! conversation is the one of `member`, with its fast path for lines in canonical form.
//!
//! A server may have a journal, of [`Durability`], and recovers from it after a [`Crash`]. Replies and senders wait for
//! commits; a crash may fall into one, and a power cut takes what was not flushed.
//!
//! 1. [`World::new`] starts every server of a [`Graph`], and their senders dial.
//! 2. [`World::report`], [`World::cut`], [`World::crash`] and so on act at the present; [`World::run_until`]
//!    moves it on. A [`faults::Plan`] is a random list of such acts.
//! 3. [`World::heal_all`] repairs everything, and [`World::settle`] runs until the herd agrees and stays so, or says
//!    what is wrong with it.
//!
//! A herd in which nothing happens but heartbeats, and none of those changes anything, stays as it is. Such time is
//! skipped, so that a day without a link costs no more than a few seconds of it.

pub mod check;
pub mod clients;
pub mod faults;
pub mod graph;

mod acts;
mod commits;
mod conversation;
mod disk;
mod event;
mod member;
mod network;
mod sender;
mod server;
mod witness;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::proto::model::secret::Secret;
pub use disk::{Crash, Durability};
use event::{End, Event, Queue};
use graph::Graph;
use network::{Conn, Wire};
use server::{Neighbour, Server};
use witness::Witness;

/// If nothing but heartbeats has happened for this long, nothing else will, because every wait of a link is shorter.
const IDLE_NS: u64 = 10_000_000_000;

/// True time when a world begins, in nanoseconds since 1970.
pub const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// The options by which two worlds of one seed and graph may differ.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a neighbour that returns is sent what it missed.
    pub catch_up: bool,
    /// Whether links have heartbeats. Without them a herd of ten thousand is at rest when nothing happens.
    pub heartbeats: bool,
    /// What its servers make durable, and when.
    pub durability: Durability,
    /// After so long without a report a client is dropped.
    pub expire_after: Option<Duration>,
    /// How far a client's clock may be ahead.
    pub clock_lead_max: Option<Duration>,
    /// What a server's clock may be wrong by; `None` for a minute as a rule, and now and then a day.
    pub clock_error_max: Option<Duration>,
}

/// A herd, the network between its servers, and what is known about both that no server knows.
#[derive(Debug)]
pub struct World {
    options: Options,
    graph: Graph,
    rng: fastrand::Rng,
    secret: Secret,
    now_ns: u64,
    /// How much of that was skipped, because nothing happened in it.
    skipped_ns: u64,
    /// When a server last learned anything.
    changed_ns: u64,
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
            heartbeats: true,
            durability: Durability::None,
            expire_after: None,
            clock_lead_max: None,
            clock_error_max: None,
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
        let server = |(name, neighbours)| Server::new(name, neighbours, options.clock_error_max, &mut rng);
        let servers = named.map(server).collect();
        let wires = graph.links().iter().map(|_| Wire::new(&mut rng)).collect();
        let mut world = World {
            options,
            witness: Witness::new(&graph),
            rng,
            secret: Secret::parse(b"a secret of this world alone").expect("it has 28 bytes"),
            now_ns: 0,
            skipped_ns: 0,
            changed_ns: 0,
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

    /// Lets everything happen that is due in so much time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now_ns.saturating_add(time.as_nanos() as u64));
    }

    /// Lets everything happen that is due until then, in nanoseconds since the world began. Time in which nothing
    /// can happen is skipped.
    pub fn run_until(&mut self, until_ns: u64) {
        while self.now_ns < until_ns {
            let before = (self.changed_ns, self.conns.len());
            let step_ns = self.now_ns.saturating_add(IDLE_NS).min(until_ns);
            self.happen_until(step_ns);
            self.now_ns = self.now_ns.max(step_ns);
            let idle = (self.changed_ns, self.conns.len()) == before && self.queue.is_idle();
            if idle && until_ns.saturating_sub(self.now_ns) > 2 * IDLE_NS {
                self.skip(until_ns - IDLE_NS - self.now_ns);
            }
        }
    }

    fn skip(&mut self, by_ns: u64) {
        self.note("skip", 0, &by_ns.to_le_bytes());
        self.queue.put_off(by_ns);
        self.now_ns += by_ns;
        self.skipped_ns += by_ns;
        for conn in self.conns.iter_mut().flatten() {
            conn.heard_ns += by_ns;
        }
    }

    /// The time by which links measure silence: it does not know of what was skipped.
    fn ticks(&self) -> Duration {
        if self.options.heartbeats {
            Duration::from_nanos(self.now_ns - self.skipped_ns)
        } else {
            Duration::ZERO
        }
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
        let event = match self.server_of(&event).and_then(|server| self.servers[server].stalled.as_mut()) {
            Some(waiting) => return waiting.push(event),
            None => event,
        };
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
            Event::Heartbeat { sender, conn } => {
                self.note("beat", conn, b"");
                self.beat(sender, conn);
            }
            Event::Unanswered { sender, conn } => {
                self.note("unanswered", conn, b"");
                self.unanswered(sender, conn);
            }
            Event::Listen { conn } => self.listen(conn),
            Event::Commit { server, start } => {
                self.note("commit", server, b"");
                self.commit(server, start);
            }
            Event::Flush { server, start } => self.flush(server, start),
            Event::Arrive { conn, at, bytes } => {
                let Some(bytes) = self.receive(conn, at, bytes) else { return };
                self.note("arrive", conn, &bytes);
                match at {
                    End::Responder => self.hear_peer(conn, Some(&bytes)),
                    End::Initiator => self.answered(conn, &bytes),
                }
            }
            Event::HangUp { conn, at } => {
                self.note("hang-up", conn, b"");
                match at {
                    End::Responder => {
                        self.hear_peer(conn, None);
                        self.leave(conn, End::Responder);
                    }
                    End::Initiator => self.caller_hung_up(conn),
                }
            }
        }
    }

    /// Whose thread it is that does this.
    fn server_of(&self, event: &Event) -> Option<usize> {
        match *event {
            Event::Dial { sender, .. }
            | Event::Walk { sender, .. }
            | Event::Write { sender, .. }
            | Event::Heartbeat { sender, .. }
            | Event::Unanswered { sender, .. } => Some(sender.server),
            Event::Commit { server, .. } | Event::Flush { server, .. } => Some(server),
            Event::Arrive { conn, at: End::Initiator, .. } | Event::HangUp { conn, at: End::Initiator } => {
                self.conns[conn].as_ref().map(|conn| conn.sender.server)
            }
            Event::Arrive { conn, .. } | Event::HangUp { conn, .. } | Event::Listen { conn } => {
                self.conns[conn].as_ref().map(|conn| conn.responder)
            }
        }
    }

    /// Makes something part of the trace.
    fn note(&mut self, what: &str, whom: usize, bytes: &[u8]) {
        let before =
            self.trace ^ self.now_ns.rotate_left(32) ^ xxh3_64_with_seed(what.as_bytes(), whom as u64);
        self.trace = xxh3_64_with_seed(bytes, before);
    }
}

fn from_us(us: u64) -> u64 {
    us * 1_000
}

fn from_ms(ms: u64) -> u64 {
    ms * 1_000_000
}
