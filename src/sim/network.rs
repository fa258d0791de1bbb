//! Connections of a simulated herd: they delay, keep the order, and lose what is in flight when cut.

use std::collections::BTreeSet;

use super::conversation::{Conversation, read};
use super::event::{End, Event, SenderId, Step};
use super::timeline::{Timeline, from_ms, from_us};
use crate::proto::line::framing::{Framing, Line, PEER_LINE_BYTES_MAX};
use crate::proto::peering::link::PEER_TIMEOUT;

/// The bytes that a connection holds before a writer has to wait: small, so that senders do fall behind.
const WINDOW_BYTES: usize = 4 * 1024;

/// The longest that an end takes to learn that its connection was cut, now and then.
const LATE_HANG_UP_MS: u64 = 3_000;

/// By how much the longest delay is more than the shortest, and in a herd whose servers are near each other.
const DELAYS: f64 = 2_000.0;
const NEAR_DELAYS: f64 = 100.0;

/// The longest that it takes as a rule.
const HANG_UP_MS: u64 = 50;

/// The links of a herd and the connections over them.
#[derive(Debug)]
pub(super) struct Network {
    /// By the index of the link.
    pub wires: Vec<Wire>,
    /// All connections there ever were, by number; those that ended are gone.
    pub conns: Vec<Option<Conn>>,
    /// The attempts to dial there ever were.
    pub attempts: u64,
}

/// Where a link of a server leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct FarEnd {
    pub server: usize,
    pub link: usize,
}

/// One connection, dialled by the sender of one server to reach the peer port of another.
#[derive(Debug)]
pub(super) struct Conn {
    pub sender: SenderId,
    pub responder: usize,
    link: usize,
    /// What cuts the answers for the initiator; gone when the initiator has hung up.
    answers: Option<Framing>,
    /// What reads at the responder; gone when the responder has hung up.
    conversation: Option<Conversation>,
    /// When the responder last heard of the initiator.
    heard_ns: u64,
    /// What is on its way to the initiator and to the responder.
    pipes: [Pipe; 2],
    ended: bool,
    /// The lines that were written to it, by hash: each may be there once.
    pub written: BTreeSet<u64>,
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
    pub is_up: bool,
    /// A blackhole: packets get lost, and neither end learns of it.
    pub is_blackholed: bool,
    delay_ns: u64,
}

impl Wire {
    /// A wire with a delay of 10 us to 20 ms, or 1 ms in a herd whose servers are near each other, small ones as likely
    /// as large ones.
    fn new(is_near: bool, rng: &mut fastrand::Rng) -> Wire {
        let longest = if is_near { NEAR_DELAYS } else { DELAYS };
        let delay_us = 10.0 * longest.powf(rng.f64());
        Wire { is_up: true, is_blackholed: false, delay_ns: (delay_us * 1000.0) as u64 }
    }
}

impl Conn {
    fn pipe(&mut self, to: End) -> &mut Pipe {
        &mut self.pipes[to as usize]
    }
}

impl Network {
    /// Links with random delays, without any connections.
    pub(super) fn new(links: usize, is_near: bool, rng: &mut fastrand::Rng) -> Network {
        let wires = (0..links).map(|_| Wire::new(is_near, rng)).collect();
        Network { wires, conns: Vec::new(), attempts: 0 }
    }

    /// Opens a connection for the sender; the responder begins a conversation.
    pub(super) fn connect(
        &mut self,
        sender: SenderId,
        far: FarEnd,
        conversation: Conversation,
        now_ns: u64,
    ) -> usize {
        self.conns.push(Some(Conn {
            sender,
            responder: far.server,
            link: far.link,
            answers: Some(Framing::new(PEER_LINE_BYTES_MAX, 1).whole_lines_only()),
            conversation: Some(conversation),
            heard_ns: now_ns,
            pipes: Default::default(),
            ended: false,
            written: BTreeSet::new(),
        }));
        self.conns.len() - 1
    }

    /// The responder's side of a connection, until it has hung up.
    pub(super) fn conversation(&mut self, id: usize) -> Option<&mut Conversation> {
        self.conns[id].as_mut()?.conversation.as_mut()
    }

    /// The answers that are whole with these bytes, which the initiator reads.
    pub(super) fn answers(&mut self, id: usize, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let conn = self.conns[id].as_mut();
        let Some(answers) = conn.and_then(|conn| conn.answers.as_mut()) else { return lines };
        while !bytes.is_empty() {
            bytes = read(answers, bytes);
            while let Some(Line::Whole(line) | Line::TooLong(line)) = answers.next_line() {
                lines.push(line.to_vec());
            }
        }
        lines
    }

    /// Puts bytes on their way, in pieces as a stream has them. What is written to a connection that has
    /// ended goes nowhere, and the writer does not know.
    pub(super) fn transmit(&mut self, timeline: &mut Timeline, id: usize, to: End, mut bytes: &[u8]) {
        let Some(conn) = self.conns[id].as_mut().filter(|conn| !conn.ended) else { return };
        let Wire { is_blackholed, delay_ns, .. } = self.wires[conn.link];
        let pipe = conn.pipe(to);
        pipe.in_flight_bytes += bytes.len();
        if is_blackholed {
            pipe.held.extend_from_slice(bytes);
            return;
        }
        while !bytes.is_empty() {
            let is_cut = timeline.rng.u8(..3) == 0;
            let (piece, rest) =
                bytes.split_at(if is_cut { timeline.rng.usize(1..=bytes.len()) } else { bytes.len() });
            bytes = rest;
            let arrival_ns = timeline.now_ns + delay_ns + timeline.rng.u64(..=delay_ns);
            pipe.last_arrival_ns = arrival_ns.max(pipe.last_arrival_ns);
            let event = Event::Arrive { conn: id, at: to, bytes: piece.to_vec() };
            timeline.plan(pipe.last_arrival_ns, event);
        }
    }

    /// A blackholed wire carries packets again: what waited for it is sent again.
    pub(super) fn send_held(&mut self, timeline: &mut Timeline, link: usize) {
        for id in 0..self.conns.len() {
            for to in [End::Responder, End::Initiator] {
                let Some(conn) = self.conns[id].as_mut().filter(|conn| conn.link == link) else { continue };
                let pipe = conn.pipe(to);
                let held = std::mem::take(&mut pipe.held);
                pipe.in_flight_bytes -= held.len();
                self.transmit(timeline, id, to, &held);
            }
        }
    }

    /// Whether the initiator may write now; if not, it is woken to try again when it may.
    pub(super) fn may_write(&mut self, id: usize) -> bool {
        let Some(conn) = self.conns[id].as_mut() else { return false };
        let pipe = conn.pipe(End::Responder);
        pipe.writer_waits = pipe.in_flight_bytes > WINDOW_BYTES;
        !pipe.writer_waits
    }

    /// Takes bytes off the wire. Returns whether they have arrived, and were not lost.
    pub(super) fn receive(&mut self, timeline: &mut Timeline, id: usize, at: End, bytes: usize) -> bool {
        let Some(conn) = self.conns[id].as_mut() else { return false };
        if conn.ended && timeline.now_ns > conn.pipe(at).lost_after_ns {
            return false;
        }
        if at == End::Responder {
            conn.heard_ns = timeline.now_ns;
        }
        let pipe = conn.pipe(at);
        pipe.in_flight_bytes -= bytes;
        if pipe.writer_waits && pipe.in_flight_bytes <= WINDOW_BYTES / 2 {
            pipe.writer_waits = false;
            let sender = conn.sender;
            timeline.plan_after(0, Event::Step { sender, conn: id, step: Step::Write });
        }
        true
    }

    /// The responder looks whether it has heard of the initiator, now and then, for as long as the connection lives.
    pub(super) fn listen(&mut self, timeline: &mut Timeline, id: usize) {
        let Some(conn) = self.conns[id].as_ref().filter(|conn| conn.conversation.is_some()) else { return };
        let silent_ns = conn.heard_ns + PEER_TIMEOUT.as_nanos() as u64;
        if timeline.now_ns < silent_ns {
            timeline.plan(silent_ns, Event::Listen { conn: id });
        } else {
            self.give_up(timeline, id, End::Responder);
        }
    }

    /// Ends a connection: in each direction anything from nothing to all of what is in flight is lost, and
    /// each end learns of it at a time of its own.
    pub(super) fn sever(&mut self, timeline: &mut Timeline, id: usize) {
        if !self.end(timeline, id) {
            return;
        }
        for at in [End::Initiator, End::Responder] {
            let Some(conn) = self.conns[id].as_mut() else { return };
            let late = timeline.rng.u8(..10) == 0;
            let wait_ms = if late { LATE_HANG_UP_MS } else { HANG_UP_MS };
            let lost_after_ns = conn.pipe(at).lost_after_ns;
            let seen_ns = lost_after_ns + from_us(1) + timeline.rng.u64(..from_ms(wait_ms));
            timeline.plan(seen_ns, Event::HangUp { conn: id, at });
        }
    }

    /// One end closes a connection because it hears nothing of the other; that learns of it if packets get through.
    pub(super) fn give_up(&mut self, timeline: &mut Timeline, id: usize, at: End) {
        let Some(conn) = &self.conns[id] else { return };
        let is_blackholed = self.wires[conn.link].is_blackholed;
        let was_open = self.end(timeline, id);
        timeline.plan_after(0, Event::HangUp { conn: id, at });
        if was_open && !is_blackholed {
            let other = if at == End::Initiator { End::Responder } else { End::Initiator };
            let wait_ns = timeline.rng.u64(from_us(1)..from_ms(HANG_UP_MS));
            timeline.plan_after(wait_ns, Event::HangUp { conn: id, at: other });
        }
    }

    /// Ends a connection. Returns whether it had not ended yet.
    fn end(&mut self, timeline: &mut Timeline, id: usize) -> bool {
        let Some(conn) = self.conns[id].as_mut().filter(|conn| !conn.ended) else { return false };
        conn.ended = true;
        for at in [End::Initiator, End::Responder] {
            let pipe = conn.pipe(at);
            let last_ns = pipe.last_arrival_ns.max(timeline.now_ns);
            let ends = [timeline.now_ns, timeline.rng.u64(timeline.now_ns..=last_ns), last_ns];
            pipe.lost_after_ns = ends[timeline.rng.usize(..3)];
            pipe.held.clear();
        }
        true
    }

    /// Ends all connections over a link.
    pub(super) fn sever_link(&mut self, timeline: &mut Timeline, link: usize) {
        self.sever_where(timeline, |_, conn| conn.link == link);
    }

    /// Ends the older connections of a sender that has come in a newer one.
    pub(super) fn sever_older(&mut self, timeline: &mut Timeline, newer: usize) {
        let Some(Conn { sender, .. }) = self.conns[newer] else { return };
        self.sever_where(timeline, |id, conn| id < newer && conn.sender == sender);
    }

    /// Ends all connections of a server that has crashed, which itself will learn nothing.
    pub(super) fn sever_server(&mut self, timeline: &mut Timeline, server: usize) {
        self.sever_where(timeline, |_, conn| conn.sender.server == server || conn.responder == server);
        for id in 0..self.conns.len() {
            let Some(Conn { sender, responder, .. }) = self.conns[id] else { continue };
            if sender.server == server {
                self.leave(id, End::Initiator);
            }
            if responder == server {
                self.leave(id, End::Responder);
            }
        }
    }

    fn sever_where(&mut self, timeline: &mut Timeline, chosen: impl Fn(usize, &Conn) -> bool) {
        for id in 0..self.conns.len() {
            if self.conns[id].as_ref().is_some_and(|conn| chosen(id, conn)) {
                self.sever(timeline, id);
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

    /// Skips time in which nothing happens.
    pub(super) fn skip(&mut self, by_ns: u64) {
        self.conns.iter_mut().flatten().for_each(|conn| conn.heard_ns += by_ns);
    }
}
