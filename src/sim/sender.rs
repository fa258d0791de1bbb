//! The sending side of a simulated link: what a sender's thread does, a step at a time.
//!
//! It dials until it is welcomed, then copies what is due, writes it, moves its position, and does so again
//! until nothing is due; then it sleeps until a change is due or a heartbeat is. Time passes between any two of these
//! steps.

use std::sync::Arc;
use std::time::Duration;

use super::conversation::Conversation;
use super::event::{End, Event, SenderId};
use super::member::SimulatedMember;
use super::server::{Life, Neighbour};
use super::{World, from_ms, from_us};
use crate::proto::line::framing::Line;
use crate::proto::node::{Identity, NO_WAL};
use crate::proto::peering::auth::Nonce;
use crate::proto::peering::backoff::Backoff;
use crate::proto::peering::link::{Answered, Due, Link};

/// How long an initiator waits for each answer until it is welcomed.
const ANSWER_MS_MAX: u64 = 2_000;

/// How long a sender takes to see that its dial through a blackholed wire gets no answer.
const CONNECT_MS_MAX: u64 = 1_000;

/// A sender and its link.
#[derive(Debug)]
pub(super) struct Sender {
    pub link: Link,
    pub conn: Option<usize>,
    backoff: Backoff,
    /// The attempt that is planned; a plan with another number is void.
    attempt: u64,
    /// Between a wake-up and the scan that finds nothing due.
    busy: bool,
    /// A wake-up came while it was busy. One is enough, as in a channel of one place.
    errand: bool,
    /// Whether its next heartbeat is planned.
    beats: bool,
    /// Lines that have been copied and not yet written.
    copied: Option<(Due, Vec<u8>)>,
}

impl Sender {
    pub(super) fn new(me: Arc<Identity>, neighbour: usize) -> Sender {
        Sender {
            link: Link::new(me, neighbour),
            conn: None,
            backoff: Backoff::new(),
            attempt: 0,
            busy: false,
            errand: false,
            beats: false,
            copied: None,
        }
    }
}

impl World {
    /// Where a sender's link leads: the server and the link's index.
    pub(super) fn far_end(&self, id: SenderId) -> (usize, usize) {
        let Neighbour { server, link } = self.servers[id.server].neighbours[id.neighbour];
        (server, link)
    }

    /// The sender and its server's life, if that runs.
    fn sender(&mut self, id: SenderId) -> Option<&mut Sender> {
        self.servers[id.server].life.as_mut().map(|life| &mut life.senders[id.neighbour])
    }

    /// The sender, if it still has this connection.
    fn sender_on(&mut self, id: SenderId, conn: usize) -> Option<&mut Sender> {
        self.sender(id).filter(|sender| sender.conn == Some(conn))
    }

    /// Plans the next attempt to dial, in place of any other.
    pub(super) fn dial_after(&mut self, id: SenderId, wait_ns: u64) {
        let at_ns = self.now_ns + wait_ns + from_us(1);
        self.attempts += 1;
        let attempt = self.attempts;
        let Some(sender) = self.sender(id) else { return };
        sender.attempt = attempt;
        self.queue.plan(at_ns, Event::Dial { sender: id, attempt });
    }

    /// A neighbour that has come wakes the sender to it, if that waits to dial again.
    pub(super) fn neighbour_is_back(&mut self, id: SenderId) {
        if self.sender(id).is_some_and(|sender| sender.conn.is_none()) {
            self.dial_after(id, 0);
        }
    }

    pub(super) fn dial(&mut self, id: SenderId, attempt: u64) {
        let (chance, nonces) = (self.rng.f32(), [self.nonce(), self.nonce()]);
        let (responder, link) = self.far_end(id);
        let (up, dark) = (self.wires[link].up, self.wires[link].dark);
        let answering = self.servers[responder].life.as_mut().filter(|_| up && !dark);
        let conversation = answering.map(|Life { me, node, commits, .. }| {
            Conversation::with_peer(me, nonces[0], &SimulatedMember::new(node, commits.as_mut()))
        });
        let Some(sender) = self.sender(id).filter(|sender| sender.attempt == attempt) else { return };
        let Some(conversation) = conversation else {
            let wait = sender.backoff.wait(chance).as_nanos() as u64;
            return self.dial_after(id, wait + if dark { from_ms(CONNECT_MS_MAX) } else { 0 });
        };
        let hello = sender.link.hello(nonces[1]);
        let conn = self.connect(id, conversation);
        if let Some(sender) = self.sender(id) {
            sender.conn = Some(conn);
        }
        self.transmit(conn, End::Responder, &hello);
        if self.options.heartbeats {
            self.queue.plan(self.now_ns + from_ms(ANSWER_MS_MAX), Event::Unanswered { sender: id, conn });
            self.listen(conn);
        }
    }

    /// The responder must have welcomed the initiator by now.
    pub(super) fn unanswered(&mut self, id: SenderId, conn: usize) {
        if self.sender_on(id, conn).is_some_and(|sender| !sender.link.is_live()) {
            self.give_up(conn, End::Initiator);
        }
    }

    /// Bytes reach the initiator: answers to what it has said.
    pub(super) fn answered(&mut self, conn_id: usize, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(conn) = self.conns[conn_id].as_mut() else { return };
            let (id, Some(answers)) = (conn.sender, conn.answers.as_mut()) else { return };
            let space = answers.space();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            answers.filled(count);
            rest = &rest[count..];
            while let Some(line) = self.next_answer(conn_id) {
                if self.sender_on(id, conn_id).is_none() {
                    return;
                }
                self.answer(id, conn_id, &line);
            }
        }
    }

    fn next_answer(&mut self, conn_id: usize) -> Option<Vec<u8>> {
        let answers = self.conns[conn_id].as_mut()?.answers.as_mut()?;
        let (Line::Whole(line) | Line::TooLong(line)) = answers.next_line()?;
        Some(line.to_vec())
    }

    fn answer(&mut self, id: SenderId, conn: usize, line: &[u8]) {
        let now = self.ticks();
        let Some(Life { node, senders, .. }) = self.servers[id.server].life.as_mut() else { return };
        let sender = &mut senders[id.neighbour];
        match sender.link.answered(node, line, now) {
            Ok(Answered::Reply(reply)) => self.transmit(conn, End::Responder, &reply),
            Ok(Answered::Up) => {
                sender.backoff.reset();
                self.check_start(id, line);
                let link = self.far_end(id).1;
                self.witness.connected(id, link);
                self.plan_beat(id, conn);
                self.wake(id);
            }
            Ok(Answered::Acknowledged) => {}
            Ok(Answered::Differs(_)) => {
                self.witness.repairs += 1;
                self.wake(id);
            }
            Err(_) => {
                self.witness.refused += 1;
                self.sever(conn);
            }
        }
    }

    /// Plans the wake-up for the next heartbeat.
    fn plan_beat(&mut self, id: SenderId, conn: usize) {
        let skipped = Duration::from_nanos(self.skipped_ns);
        let beating = self.options.heartbeats;
        let now_ns = self.now_ns;
        let Some(sender) = self.sender_on(id, conn).filter(|sender| beating && !sender.beats) else { return };
        let Some(at) = sender.link.heartbeat_at() else { return };
        sender.beats = true;
        let at_ns = (at + skipped).as_nanos() as u64;
        self.queue.plan(at_ns.max(now_ns), Event::Heartbeat { sender: id, conn });
    }

    /// A heartbeat is due, or the responder has not answered within the peer timeout.
    pub(super) fn beat(&mut self, id: SenderId, conn: usize) {
        self.expire(id.server);
        let now = self.ticks();
        let Some(Life { node, senders, commits, .. }) = self.servers[id.server].life.as_mut() else { return };
        let sender = &mut senders[id.neighbour];
        if sender.conn != Some(conn) {
            return;
        }
        sender.beats = false;
        let kept = commits.as_ref().map_or(NO_WAL, |commits| commits.kept_number);
        let owes = sender.link.position() < Some(node.store().last_seq().min(kept));
        self.witness.asleep += u64::from(!sender.busy && owes);
        if sender.link.is_silent(now) {
            self.give_up(conn, End::Initiator);
        } else {
            self.wake(id);
            // A sender that is stuck in a write still looks whether the responder lives.
            let Some(sender) = self.sender_on(id, conn) else { return };
            if sender.copied.is_some() {
                sender.beats = true;
                self.queue.plan(self.now_ns + from_ms(1_000), Event::Heartbeat { sender: id, conn });
            }
        }
    }

    /// Wakes the sender up to look for what is due.
    pub(super) fn wake(&mut self, id: SenderId) {
        let Some(sender) = self.sender(id) else { return };
        let (Some(conn), true) = (sender.conn, sender.link.is_live()) else { return };
        if sender.busy {
            sender.errand = true;
        } else {
            sender.busy = true;
            self.plan_soon(id.server, Event::Walk { sender: id, conn });
        }
    }

    /// Copies what is due.
    pub(super) fn walk(&mut self, id: SenderId, conn: usize) {
        let now = self.ticks();
        let Some(life) = self.servers[id.server].life.as_mut() else { return };
        let Life { node, senders, commits, .. } = life;
        let kept = commits.as_ref().map_or(NO_WAL, |commits| commits.kept_number);
        let sender = &mut senders[id.neighbour];
        if sender.conn != Some(conn) {
            return;
        }
        sender.errand = false;
        let mut lines = Vec::new();
        let Some(due) = sender.link.due(node, kept, now, &mut lines) else {
            sender.busy = false;
            return self.plan_beat(id, conn);
        };
        sender.copied = Some((due, lines));
        self.plan_soon(id.server, Event::Write { sender: id, conn });
    }

    /// Writes what was copied, when the connection has room for it.
    pub(super) fn write(&mut self, id: SenderId, conn: usize) {
        if self.sender_on(id, conn).is_none() || !self.may_write(conn) {
            return;
        }
        let now = self.ticks();
        let Some(sender) = self.sender_on(id, conn) else { return };
        let Some((due, lines)) = sender.copied.take() else { return };
        sender.link.written(due, now);
        self.witness_lines(id, conn, &lines);
        self.transmit(conn, End::Responder, &lines);
        self.plan_soon(id.server, Event::Walk { sender: id, conn });
    }

    /// The initiator learns that the connection has ended.
    pub(super) fn caller_hung_up(&mut self, conn: usize) {
        let Some(id) = self.conns[conn].as_ref().map(|conn| conn.sender) else { return };
        self.leave(conn, End::Initiator);
        let chance = self.rng.f32();
        let Some(sender) = self.sender_on(id, conn) else { return };
        sender.link.hung_up();
        (sender.conn, sender.busy, sender.errand, sender.beats) = (None, false, false, false);
        sender.copied = None;
        let wait = sender.backoff.wait(chance);
        self.dial_after(id, wait.as_nanos() as u64);
    }

    fn witness_lines(&mut self, id: SenderId, conn: usize, lines: &[u8]) {
        let link = self.far_end(id).1;
        let Some(conn) = self.conns[conn].as_mut() else { return };
        for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|line| line.starts_with(b"AT ")) {
            self.witness.told(id, link, line, &mut conn.written);
        }
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(std::array::from_fn(|_| self.rng.u8(..)))
    }
}
