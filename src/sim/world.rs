//! A simulated herd, and everything that can be done to it from outside at the present moment.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::check::{self, Converged, Divergence, REST_HEARTBEATS};
use super::disk::Crash;
use super::environment::{Environment, Options};
use super::event::{End, Event, SenderId};
use super::graph::Graph;
use super::history::History;
use super::network::{Conn, FarEnd, Network};
use super::server::Server;
use super::timeline::Timeline;
use crate::proto::http::phones::Point;
use crate::proto::model::attributes::Attributes;
use crate::proto::peering::link::HEARTBEAT_EVERY;
use crate::proto::peering::noise::EphemeralKey;

/// If nothing but heartbeats has happened for this long, nothing else will, because every wait of a link is shorter.
const IDLE_NS: u64 = 10_000_000_000;

/// A herd, the network between its servers, and what is known about both that no server knows.
#[derive(Debug)]
pub struct World {
    servers: Vec<Server>,
    env: Environment,
}

impl World {
    /// A herd whose servers have just been started.
    pub fn new(seed: u64, graph: Graph, options: Options) -> World {
        let mut timeline = Timeline::new(seed);
        let mut links = vec![Vec::new(); graph.names().len()];
        for (link, &(a, b)) in graph.links().iter().enumerate() {
            links[a].push(FarEnd { server: b, link });
            links[b].push(FarEnd { server: a, link });
        }
        let named = graph.names().iter().cloned().zip(links).enumerate();
        let server = |(index, (name, links))| Server::new(index, name, links, options, &mut timeline.rng);
        let servers = named.map(server).collect();
        let network = Network::new(graph.links().len(), options.is_near, &mut timeline.rng);
        let history = History::new(&graph);
        let env = Environment { options, graph, timeline, network, history };
        let mut world = World { servers, env };
        world.servers.iter_mut().for_each(|server| server.start(&mut world.env));
        world
    }

    /// The servers and the links between them.
    pub fn graph(&self) -> &Graph {
        &self.env.graph
    }

    /// Nanoseconds since the world began.
    pub fn now_ns(&self) -> u64 {
        self.env.timeline.now_ns
    }

    /// A number that two runs share only if everything that happened in them was the same.
    pub fn trace(&self) -> u64 {
        self.env.timeline.trace
    }

    /// The `AT` lines written to all links so far.
    pub fn messages(&self) -> u64 {
        self.env.history.messages
    }

    /// How often an `AT` line, with its line feed, has been written to links so far.
    pub fn messages_of(&self, line: &[u8]) -> u64 {
        self.env.history.times_sent.get(&xxh3_64(line)).copied().unwrap_or(0)
    }

    /// How often a server has found that a neighbour has drifted away from it.
    pub fn repairs(&self) -> u64 {
        self.env.history.repairs
    }

    /// The links that carry lines in both directions, by index.
    pub fn tree_links(&self) -> Vec<usize> {
        let is_eager = |server: &Server, link| {
            let neighbour = server.links.iter().position(|far| far.link == link);
            let node = server.incarnation.as_ref().map(|incarnation| &incarnation.node);
            node.zip(neighbour).is_some_and(|(node, neighbour)| !node.tree().is_lazy(neighbour))
        };
        let links = self.env.graph.links().iter().enumerate();
        let carries = |&(link, &(a, b)): &(usize, &(usize, usize))| {
            is_eager(&self.servers[a], link) && is_eager(&self.servers[b], link)
        };
        links.filter(carries).map(|(link, _)| link).collect()
    }

    /// How often links were told to become lazy, and how often to become eager again.
    pub fn prunes_and_grafts(&self) -> (u64, u64) {
        (self.env.history.prunes, self.env.history.grafts)
    }

    /// The `AT` line that a server has of a client, if it is up and knows it.
    pub fn line_of(&self, server: usize, client: &str) -> Option<&[u8]> {
        self.servers[server].incarnation.as_ref()?.node.store().line_of(client.as_bytes())
    }

    /// A client sends bytes to a server: whole lines, or parts of them. Answers the replies; a server that is
    /// down answers nothing.
    pub fn report(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        self.note("report", server, bytes);
        self.servers[server].hear_client(bytes, &mut self.env)
    }

    /// A phone reports to a server, with attributes.
    pub fn report_point(&mut self, server: usize, point: &Point) {
        self.note("point", server, point.attributes().map_or("", Attributes::text).as_bytes());
        self.servers[server].hear_phone(point, &mut self.env);
    }

    /// The operator of a server has it forget a client.
    pub fn forget(&mut self, server: usize, client: &str) {
        self.note("forget", server, client.as_bytes());
        self.servers[server].forget(client, &mut self.env);
    }

    /// A link goes down: its connections lose what is in flight, and no dial gets through until it is healed.
    pub fn cut(&mut self, link: usize) {
        self.disturb("cut", link);
        self.env.network.wires[link].is_up = false;
        self.env.network.sever_link(&mut self.env.timeline, link);
    }

    /// A link comes up again.
    pub fn heal(&mut self, link: usize) {
        self.note("heal", link, b"");
        self.env.network.wires[link].is_up = true;
    }

    /// A link loses all packets, and neither end learns of it. What is sent waits until it is restored.
    pub fn blackhole(&mut self, link: usize) {
        self.disturb("darken", link);
        self.env.network.wires[link].is_blackholed = true;
    }

    /// A blackholed link carries packets again.
    pub fn restore(&mut self, link: usize) {
        self.note("lighten", link, b"");
        self.env.network.wires[link].is_blackholed = false;
        self.env.network.send_held(&mut self.env.timeline, link);
    }

    /// A server stops at once. What it has only in memory is gone, and more if it is not just killed.
    pub fn crash(&mut self, server: usize, crash: Crash) {
        self.servers[server].crash(crash, &mut self.env);
    }

    /// A server will be killed in the midst of its next commit of several records, if one comes before the end.
    pub fn crash_in_commit(&mut self, server: usize) {
        self.disturb("doom", server);
        let server = &mut self.servers[server];
        server.crashes_in_commit = server.incarnation.is_some();
    }

    /// A server that has crashed starts again, with what is durable on its disk.
    pub fn restart(&mut self, server: usize) {
        self.note("restart", server, b"");
        self.servers[server].start(&mut self.env);
    }

    /// The threads of a server do not run any more, until it is resumed.
    pub fn stall(&mut self, server: usize) {
        self.disturb("stall", server);
        let server = &mut self.servers[server];
        if server.incarnation.is_some() {
            server.stalled.get_or_insert_default();
        }
    }

    /// A stalled server goes on with all that has waited for it.
    pub fn resume(&mut self, server: usize) {
        self.note("resume", server, b"");
        for event in self.servers[server].stalled.take().into_iter().flatten() {
            self.env.timeline.plan_after(0, event);
        }
    }

    /// From now on servers may drift apart, so that they repair it: lines may be sent again.
    pub fn expect_repairs(&mut self) {
        self.env.history.drifted = true;
    }

    /// Everything works again; what is known now must not be lost from here on.
    pub fn heal_all(&mut self) {
        let links = self.env.network.wires.len();
        (0..links).for_each(|link| self.heal(link));
        (0..links).for_each(|link| self.restore(link));
        self.servers.iter_mut().for_each(|server| server.crashes_in_commit = false);
        (0..self.servers.len()).for_each(|server| self.resume(server));
        (0..self.servers.len()).for_each(|server| self.restart(server));
        self.env.history.floor = check::floor(&self.servers, &self.env.history);
    }

    /// Changes a record behind a server's back, as a fault of its memory or of a program would do it.
    #[cfg(test)]
    pub(crate) fn drift(&mut self, server: usize, line: &str) {
        self.env.history.made_up(line.as_bytes());
        if let Some(incarnation) = &mut self.servers[server].incarnation {
            incarnation.node.plant(line.as_bytes());
        }
    }

    /// Lets everything happen that is due within this time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now_ns().saturating_add(time.as_nanos() as u64));
    }

    /// Lets everything happen that is due until then, in nanoseconds since the world began. Time in which nothing
    /// can happen is skipped.
    pub fn run_until(&mut self, until_ns: u64) {
        while self.now_ns() < until_ns {
            let before = (self.env.history.changed_ns, self.env.network.conns.len());
            self.happen_until(self.now_ns().saturating_add(IDLE_NS).min(until_ns));
            let Environment { timeline, network, history, .. } = &mut self.env;
            let is_idle = (history.changed_ns, network.conns.len()) == before && timeline.is_idle();
            if is_idle && until_ns.saturating_sub(timeline.now_ns) > 2 * IDLE_NS {
                let by_ns = until_ns - IDLE_NS - timeline.now_ns;
                timeline.skip(by_ns);
                network.skip(by_ns);
            }
        }
    }

    /// Runs until the herd agrees, and for a while longer, and checks everything that must hold.
    ///
    /// A herd that does not catch up, and was disturbed, need not agree on what it missed; it must be
    /// connected and truthful all the same.
    ///
    /// # Errors
    /// The first thing that is wrong: what is not done within `within` is not done at all.
    pub fn settle(&mut self, within: Duration) -> Result<Converged, Divergence> {
        let deadline_ns = self.now_ns().saturating_add(within.as_nanos() as u64);
        let is_over = |world: &World| {
            world.now_ns() >= deadline_ns
                || world.env.history.repeated > 0
                || check::rest(&world.servers, &world.env).is_ok()
        };
        if self.env.options.heartbeats {
            while !is_over(self) {
                self.happen_for(HEARTBEAT_EVERY);
            }
            // What is wrong with a rest shows when it goes on.
            self.happen_for(REST_HEARTBEATS * HEARTBEAT_EVERY);
        } else {
            self.happen_all(deadline_ns);
        }
        check::all(&self.servers, &self.env)
    }

    fn happen_for(&mut self, time: Duration) {
        self.happen_until(self.now_ns() + time.as_nanos() as u64);
    }

    /// Lets everything happen that is due until then, and moves the clock there.
    fn happen_until(&mut self, until_ns: u64) {
        self.happen_all(until_ns);
        self.env.timeline.now_ns = self.now_ns().max(until_ns);
    }

    /// Stops at once when a line is sent again where it has been: such a flood may never end.
    fn happen_all(&mut self, until_ns: u64) {
        while self.env.history.repeated == 0
            && let Some(event) = self.env.timeline.next(until_ns)
        {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let server = self.server_of(&event);
        let event = match server.and_then(|server| self.servers[server].stalled.as_mut()) {
            Some(waiting) => return waiting.push(event),
            None => event,
        };
        match event {
            Event::Dial { sender, attempt } => {
                self.note("dial", sender.server, &attempt.to_le_bytes());
                self.dial(sender, attempt);
            }
            Event::Step { sender, conn, step } => {
                self.note(step.label(), conn, b"");
                self.servers[sender.server].step(sender, conn, step, &mut self.env);
            }
            Event::Listen { conn } => self.env.network.listen(&mut self.env.timeline, conn),
            Event::Commit { server, start, lane } => {
                self.note("commit", server, b"");
                self.servers[server].commit(start, lane, &mut self.env);
            }
            Event::Flush { server, start } => self.servers[server].flush(start, &mut self.env),
            Event::Arrive { conn, at, bytes } => {
                if self.env.network.receive(&mut self.env.timeline, conn, at, bytes.len()) {
                    self.note("arrive", conn, &bytes);
                    self.arrive(conn, at, &bytes);
                }
            }
            Event::HangUp { conn, at } => {
                self.note("hang-up", conn, b"");
                self.hang_up(conn, at);
            }
        }
    }

    /// The server whose thread does this.
    fn server_of(&self, event: &Event) -> Option<usize> {
        match *event {
            Event::Dial { sender, .. } | Event::Step { sender, .. } => Some(sender.server),
            Event::Commit { server, .. } | Event::Flush { server, .. } => Some(server),
            Event::Arrive { conn, at, .. } | Event::HangUp { conn, at } => {
                let conn = self.env.network.conns[conn].as_ref()?;
                Some(if at == End::Initiator { conn.sender.server } else { conn.responder })
            }
            Event::Listen { conn } => Some(self.env.network.conns[conn].as_ref()?.responder),
        }
    }

    /// The sender of one server dials another, unless it has planned to do so at another time.
    fn dial(&mut self, id: SenderId, attempt: u64) {
        let rng = &mut self.env.timeline.rng;
        let random = rng.f32();
        let [greeting, hello] = [(); 2].map(|()| EphemeralKey(std::array::from_fn(|_| rng.u8(..))));
        let FarEnd { server, link } = self.servers[id.server].links[id.neighbour];
        let wire = &self.env.network.wires[link];
        let is_reached = wire.is_up && !wire.is_blackholed;
        let conversation = if is_reached { self.servers[server].greet(greeting) } else { None };
        let Some(incarnation) = &mut self.servers[id.server].incarnation else { return };
        let sender = &mut incarnation.senders[id.neighbour];
        if sender.attempt == attempt {
            sender.dial(conversation, random, hello, &mut self.env);
        }
    }

    fn arrive(&mut self, conn: usize, at: End, bytes: &[u8]) {
        let Some(Conn { sender, responder, .. }) = self.env.network.conns[conn] else { return };
        match at {
            End::Responder => self.servers[responder].hear_peer(conn, Some(bytes), &mut self.env),
            End::Initiator => self.servers[sender.server].answered(sender, conn, bytes, &mut self.env),
        }
    }

    fn hang_up(&mut self, conn: usize, at: End) {
        let Some(Conn { sender: id, responder, .. }) = self.env.network.conns[conn] else { return };
        match at {
            End::Responder => {
                self.servers[responder].hear_peer(conn, None, &mut self.env);
                self.env.network.leave(conn, at);
            }
            End::Initiator => {
                self.env.network.leave(conn, at);
                let random = self.env.timeline.rng.f32();
                if let Some((sender, ..)) = self.servers[id.server].sender_on(id, conn) {
                    sender.hung_up(random, &mut self.env);
                }
            }
        }
    }

    /// Something is done that may cost the herd what it has not replicated.
    fn disturb(&mut self, label: &str, whom: usize) {
        self.note(label, whom, b"");
        self.env.history.is_disturbed = true;
    }

    fn note(&mut self, label: &str, whom: usize, bytes: &[u8]) {
        self.env.timeline.note(label, whom, bytes);
    }
}
