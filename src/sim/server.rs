//! One simulated server: what a life of it holds, and how it hears.

use std::sync::Arc;

use super::World;
use super::conversation::{Conversation, Heard};
use super::event::{End, Event, SenderId};
use super::sender::Sender;
use crate::proto::bug::Bug;
use crate::proto::name::ServerName;
use crate::proto::node::{Identity, Neighbour as Named, Node};
use crate::proto::peer::Epoch;
use crate::proto::time::Moment;

/// The longest that a thread takes to run once it can, on a server that is fast and on one that is slow.
const SCHEDULING_NS: u64 = 200_000;
const SLOW_SCHEDULING_NS: u64 = 60_000_000;

/// One server in so many is slow.
const SLOW_ONE_IN: u32 = 12;

/// What a server's clock may be wrong by: as a rule a minute, and now and then a day.
const CLOCK_ERROR_NS: i64 = 60_000_000_000;
const LARGE_CLOCK_ERROR_NS: i64 = 86_400_000_000_000;

/// A server, running or not.
#[derive(Debug)]
pub(super) struct Server {
    pub name: ServerName,
    /// The other ends of its links, in the order of its node's list of neighbours.
    pub neighbours: Vec<Neighbour>,
    /// How often it has been started.
    pub lives: u32,
    pub life: Option<Life>,
    /// What a crash has left, if that was not of the memory.
    kept: Option<Node>,
    /// Set while its threads do not run: what waits for them.
    pub stalled: Option<Vec<Event>>,
    scheduling_ns: u64,
    /// What its clock adds to true time.
    clock_ns: i64,
    epoch: Epoch,
}

/// The server at the other end of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub server: usize,
    pub link: usize,
}

/// What a crash leaves of what a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// All of it, as if a disk had it.
    Kept,
    /// Nothing.
    Lost,
}

/// All that a crash takes away.
#[derive(Debug)]
pub(super) struct Life {
    pub me: Arc<Identity>,
    pub node: Node,
    pub senders: Vec<Sender>,
    clients: Conversation,
}

impl Server {
    /// A server that has not been started, with a clock of its own and a pace of its own.
    pub(super) fn new(name: ServerName, neighbours: Vec<Neighbour>, rng: &mut fastrand::Rng) -> Server {
        let error_ns = if rng.u8(..20) == 0 { LARGE_CLOCK_ERROR_NS } else { CLOCK_ERROR_NS };
        let is_slow = rng.u32(..SLOW_ONE_IN) == 0;
        Server {
            name,
            neighbours,
            lives: 0,
            life: None,
            kept: None,
            stalled: None,
            scheduling_ns: if is_slow { SLOW_SCHEDULING_NS } else { SCHEDULING_NS },
            clock_ns: rng.i64(-error_ns..=error_ns),
            epoch: Epoch(rng.u64(..)),
        }
    }
}

impl World {
    /// Starts a server with what its last life has kept, or else with nothing; its senders dial.
    pub(super) fn start(&mut self, server: usize) {
        if self.servers[server].life.is_some() {
            return;
        }
        let kept = self.servers[server].kept.take();
        if kept.is_none() {
            if !self.has(Bug::EpochKept) {
                self.servers[server].epoch = Epoch(self.rng.u64(..));
            }
            self.servers[server].lives += 1;
        }
        let node = kept.unwrap_or_else(|| Node::new(Arc::new(self.identity(server))));
        let me = Arc::clone(node.identity());
        let count = me.neighbours.len();
        let senders = (0..count).map(|neighbour| Sender::new(me.clone(), neighbour)).collect();
        let clients = Conversation::with_clients(&me);
        self.servers[server].life = Some(Life { me, node, senders, clients });
        for neighbour in 0..count {
            self.dial_after(SenderId { server, neighbour }, 0);
        }
    }

    fn identity(&self, server: usize) -> Identity {
        let this = &self.servers[server];
        let named = |far: &Neighbour| Named::herd(self.servers[far.server].name.clone());
        let neighbours = this.neighbours.iter().map(named).collect();
        Identity {
            catch_up: self.options.catch_up && !self.has(Bug::NoCatchUp),
            secret: Some(self.secret.clone()),
            #[cfg(test)]
            bug: self.options.bug,
            ..Identity::new(this.name.clone(), neighbours, this.epoch)
        }
    }

    /// A server stops at once.
    pub(super) fn stop(&mut self, server: usize, memory: Memory) {
        let this = &mut self.servers[server];
        this.stalled = None;
        if let Some(life) = this.life.take() {
            this.kept = (memory == Memory::Kept).then_some(life.node);
        } else if memory == Memory::Lost {
            this.kept = None;
        }
    }

    /// A client's bytes reach a server. Answers its replies; nothing if it is down.
    pub(super) fn hear_client(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        let received = self.clock_of(server);
        let Some(life) = &mut self.servers[server].life else { return Vec::new() };
        let heard = life.clients.hear(&mut life.node, bytes, received);
        for reply in heard.replies.split_inclusive(|&byte| byte == b'\n') {
            let lives = self.servers[server].lives;
            let Some(life) = &self.servers[server].life else { continue };
            self.witness.answered(server, lives, &life.node, reply);
        }
        self.wake_all(server, &heard);
        heard.replies
    }

    /// Bytes, or the end of the stream, reach the callee of a connection.
    pub(super) fn hear_peer(&mut self, id: usize, bytes: Option<&[u8]>) {
        let Some(callee) = self.conns[id].as_ref().map(|conn| conn.callee) else { return };
        let received = self.clock_of(callee);
        let Some(conversation) = self.conns[id].as_mut().and_then(|conn| conn.conversation.as_mut()) else {
            return;
        };
        let Some(life) = &mut self.servers[callee].life else { return };
        let heard = match bytes {
            Some(bytes) => conversation.hear(&mut life.node, bytes, received),
            None => conversation.end(&mut life.node, received),
        };
        self.witness.refused += heard.refused as u64;
        self.transmit(id, End::Caller, &heard.replies);
        self.wake_all(callee, &heard);
        if let Some(neighbour) = heard.met {
            self.sever_older(id);
            self.neighbour_is_back(SenderId { server: callee, neighbour });
        }
        if heard.close {
            self.sever(id);
        }
    }

    /// The time by a server's own clock.
    fn clock_of(&self, server: usize) -> Moment {
        moment(
            super::EPOCH_NS.saturating_add(self.now_ns).saturating_add_signed(self.servers[server].clock_ns),
        )
    }

    fn wake_all(&mut self, server: usize, heard: &Heard) {
        if heard.news == 0 {
            return;
        }
        self.changed_ns = self.now_ns;
        for neighbour in 0..self.servers[server].neighbours.len() {
            self.wake(SenderId { server, neighbour });
        }
    }

    /// Plans what a thread of a server does next, when the scheduler lets it.
    pub(super) fn plan_soon(&mut self, server: usize, event: Event) {
        let at_ns = self.now_ns + self.rng.u64(1_000..self.servers[server].scheduling_ns);
        self.queue.plan(at_ns, event);
    }
}

/// The moment so many nanoseconds after 1970 began.
fn moment(ns: u64) -> Moment {
    Moment { seconds: ns / 1_000_000_000, nanos: (ns % 1_000_000_000) as u32 }
}
