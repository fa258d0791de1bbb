//! The sending side of a simulated link: what a sender's thread does, a step at a time.
//!
//! It dials until it is welcomed, then copies what is due, writes it, moves its position, and does so again
//! until nothing is due; then it sleeps until there is news. Time passes between any two of these steps.

use std::sync::Arc;

use super::bug::Bug;
use super::conversation::Conversation;
use super::event::{End, Event, SenderId};
use super::server::{Life, Neighbour};
use super::{World, from_us};
use crate::proto::backoff::Backoff;
use crate::proto::command::{Epoch, Greeting, welcome};
use crate::proto::framing::{Framing, Line};
use crate::proto::link::{Due, Link};
use crate::proto::node::Identity;

/// A sender and its link.
#[derive(Debug)]
pub(super) struct Sender {
    pub link: Link,
    pub conn: Option<usize>,
    backoff: Backoff,
    /// The attempt that is planned; a plan with another number is void.
    attempt: u64,
    /// Between an errand and the walk that finds nothing due.
    busy: bool,
    /// An errand came while it was busy. One is enough, as in a channel of one place.
    errand: bool,
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

    /// A neighbour's hello wakes the sender to it, if that waits to dial again.
    pub(super) fn neighbour_is_back(&mut self, id: SenderId) {
        if self.sender(id).is_some_and(|sender| sender.conn.is_none()) {
            self.dial_after(id, 0);
        }
    }

    pub(super) fn dial(&mut self, id: SenderId, attempt: u64) {
        let chance = self.rng.f32();
        let (callee, link) = self.far_end(id);
        let reachable = self.wires[link].up;
        let bug = self.bug();
        let answering = self.servers[callee].life.as_ref().filter(|_| reachable);
        let conversation = answering.map(|life| Conversation::with_peer(&life.me, bug));
        let Some(sender) = self.sender(id).filter(|sender| sender.attempt == attempt) else { return };
        let Some(conversation) = conversation else {
            let wait = sender.backoff.wait(chance);
            return self.dial_after(id, wait.as_nanos() as u64);
        };
        let hello = sender.link.hello();
        let conn = self.connect(id, conversation);
        if let Some(sender) = self.sender(id) {
            sender.conn = Some(conn);
        }
        self.transmit(conn, End::Callee, &hello);
    }

    /// Bytes reach the caller: the answer to its hello.
    pub(super) fn answered(&mut self, conn_id: usize, bytes: &[u8]) {
        let bug = self.has(Bug::ToldSentBack).then(|| Epoch(self.rng.u64(..)));
        let Some(conn) = self.conns[conn_id].as_mut() else { return };
        let (id, Some(answers)) = (conn.sender, conn.answers.as_mut()) else { return };
        let Some(life) = self.servers[id.server].life.as_mut() else { return };
        if life.senders[id.neighbour].conn != Some(conn_id) {
            return;
        }
        let space = answers.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        answers.filled(count);
        match welcomes(life, id.neighbour, answers, bug) {
            Answer::Unfinished => {}
            Answer::Welcome => {
                self.witness.connected(id, self.far_end(id).1);
                self.wake(id);
            }
            Answer::Other => {
                self.witness.refused += 1;
                self.sever(conn_id);
            }
        }
    }

    /// Gives the sender the errand to look for what is due.
    pub(super) fn wake(&mut self, id: SenderId) {
        let Some(sender) = self.sender(id) else { return };
        let (Some(conn), true) = (sender.conn, sender.link.is_live()) else { return };
        if sender.busy {
            sender.errand = true;
        } else {
            sender.busy = true;
            self.plan_soon(Event::Walk { sender: id, conn });
        }
    }

    /// Copies what is due.
    pub(super) fn walk(&mut self, id: SenderId, conn: usize) {
        let moves_early = self.has(Bug::PositionBeforeWrite);
        let Some(life) = self.servers[id.server].life.as_mut() else { return };
        let Life { node, senders, .. } = life;
        let sender = &mut senders[id.neighbour];
        if sender.conn != Some(conn) {
            return;
        }
        sender.errand = false;
        let mut lines = Vec::new();
        let Some(due) = node.due(&sender.link, &mut lines) else {
            sender.busy = false;
            return;
        };
        if moves_early {
            sender.link.written(due);
        }
        sender.copied = Some((due, lines));
        self.plan_soon(Event::Write { sender: id, conn });
    }

    /// Writes what was copied, when the connection has room for it.
    pub(super) fn write(&mut self, id: SenderId, conn: usize) {
        let (moves_early, one_walk) = (self.has(Bug::PositionBeforeWrite), self.has(Bug::OneWalkPerErrand));
        if self.sender_on(id, conn).is_none() || !self.may_write(conn) {
            return;
        }
        let Some(sender) = self.sender_on(id, conn) else { return };
        let Some((due, mut lines)) = sender.copied.take() else { return };
        if moves_early && sender.errand {
            lines.clear();
        }
        sender.link.written(due);
        sender.busy = !one_walk;
        self.witness_lines(id, conn, &lines);
        self.transmit(conn, End::Callee, &lines);
        if !one_walk {
            self.plan_soon(Event::Walk { sender: id, conn });
        }
    }

    /// The caller learns that the connection has ended.
    pub(super) fn caller_hung_up(&mut self, conn: usize) {
        let Some(id) = self.conns[conn].as_ref().map(|conn| conn.sender) else { return };
        self.leave(conn, End::Caller);
        let chance = self.rng.f32();
        if self.has(Bug::HangUpMissed) {
            return;
        }
        let Some(sender) = self.sender_on(id, conn) else { return };
        sender.link.hung_up();
        (sender.conn, sender.busy, sender.errand, sender.copied) = (None, false, false, None);
        let wait = sender.backoff.wait(chance);
        self.dial_after(id, wait.as_nanos() as u64);
    }

    fn witness_lines(&mut self, id: SenderId, conn: usize, lines: &[u8]) {
        let link = self.far_end(id).1;
        let Some(conn) = self.conns[conn].as_mut() else { return };
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.witness.told(id, link, line, &mut conn.written);
        }
    }
}

enum Answer {
    Unfinished,
    Welcome,
    Other,
}

/// Gives the link the neighbour's answer, if it is complete.
fn welcomes(life: &mut Life, neighbour: usize, answers: &mut Framing, bug: Option<Epoch>) -> Answer {
    let sender = &mut life.senders[neighbour];
    let line = match answers.next_line() {
        Some(Line::Whole(line)) if !sender.link.is_live() => line,
        Some(Line::Whole(_) | Line::TooLong(_)) => return Answer::Other,
        None => return Answer::Unfinished,
    };
    let line = match bug {
        Some(other_epoch) => &with_epoch(line, other_epoch),
        None => line,
    };
    match sender.link.welcomed(&mut life.node, line) {
        Ok(()) => {
            sender.backoff.reset();
            Answer::Welcome
        }
        Err(_) => Answer::Other,
    }
}

/// A welcome that gives another epoch.
fn with_epoch(line: &[u8], epoch: Epoch) -> Vec<u8> {
    let mut changed = Vec::new();
    if let Ok(greeting) = welcome(line) {
        Greeting { epoch, ..greeting }.push_to("WELCOME", &mut changed);
    }
    changed
}
