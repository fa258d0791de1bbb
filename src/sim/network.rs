//! Connections of a simulated herd: they delay, keep the order, and lose what is in flight when cut.

use super::conversation::Conversation;
use super::event::{End, Event, SenderId};
use super::{World, from_ms, from_us};
use crate::proto::line::framing::{Framing, PEER_LINE_BYTES_MAX};
use crate::proto::peering::link::PEER_TIMEOUT;

/// The bytes that a connection holds before a writer has to wait: small, so that senders do fall behind.
const WINDOW_BYTES: usize = 4 * 1024;

/// The longest that an end takes to learn that its connection was cut, now and then.
const LATE_HANG_UP_MS: u64 = 3_000;

/// The longest that it takes as a rule.
const HANG_UP_MS: u64 = 50;

/// One connection, dialled by the sender of one server to reach the peer port of another.
#[derive(Debug)]
pub(super) struct Conn {
    pub sender: SenderId,
    pub responder: usize,
    link: usize,
    /// What cuts the answers for the initiator; gone when the initiator has hung up.
    pub answers: Option<Framing>,
    /// What reads at the responder; gone when the responder has hung up.
    pub conversation: Option<Conversation>,
    /// When the responder last heard of the initiator.
    pub heard_ns: u64,
    /// What is on its way to the responder and to the initiator.
    there: Pipe,
    back: Pipe,
    ended: bool,
    /// The lines that were written to it, by hash: each may be there once.
    pub written: std::collections::BTreeSet<u64>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    last_arrival_ns: u64,
    in_flight_bytes: usize,
    writer_waits: bool,
    /// Bytes that wait for a blackholed wire, as a sender's kernel holds them to send them again.
    held: Vec<u8>,
    /// When the connection has ended: what arrives after this is lost.
    lost_after_ns: u64,
}

/// One link of the graph.
#[derive(Debug)]
pub(super) struct Wire {
    pub up: bool,
    /// A blackhole: packets get lost, and neither end learns of it.
    pub dark: bool,
    delay_ns: u64,
}

impl Wire {
    /// A wire with a delay of 10 us to 20 ms, small ones as likely as large ones.
    pub(super) fn new(rng: &mut fastrand::Rng) -> Wire {
        let delay_us = 10.0 * 2000_f64.powf(rng.f64());
        Wire { up: true, dark: false, delay_ns: (delay_us * 1000.0) as u64 }
    }
}

impl Conn {
    fn pipe(&mut self, to: End) -> &mut Pipe {
        match to {
            End::Responder => &mut self.there,
            End::Initiator => &mut self.back,
        }
    }
}

impl World {
    /// Opens a connection for the sender; the responder begins a conversation.
    pub(super) fn connect(&mut self, sender: SenderId, conversation: Conversation) -> usize {
        let (responder, link) = self.far_end(sender);
        self.conns.push(Some(Conn {
            sender,
            responder,
            link,
            answers: Some(Framing::new(PEER_LINE_BYTES_MAX, 1).whole_lines_only()),
            conversation: Some(conversation),
            heard_ns: self.now_ns,
            there: Pipe::default(),
            back: Pipe::default(),
            ended: false,
            written: std::collections::BTreeSet::new(),
        }));
        self.conns.len() - 1
    }

    /// Puts bytes on their way, in pieces as a stream has them. What is written to a connection that has
    /// ended goes nowhere, and the writer does not know.
    pub(super) fn transmit(&mut self, id: usize, to: End, bytes: &[u8]) {
        let Some(conn) = self.conns[id].as_mut() else { return };
        if conn.ended {
            return;
        }
        let Wire { dark, delay_ns, .. } = self.wires[conn.link];
        let pipe = conn.pipe(to);
        pipe.in_flight_bytes += bytes.len();
        if dark {
            pipe.held.extend_from_slice(bytes);
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = if self.rng.u8(..3) == 0 { self.rng.usize(1..=rest.len()) } else { rest.len() };
            let (piece, after) = rest.split_at(size);
            rest = after;
            let arrival_ns = self.now_ns + delay_ns + self.rng.u64(..=delay_ns);
            pipe.last_arrival_ns = arrival_ns.max(pipe.last_arrival_ns);
            let event = Event::Arrive { conn: id, at: to, bytes: piece.to_vec() };
            self.queue.plan(pipe.last_arrival_ns, event);
        }
    }

    /// A blackholed wire carries packets again: what waited for it is sent again.
    pub(super) fn send_held(&mut self, link: usize) {
        for id in 0..self.conns.len() {
            for to in [End::Responder, End::Initiator] {
                let Some(conn) = self.conns[id].as_mut().filter(|conn| conn.link == link) else { continue };
                let pipe = conn.pipe(to);
                let held = std::mem::take(&mut pipe.held);
                pipe.in_flight_bytes -= held.len();
                self.transmit(id, to, &held);
            }
        }
    }

    /// Whether the initiator may write now; if not, it is woken to try again when it may.
    pub(super) fn may_write(&mut self, id: usize) -> bool {
        let Some(conn) = self.conns[id].as_mut() else { return false };
        let full = conn.there.in_flight_bytes > WINDOW_BYTES;
        conn.there.writer_waits = full;
        !full
    }

    /// Takes bytes off the wire; `None` if they were lost.
    pub(super) fn receive(&mut self, id: usize, at: End, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let now_ns = self.now_ns;
        let conn = self.conns[id].as_mut()?;
        let lost = conn.ended && now_ns > conn.pipe(at).lost_after_ns;
        if lost {
            return None;
        }
        if at == End::Responder {
            conn.heard_ns = now_ns;
        }
        let pipe = conn.pipe(at);
        pipe.in_flight_bytes -= bytes.len();
        if pipe.writer_waits && pipe.in_flight_bytes <= WINDOW_BYTES / 2 {
            pipe.writer_waits = false;
            let sender = conn.sender;
            self.queue.plan(now_ns, Event::Write { sender, conn: id });
        }
        Some(bytes)
    }

    /// The responder looks whether it has heard of the initiator, now and then, for as long as the connection lives.
    pub(super) fn listen(&mut self, id: usize) {
        let Some(conn) = self.conns[id].as_ref().filter(|conn| conn.conversation.is_some()) else { return };
        let silent_ns = conn.heard_ns + PEER_TIMEOUT.as_nanos() as u64;
        if self.now_ns < silent_ns {
            self.queue.plan(silent_ns, Event::Listen { conn: id });
        } else {
            self.give_up(id, End::Responder);
        }
    }

    /// Ends a connection: in each direction anything from nothing to all of what is in flight is lost, and
    /// each end learns of it at a time of its own.
    pub(super) fn sever(&mut self, id: usize) {
        if !self.end(id) {
            return;
        }
        for at in [End::Initiator, End::Responder] {
            let Some(conn) = self.conns[id].as_mut() else { return };
            let late = self.rng.u8(..10) == 0;
            let wait_ms = if late { LATE_HANG_UP_MS } else { HANG_UP_MS };
            let lost_after_ns = conn.pipe(at).lost_after_ns;
            let seen_ns = lost_after_ns + from_us(1) + self.rng.u64(..from_ms(wait_ms));
            self.queue.plan(seen_ns, Event::HangUp { conn: id, at });
        }
    }

    /// One end closes a connection because it hears nothing of the other; that learns of it if packets get through.
    pub(super) fn give_up(&mut self, id: usize, at: End) {
        let Some(dark) = self.conns[id].as_ref().map(|conn| self.wires[conn.link].dark) else { return };
        let was_open = self.end(id);
        self.queue.plan(self.now_ns, Event::HangUp { conn: id, at });
        if was_open && !dark {
            let other = if at == End::Initiator { End::Responder } else { End::Initiator };
            let seen_ns = self.now_ns + self.rng.u64(from_us(1)..from_ms(HANG_UP_MS));
            self.queue.plan(seen_ns, Event::HangUp { conn: id, at: other });
        }
    }

    /// Whether it had not ended yet.
    fn end(&mut self, id: usize) -> bool {
        let Some(conn) = self.conns[id].as_mut() else { return false };
        if conn.ended {
            return false;
        }
        conn.ended = true;
        for at in [End::Initiator, End::Responder] {
            let pipe = conn.pipe(at);
            let last_ns = pipe.last_arrival_ns.max(self.now_ns);
            let kept = [self.now_ns, self.rng.u64(self.now_ns..=last_ns), last_ns];
            pipe.lost_after_ns = kept[self.rng.usize(..3)];
            pipe.held.clear();
        }
        true
    }

    /// Ends all connections over a link.
    pub(super) fn sever_link(&mut self, link: usize) {
        self.sever_where(|conn| conn.link == link);
    }

    /// Ends the older connections of a sender that has come in a newer one.
    pub(super) fn sever_older(&mut self, newer: usize) {
        let Some(sender) = self.conns[newer].as_ref().map(|conn| conn.sender) else { return };
        for id in 0..newer {
            if self.conns[id].as_ref().is_some_and(|conn| conn.sender == sender) {
                self.sever(id);
            }
        }
    }

    /// Ends all connections of a server that has crashed, which itself will learn nothing.
    pub(super) fn sever_server(&mut self, server: usize) {
        self.sever_where(|conn| conn.sender.server == server || conn.responder == server);
        for id in 0..self.conns.len() {
            let Some(conn) = &self.conns[id] else { continue };
            let (calls, called) = (conn.sender.server == server, conn.responder == server);
            if calls {
                self.leave(id, End::Initiator);
            }
            if called {
                self.leave(id, End::Responder);
            }
        }
    }

    /// One end has nothing to do with a connection any more; when both have not, it is forgotten.
    pub(super) fn leave(&mut self, id: usize, end: End) {
        let Some(conn) = self.conns[id].as_mut() else { return };
        match end {
            End::Initiator => conn.answers = None,
            End::Responder => conn.conversation = None,
        }
        if conn.answers.is_none() && conn.conversation.is_none() {
            self.conns[id] = None;
        }
    }

    fn sever_where(&mut self, chosen: impl Fn(&Conn) -> bool) {
        for id in 0..self.conns.len() {
            if self.conns[id].as_ref().is_some_and(&chosen) {
                self.sever(id);
            }
        }
    }
}
