//! One simulated server: what a life of it holds, and how it hears.

use std::sync::Arc;
use std::time::Duration;

use super::commits::{Commits, Reply};
use super::conversation::Conversation;
use super::disk::{Crash, Disk, Durability};
use super::event::{Event, SenderId};
use super::member::SimulatedMember;
use super::sender::Sender;
use super::{Options, World};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Neighbour as Named, Node};
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::{Source, Update, forget};
use crate::proto::wal::recovery::{Recovered, Recovery};

/// The longest that a thread takes to run once it can, on a server that is fast and on one that is slow.
const SCHEDULING_NS: u64 = 200_000;
const SLOW_SCHEDULING_NS: u64 = 60_000_000;

/// One server in this many is slow.
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
    pub starts: u64,
    /// How often it has lost all that it knew.
    pub lives: u32,
    pub life: Option<Life>,
    pub disk: Disk,
    /// The last sequence number of an incarnation that made any durable, and the epoch of that. Where none became
    /// durable no neighbour can have learned one, and they are given again.
    given: (Epoch, u64),
    /// Set while its threads do not run: what waits for them.
    pub stalled: Option<Vec<Event>>,
    pub is_slow: bool,
    /// Whether it is to be killed in a commit.
    pub is_doomed: bool,
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

/// All that a crash takes away.
#[derive(Debug)]
pub(super) struct Life {
    pub me: Arc<Identity>,
    pub node: Node,
    pub senders: Vec<Sender>,
    /// What it has recorded, if it does.
    pub commits: Option<Commits>,
    clients: Conversation,
}

impl Server {
    /// A server that has not been started, with a clock of its own and a pace of its own.
    pub(super) fn new(
        name: ServerName,
        neighbours: Vec<Neighbour>,
        clock_error_max: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) -> Server {
        let usual_ns = if rng.u8(..20) == 0 { LARGE_CLOCK_ERROR_NS } else { CLOCK_ERROR_NS };
        let error_ns = clock_error_max.map_or(usual_ns, |most| most.as_nanos() as i64);
        let epoch = Epoch(rng.u64(..));
        Server {
            name,
            neighbours,
            starts: 0,
            lives: 0,
            life: None,
            disk: Disk::default(),
            given: (epoch, 0),
            stalled: None,
            is_doomed: false,
            is_slow: rng.u32(..SLOW_ONE_IN) == 0,
            clock_ns: rng.i64(-error_ns..=error_ns),
            epoch,
        }
    }
}

impl World {
    /// Starts a server with what is durable on its disk, or else with nothing; its senders dial.
    pub(super) fn start(&mut self, server: usize) {
        if self.servers[server].life.is_some() {
            return;
        }
        let (memory, epoch) = self.recover(server);
        match epoch {
            Some(epoch) => self.servers[server].epoch = epoch,
            None => self.servers[server].epoch = Epoch(self.rng.u64(..)),
        }
        let me = Arc::new(self.identity(server));
        let now_s = self.clock_of(server).seconds;
        let mut node = match memory {
            Some(memory) => Node::from_recovered(me.clone(), memory),
            None => Node::new(me.clone()),
        };
        while node.expire(now_s).1 {}
        let number = node.store().last_seq();
        if self.options.durability != Durability::None {
            node.set_flushed(Flushed { durable: number, written: number });
        }
        let this = &mut self.servers[server];
        this.starts += 1;
        self.witness.reused += u64::from(this.given.0 == this.epoch && number < this.given.1);
        let mut commits = (self.options.durability != Durability::None).then(|| {
            this.disk.begin(this.name.clone(), this.epoch, self.options.durability == Durability::Sync);
            Commits::new(number)
        });
        let count = me.neighbours.len();
        let senders = (0..count).map(|neighbour| Sender::new(me.clone(), neighbour)).collect();
        let clients = Conversation::with_clients(&me, &SimulatedMember::new(&mut node, commits.as_mut()));
        self.servers[server].life = Some(Life { me, node, senders, commits, clients });
        for neighbour in 0..count {
            self.dial_after(SenderId { server, neighbour }, 0);
        }
    }

    fn recover(&mut self, server: usize) -> (Option<Recovered>, Option<Epoch>) {
        if self.options.durability == Durability::None {
            return (None, None);
        }
        let (memory, epoch) = self.servers[server].disk.recover(Recovery::new());
        (Some(memory), epoch)
    }

    fn identity(&self, server: usize) -> Identity {
        let this = &self.servers[server];
        let named = |far: &Neighbour| Named::herd(self.servers[far.server].name.clone());
        let neighbours = this.neighbours.iter().map(named).collect();
        Identity {
            catch_up: self.options.catch_up,
            secret: Some(self.secret.clone()),
            expire_after: self.options.expire_after,
            clock_lead_max: self.options.clock_lead_max,
            ..Identity::new(this.name.clone(), neighbours, this.epoch)
        }
    }

    /// A server stops at once.
    pub(super) fn stop(&mut self, server: usize, crash: Crash) {
        let Options { durability, .. } = self.options;
        let this = &mut self.servers[server];
        this.stalled = None;
        let is_in_commit = std::mem::take(&mut this.is_doomed) || self.rng.bool();
        if let Some(Life { me, node, commits: Some(commits), .. }) = this.life.take() {
            if commits.has_kept {
                this.given = (me.epoch, node.store().last_seq());
            }
            if !commits.pending.is_empty() && is_in_commit {
                this.disk.commit_partly(&commits.pending, &mut self.rng);
            }
        }
        match crash {
            Crash::Killed => {}
            Crash::PowerLost => {
                let mark = this.disk.lose_power(&mut self.rng);
                if durability == Durability::Os {
                    self.witness.tail_lost(server, mark);
                }
            }
            Crash::DiskLost => this.disk = Disk::default(),
        }
        if crash == Crash::DiskLost || durability == Durability::None {
            this.lives += 1;
        }
    }

    /// A client's bytes reach a server. Answers its replies; nothing if it is down.
    pub(super) fn hear_client(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        let received = self.clock_of(server);
        let Some(life) = &mut self.servers[server].life else { return Vec::new() };
        let member = SimulatedMember::new(&mut life.node, life.commits.as_mut());
        let heard = life.clients.hear(&member, bytes, received);
        let replies = heard.replies.split_inclusive(|&byte| byte == b'\n');
        let promises = replies.filter_map(|reply| self.witness.promised(&life.node, reply)).collect();
        self.reply(server, heard.needs_lsn, Reply::Client(promises));
        self.settled(server, heard.news);
        heard.replies
    }

    /// A server forgets a client, if it knows it.
    pub(super) fn forget_client(&mut self, server: usize, client: &str) {
        let now_s = self.clock_of(server).seconds;
        let Some(life) = &mut self.servers[server].life else { return };
        let stored = life.node.store().stored_line_of(client.as_bytes());
        let Some(tombstone) = stored.and_then(|stored| forget(stored, now_s)) else { return };
        let Some(mut update) = Update::from_stored(&tombstone, Source::CLIENT) else { return };
        self.witness.forgot(&tombstone);
        let member = SimulatedMember::new(&mut life.node, life.commits.as_mut());
        let (applied, lsn) = member.apply_updates(&mut update);
        self.reply(server, lsn, Reply::Client(vec![tombstone.clone()]));
        self.settled(server, applied.applied);
    }

    /// The clock of a server goes on, and what has expired by it is dropped.
    pub(super) fn expire(&mut self, server: usize) {
        let now_s = self.clock_of(server).seconds;
        if let Some(life) = &mut self.servers[server].life {
            while life.node.expire(now_s).1 {}
        }
    }

    /// Bytes, or the end of the stream, reach the responder of a connection.
    pub(super) fn hear_peer(&mut self, id: usize, bytes: Option<&[u8]>) {
        let Some(responder) = self.conns[id].as_ref().map(|conn| conn.responder) else { return };
        let received = self.clock_of(responder);
        let Some(conversation) = self.conns[id].as_mut().and_then(|conn| conn.conversation.as_mut()) else {
            return;
        };
        let Some(life) = &mut self.servers[responder].life else { return };
        let member = SimulatedMember::new(&mut life.node, life.commits.as_mut());
        let heard = match (bytes, conversation.unread.as_mut()) {
            (Some(bytes), Some(unread)) => return unread.extend_from_slice(bytes),
            (Some(bytes), None) => conversation.hear(&member, bytes, received),
            (None, _) => {
                let unread = conversation.unread.take().unwrap_or_default();
                conversation.hear(&member, &unread, received).and(conversation.end(&member, received))
            }
        };
        conversation.unread = (!member.is_durable(heard.needs_lsn)).then(Vec::new);
        self.witness.refused += heard.refused as u64;
        self.reply(responder, heard.needs_lsn, Reply::Peer(id, heard.replies));
        self.settled(responder, heard.news);
        if let Some(neighbour) = heard.met {
            self.sever_older(id);
            self.neighbour_is_back(SenderId { server: responder, neighbour });
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

    /// Plans what a thread of a server does next, when the scheduler lets it.
    pub(super) fn plan_soon(&mut self, server: usize, event: Event) {
        let most_ns = if self.servers[server].is_slow { SLOW_SCHEDULING_NS } else { SCHEDULING_NS };
        let at_ns = self.now_ns + self.rng.u64(1_000..most_ns);
        self.queue.plan(at_ns, event);
    }
}

/// The moment `ns` nanoseconds after 1970 began.
fn moment(ns: u64) -> Moment {
    Moment { seconds: ns / 1_000_000_000, nanos: (ns % 1_000_000_000) as u32 }
}
