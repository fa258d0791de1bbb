//! One simulated server: what its incarnations hold and lose, how it hears, and when its commits happen.

use std::sync::Arc;
use std::time::Duration;

use super::conversation::Conversation;
use super::disk::{Crash, Disk, Durability};
use super::environment::{Environment, Options};
use super::event::{End, Event, SenderId, Step};
use super::group_commit::{GroupCommit, Reply};
use super::member::SimulatedMember;
use super::network::FarEnd;
use super::sender::Sender;
use super::timeline::EPOCH_NS;
use crate::member::turn::Lsn;
use crate::proto::http::phones::Point;
use crate::proto::http::reports::{Reports, Taking};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::stored_line::at_part;
use crate::proto::model::time::Moment;
use crate::proto::node::{CLIENT_NAME_BYTES_MAX, Identity, NO_WAL, Neighbour, Node};
use crate::proto::peering::noise::EphemeralKey;
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::{Source, Update, Updates, forget};
use crate::proto::wal::record::records;
use crate::proto::wal::recovery::Recovery;

/// One server in this many is slow.
const SLOW_ONE_IN: u32 = 12;

/// What a server's clock may be wrong by: as a rule a minute, and now and then a day.
const CLOCK_ERROR_NS: i64 = 60_000_000_000;
const LARGE_CLOCK_ERROR_NS: i64 = 86_400_000_000_000;

/// A server, running or not.
#[derive(Debug)]
pub(super) struct Server {
    index: usize,
    pub name: ServerName,
    /// Where its links lead, in the order of its node's list of neighbours.
    pub links: Vec<FarEnd>,
    /// How often it has been started.
    starts: u64,
    /// How often it has lost its memory: all that it knew.
    pub losses: u32,
    /// Gone while it does not run.
    pub incarnation: Option<Incarnation>,
    disk: Disk,
    /// The epoch of the last incarnation that made changes durable, and the last sequence number that this had given.
    /// Where none became durable no neighbour can have learned one, and they are given again.
    given: (Epoch, u64),
    /// Set while its threads do not run: what waits for them.
    pub stalled: Option<Vec<Event>>,
    is_slow: bool,
    /// Whether it is to be killed in a commit.
    pub crashes_in_commit: bool,
    /// What its clock adds to true time.
    clock_ns: i64,
    epoch: Epoch,
}

/// All that a crash takes away.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub me: Arc<Identity>,
    pub node: Node,
    pub senders: Vec<Sender>,
    /// What it has recorded, if it does.
    wal: Option<GroupCommit>,
    clients: Conversation,
}

impl Server {
    /// A server that has not been started, with a clock of its own and a pace of its own.
    pub(super) fn new(
        index: usize,
        name: ServerName,
        links: Vec<FarEnd>,
        options: Options,
        rng: &mut fastrand::Rng,
    ) -> Server {
        let usual_ns = if rng.u8(..20) == 0 { LARGE_CLOCK_ERROR_NS } else { CLOCK_ERROR_NS };
        let error_ns = options.clock_error_max.map_or(usual_ns, |most| most.as_nanos() as i64);
        let epoch = Epoch(rng.u64(..));
        Server {
            index,
            name,
            links,
            starts: 0,
            losses: 0,
            incarnation: None,
            disk: Disk::default(),
            given: (epoch, 0),
            stalled: None,
            is_slow: rng.u32(..SLOW_ONE_IN) == 0 && !options.is_near,
            crashes_in_commit: false,
            clock_ns: rng.i64(-error_ns..=error_ns),
            epoch,
        }
    }

    /// Starts it with what is durable on its disk, or else with nothing; its senders dial.
    pub(super) fn start(&mut self, env: &mut Environment) {
        if self.incarnation.is_some() {
            return;
        }
        let durability = env.options.durability;
        let is_recorded = durability != Durability::None;
        let (memory, epoch) = is_recorded.then(|| self.disk.recover(Recovery::new())).unzip();
        self.epoch = epoch.flatten().unwrap_or_else(|| Epoch(env.timeline.rng.u64(..)));
        let me = Arc::new(self.identity(env));
        let now_s = self.clock(env).seconds;
        let mut node = match memory {
            Some(memory) => Node::from_recovered(me.clone(), memory),
            None => Node::new(me.clone()),
        };
        while node.expire(now_s).1 {}
        let is_synced = durability == Durability::Sync;
        node = node.with_positions_recorded(is_synced);
        let seq = node.store().last_seq();
        self.starts += 1;
        env.history.reused += u64::from(self.given.0 == self.epoch && seq < self.given.1);
        let mut wal = is_recorded.then(|| {
            node.set_flushed(Flushed { durable: seq, written: seq });
            let wal = GroupCommit::new(seq, is_synced);
            self.disk.begin(&self.name, self.epoch, is_synced, wal.lanes());
            wal
        });
        let id = |neighbour| SenderId { server: self.index, neighbour };
        let sender = |(neighbour, &far)| Sender::new(me.clone(), id(neighbour), far, self.is_slow);
        let mut senders: Vec<Sender> = self.links.iter().enumerate().map(sender).collect();
        senders.iter_mut().for_each(|sender| sender.dial_after(0, env));
        let clients = Conversation::with_clients(&me, &SimulatedMember::new(&mut node, wal.as_mut()));
        self.incarnation = Some(Incarnation { me, node, senders, wal, clients });
    }

    fn identity(&self, env: &Environment) -> Identity {
        let named = |far: &FarEnd| Neighbour::herd(env.graph.names()[far.server].clone());
        let neighbours = self.links.iter().map(named).collect();
        Identity {
            catch_up: env.options.catch_up,
            has_tree: env.options.has_tree,
            expire_after: env.options.expire_after,
            clock_lead_max: env.options.clock_lead_max,
            ..Identity::new(self.name.clone(), neighbours, self.epoch)
        }
    }

    /// It stops at once. What it has only in memory is gone, and more if it is not just killed.
    pub(super) fn crash(&mut self, crash: Crash, env: &mut Environment) {
        env.timeline.note("crash", self.index, b"");
        env.history.is_disturbed = true;
        self.stop(crash, env);
        env.network.sever_server(&mut env.timeline, self.index);
    }

    fn stop(&mut self, crash: Crash, env: &mut Environment) {
        let rng = &mut env.timeline.rng;
        self.stalled = None;
        let is_in_commit = std::mem::take(&mut self.crashes_in_commit) || rng.bool();
        if let Some(Incarnation { me, node, wal: Some(wal), .. }) = self.incarnation.take() {
            if wal.has_committed {
                self.given = (me.epoch, node.store().last_seq());
            }
            for lane in (0..wal.lanes()).filter(|_| is_in_commit) {
                if !wal.pending(lane).is_empty() {
                    self.disk.commit_partly(lane, wal.pending(lane), rng);
                }
            }
        }
        match crash {
            Crash::Killed => {}
            Crash::PowerLost => {
                let bytes = self.disk.lose_power(rng);
                if env.options.durability == Durability::Os {
                    env.history.tail_lost(self.index, bytes);
                }
            }
            Crash::DiskLost => self.disk = Disk::default(),
        }
        if crash == Crash::DiskLost || env.options.durability == Durability::None {
            self.losses += 1;
        }
    }

    /// A client's bytes reach it. Answers its replies; nothing if it is down.
    pub(super) fn hear_client(&mut self, bytes: &[u8], env: &mut Environment) -> Vec<u8> {
        let received = self.clock(env);
        let Some(Incarnation { node, wal, clients, .. }) = &mut self.incarnation else { return Vec::new() };
        let heard = clients.hear(&SimulatedMember::new(node, wal.as_mut()), bytes, false, received);
        let replies = heard.replies.split_inclusive(|&byte| byte == b'\n');
        let promises = replies.filter_map(|reply| env.history.promised(node, reply)).collect();
        self.reply(heard.needs_lsn, Reply::Client(promises), env);
        self.applied(heard.applied, env);
        heard.replies
    }

    /// A phone reports to it by another door than that of lines, so with attributes.
    pub(super) fn hear_phone(&mut self, point: &Point, env: &mut Environment) {
        let received = self.clock(env);
        let Some(Incarnation { me, node, wal, .. }) = &mut self.incarnation else { return };
        let latest = received.after(me.clock_lead_max.unwrap_or(Duration::MAX));
        let taking =
            Taking { server: &me.name, received, latest, client_name_bytes_max: CLIENT_NAME_BYTES_MAX };
        let mut reports = Reports::new(taking);
        if reports.push(point).is_err() {
            return;
        }
        let at = reports.get(0).and_then(|update| at_part(update.line)).map(<[u8]>::to_vec);
        let (applied, lsn) = SimulatedMember::new(node, wal.as_mut()).apply_updates(&mut reports);
        let promises = at.and_then(|at| env.history.promised(node, &at)).into_iter().collect();
        self.reply(lsn, Reply::Client(promises), env);
        self.applied(applied.applied, env);
    }

    /// It forgets a client, if it knows it.
    pub(super) fn forget(&mut self, client: &str, env: &mut Environment) {
        let now_s = self.clock(env).seconds;
        let Some(Incarnation { node, wal, .. }) = &mut self.incarnation else { return };
        let stored = node.store().stored_line_of(client.as_bytes());
        let Some(tombstone) = stored.and_then(|stored| forget(stored, now_s)) else { return };
        let Some(mut update) = Update::from_stored(&tombstone, Source::CLIENT) else { return };
        env.history.forgot(&tombstone);
        let (applied, lsn) = SimulatedMember::new(node, wal.as_mut()).apply_updates(&mut update);
        self.reply(lsn, Reply::Client(vec![tombstone.clone()]), env);
        self.applied(applied.applied, env);
    }

    /// Greets a neighbour that dials; nothing if it is down.
    pub(super) fn greet(&mut self, key: EphemeralKey) -> Option<Conversation> {
        let Incarnation { me, node, wal, .. } = self.incarnation.as_mut()?;
        Some(Conversation::with_peer(me, key, &SimulatedMember::new(node, wal.as_mut())))
    }

    /// Bytes, or the end of the stream, reach it as the responder of a connection.
    pub(super) fn hear_peer(&mut self, conn: usize, bytes: Option<&[u8]>, env: &mut Environment) {
        let received = self.clock(env);
        let Some(conversation) = env.network.conversation(conn) else { return };
        let Some(Incarnation { node, wal, .. }) = &mut self.incarnation else { return };
        let member = SimulatedMember::new(node, wal.as_mut());
        if let (Some(bytes), Some(unread)) = (bytes, &mut conversation.unread) {
            return unread.extend_from_slice(bytes);
        }
        let unread = conversation.unread.take().unwrap_or_default();
        let heard = conversation.hear(&member, bytes.unwrap_or(&unread), bytes.is_none(), received);
        conversation.unread = (!member.is_durable(heard.needs_lsn)).then(Vec::new);
        env.history.refused += heard.refused as u64;
        self.reply(heard.needs_lsn, Reply::Peer(conn, heard.replies), env);
        self.applied(heard.applied, env);
        if let Some(neighbour) = heard.authenticated {
            env.network.sever_older(&mut env.timeline, conn);
            if let Some(Incarnation { senders, .. }) = &mut self.incarnation {
                senders[neighbour].neighbour_is_back(env);
            }
        }
        if heard.close {
            env.network.sever(&mut env.timeline, conn);
        }
    }

    /// Lets a reply leave as soon as what it needs is durable. Until then its conversation waits.
    fn reply(&mut self, needs_lsn: Lsn, reply: Reply, env: &mut Environment) {
        let wal = self.incarnation.as_mut().and_then(|incarnation| incarnation.wal.as_mut());
        match wal.filter(|wal| !wal.is_durable(needs_lsn)) {
            Some(wal) => wal.wait(needs_lsn, reply),
            None => self.reply_now(reply, env),
        }
    }

    fn reply_now(&mut self, reply: Reply, env: &mut Environment) {
        match reply {
            Reply::Peer(conn, bytes) => {
                env.transmit(conn, End::Initiator, &bytes);
                let conversation = env.network.conversation(conn);
                let unread = conversation.and_then(|conversation| conversation.unread.take());
                if let Some(unread) = unread.filter(|unread| !unread.is_empty()) {
                    self.hear_peer(conn, Some(&unread), env);
                }
            }
            Reply::Client(lines) => {
                let (losses, bytes) = (self.losses, self.disk.written);
                lines.into_iter().for_each(|line| env.history.acknowledged(self.index, losses, bytes, line));
            }
        }
    }

    /// Updates were applied: plans their commit, or wakes the senders if nothing is recorded.
    fn applied(&mut self, updates: usize, env: &mut Environment) {
        if updates > 0 {
            env.history.changed_ns = env.timeline.now_ns;
        }
        let Some(Incarnation { node, senders, wal, .. }) = &mut self.incarnation else { return };
        if let Some(wal) = wal {
            let (server, start) = (self.index, self.starts);
            let commit = |lane| Event::Commit { server, start, lane };
            wal.plan(commit, self.is_slow, &mut env.timeline);
        } else if updates > 0 {
            tell(senders, node, NO_WAL, env);
        }
    }

    /// Commits what was recorded in a lane since that start: writes it, lets the replies leave that waited, and wakes
    /// the senders if they may replicate more.
    pub(super) fn commit(&mut self, start: u64, lane: usize, env: &mut Environment) {
        let is_synced = env.options.durability == Durability::Sync;
        let Some(Incarnation { node, wal: Some(wal), .. }) = &mut self.incarnation else { return };
        if self.starts != start {
            return;
        }
        if self.crashes_in_commit && records(wal.pending(lane)).count() > 1 {
            return self.crash(Crash::Killed, env);
        }
        self.disk.commit(lane, wal.pending(lane), &mut env.timeline.rng);
        let (replies, has_news) = wal.committed(lane);
        let (durable_seq, last_seq) = (wal.durable_seq, node.store().last_seq());
        node.set_flushed(Flushed { durable: durable_seq, written: last_seq });
        if is_synced {
            self.disk.flush();
        } else {
            wal.plan_flush(Event::Flush { server: self.index, start }, &mut env.timeline);
        }
        replies.into_iter().for_each(|reply| self.reply_now(reply, env));
        if let Some(Incarnation { node, senders, .. }) = self.incarnation.as_mut().filter(|_| has_news) {
            tell(senders, node, durable_seq, env);
        }
    }

    /// Puts on disk what was written, if that start was the last, and records the positions that are covered then.
    pub(super) fn flush(&mut self, start: u64, env: &mut Environment) {
        let Some(Incarnation { node, wal: Some(wal), .. }) = &mut self.incarnation else { return };
        if self.starts != start {
            return;
        }
        wal.is_flush_planned = false;
        self.disk.flush();
        if let Some(positions) = wal.flushed() {
            self.disk.commit(0, &positions, &mut env.timeline.rng);
        }
        let mut positions = Vec::new();
        node.record_received(&mut positions);
        if wal.note_positions(positions) {
            wal.plan_flush(Event::Flush { server: self.index, start }, &mut env.timeline);
        }
    }

    /// A sender takes its next step, if it still has that connection. Clients expire when a heartbeat is due.
    pub(super) fn step(&mut self, id: SenderId, conn: usize, step: Step, env: &mut Environment) {
        let now_s = self.clock(env).seconds;
        if let Some(Incarnation { node, .. }) = self.incarnation.as_mut().filter(|_| step == Step::Heartbeat)
        {
            while node.expire(now_s).1 {}
        }
        let Some((sender, node, durable_seq)) = self.sender_on(id, conn) else { return };
        match step {
            Step::Scan => sender.scan(conn, node, durable_seq, env),
            Step::Write => sender.write(conn, env),
            Step::Offer => sender.offer(env),
            Step::Heartbeat => sender.heartbeat(conn, node, durable_seq, env),
            Step::Unanswered => sender.unanswered(conn, env),
        }
    }

    /// Bytes reach a sender: answers to what it has said.
    pub(super) fn answered(&mut self, id: SenderId, conn: usize, bytes: &[u8], env: &mut Environment) {
        for line in env.network.answers(conn, bytes) {
            let Some((sender, node, _)) = self.sender_on(id, conn) else { return };
            sender.answered(conn, &line, node, env);
        }
    }

    /// The sender, while it has that connection, with its node and the last change that is durable.
    pub(super) fn sender_on(&mut self, id: SenderId, conn: usize) -> Option<(&mut Sender, &Node, u64)> {
        let Incarnation { node, senders, wal, .. } = self.incarnation.as_mut()?;
        let sender = &mut senders[id.neighbour];
        let durable_seq = wal.as_ref().map_or(NO_WAL, |wal| wal.durable_seq);
        (sender.conn == Some(conn)).then_some((sender, node, durable_seq))
    }

    /// The time by its own clock.
    fn clock(&self, env: &Environment) -> Moment {
        let true_ns = EPOCH_NS.saturating_add(env.timeline.now_ns);
        let ns = true_ns.saturating_add_signed(self.clock_ns);
        Moment { seconds: ns / 1_000_000_000, nanos: (ns % 1_000_000_000) as u32 }
    }
}

/// Tells the senders that something has changed.
fn tell(senders: &mut [Sender], node: &Node, durable_seq: u64, env: &mut Environment) {
    senders.iter_mut().for_each(|sender| sender.changed(node, durable_seq, env));
}
