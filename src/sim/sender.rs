//! The sending side of a simulated link: what a sender's thread does, a step at a time.
//!
//! It dials until it is welcomed, then copies what is due, writes it, moves its position, and does so again
//! until nothing is due; then it sleeps until a change is due or a heartbeat is. Time passes between any two of these
//! steps.

use std::sync::Arc;

use super::conversation::Conversation;
use super::environment::Environment;
use super::event::{End, Event, SenderId, Step};
use super::network::FarEnd;
use super::timeline::{from_ms, from_us};
use crate::proto::node::{Identity, Node};
use crate::proto::peering::backoff::Backoff;
use crate::proto::peering::grammar::{Answer, answer};
use crate::proto::peering::link::{Answered, Due, Link, TooManyAtOnce};
use crate::proto::peering::noise::EphemeralKey;

/// How long an initiator waits for each answer until it is welcomed.
const ANSWER_MS_MAX: u64 = 2_000;

/// How long a sender takes to see that its dial through a blackholed wire gets no answer.
const CONNECT_MS_MAX: u64 = 1_000;

/// How often a sender that is stuck in a write looks whether the responder lives.
const STUCK_MS: u64 = 1_000;

/// The longest that a thread takes to run once it can, on a server that is fast and on one that is slow.
const SCHEDULING_NS: u64 = 200_000;
const SLOW_SCHEDULING_NS: u64 = 60_000_000;

/// A sender and its link.
#[derive(Debug)]
pub(super) struct Sender {
    id: SenderId,
    far: FarEnd,
    is_slow: bool,
    pub link: Link,
    pub conn: Option<usize>,
    backoff: Backoff,
    /// The attempt that is planned; a plan with another number is void.
    pub attempt: u64,
    /// Between a wake-up and the scan that finds nothing due.
    is_busy: bool,
    /// A wake-up came while it was busy. One is enough, as in a channel of one place.
    is_notified: bool,
    /// Whether its next heartbeat is planned.
    has_heartbeat: bool,
    /// Whether a look for what it has to offer is planned.
    has_offer: bool,
    /// Lines that have been copied and not yet written.
    copied: Option<(Due, Vec<u8>)>,
}

impl Sender {
    pub(super) fn new(me: Arc<Identity>, id: SenderId, far: FarEnd, is_slow: bool) -> Sender {
        Sender {
            id,
            far,
            is_slow,
            link: Link::new(me, id.neighbour),
            conn: None,
            backoff: Backoff::new(),
            attempt: 0,
            is_busy: false,
            is_notified: false,
            has_heartbeat: false,
            has_offer: false,
            copied: None,
        }
    }

    /// Plans the next attempt to dial, in place of any other.
    pub(super) fn dial_after(&mut self, wait_ns: u64, env: &mut Environment) {
        env.network.attempts += 1;
        self.attempt = env.network.attempts;
        let event = Event::Dial { sender: self.id, attempt: self.attempt };
        env.timeline.plan_after(wait_ns + from_us(1), event);
    }

    /// The neighbour has come, and may be dialled at once.
    pub(super) fn neighbour_is_back(&mut self, env: &mut Environment) {
        if self.conn.is_none() {
            self.dial_after(0, env);
        }
    }

    /// Dials the neighbour, which begins a conversation if it can be reached.
    pub(super) fn dial(
        &mut self,
        conversation: Option<Conversation>,
        random: f32,
        key: EphemeralKey,
        env: &mut Environment,
    ) {
        let Some(conversation) = conversation else {
            let is_blackholed = env.network.wires[self.far.link].is_blackholed;
            let connect_ns = if is_blackholed { from_ms(CONNECT_MS_MAX) } else { 0 };
            let wait = self.backoff.wait(random);
            return self.dial_after(wait.as_nanos() as u64 + connect_ns, env);
        };
        let hello = self.link.hello(key);
        let conn = env.network.connect(self.id, self.far, conversation, env.timeline.now_ns);
        self.conn = Some(conn);
        env.transmit(conn, End::Responder, &hello);
        if env.options.heartbeats {
            env.timeline.plan_after(from_ms(ANSWER_MS_MAX), self.step(conn, Step::Unanswered));
            env.network.listen(&mut env.timeline, conn);
        }
    }

    /// The responder must have welcomed the initiator by now.
    pub(super) fn unanswered(&mut self, conn: usize, env: &mut Environment) {
        if !self.link.is_live() {
            env.network.give_up(&mut env.timeline, conn, End::Initiator);
        }
    }

    /// The responder answers with this line.
    pub(super) fn answered(&mut self, conn: usize, line: &[u8], node: &Node, env: &mut Environment) {
        match self.link.answered(node, line, env.ticks()) {
            Ok(Answered::Reply(reply)) => env.transmit(conn, End::Responder, &reply),
            Ok(Answered::Up) => {
                self.backoff.reset();
                self.check_start(line, node, env);
                env.history.connected(self.id, self.far.link);
                self.plan_heartbeat(conn, env);
                self.wake(env);
            }
            Ok(Answered::Acknowledged) => {}
            Ok(Answered::Pruned) => env.history.prunes += 1,
            Ok(Answered::Known) => self.plan_offer(conn, env),
            Ok(Answered::Grafted) => {
                env.history.grafts += 1;
                self.wake(env);
            }
            Ok(Answered::Differs(_)) => {
                env.history.repairs += 1;
                self.wake(env);
            }
            Err(_) => {
                env.history.refused += 1;
                env.network.sever(&mut env.timeline, conn);
            }
        }
    }

    /// The link has been welcomed with this line: it must go on where the neighbour is.
    fn check_start(&self, line: &[u8], node: &Node, env: &mut Environment) {
        let Ok(Answer::Welcome(welcome)) = answer(line) else { return };
        let is_known = welcome.received_up_to <= node.store().last_seq();
        let goes_on = self.link.position() == Some(welcome.received_up_to);
        env.history.ahead += u64::from(!is_known);
        env.history.resent += u64::from(node.identity().catch_up && is_known && !goes_on);
    }

    /// Plans the wake-up for the next heartbeat.
    fn plan_heartbeat(&mut self, conn: usize, env: &mut Environment) {
        let Some(at) = self.link.heartbeat_at() else { return };
        if env.options.heartbeats && !self.has_heartbeat {
            self.has_heartbeat = true;
            let at_ns = at.as_nanos() as u64 + env.timeline.skipped_ns;
            env.timeline.plan(at_ns.max(env.timeline.now_ns), self.step(conn, Step::Heartbeat));
        }
    }

    /// Plans the next look for what a lazy link has to offer.
    fn plan_offer(&mut self, conn: usize, env: &mut Environment) {
        let Some(at) = self.link.offer_at().filter(|_| !self.has_offer) else { return };
        self.has_offer = true;
        let at_ns = at.as_nanos() as u64 + env.timeline.skipped_ns;
        env.timeline.plan(at_ns.max(env.timeline.now_ns), self.step(conn, Step::Offer));
    }

    /// There may be something to offer.
    pub(super) fn offer(&mut self, env: &mut Environment) {
        self.has_offer = false;
        self.wake(env);
    }

    /// A heartbeat is due, or the responder has not answered within the peer timeout.
    pub(super) fn heartbeat(&mut self, conn: usize, node: &Node, durable_seq: u64, env: &mut Environment) {
        self.has_heartbeat = false;
        let owes = self.link.position() < Some(node.store().last_seq().min(durable_seq));
        env.history.asleep += u64::from(!self.is_busy && !self.has_offer && owes);
        if self.link.is_silent(env.ticks()) {
            return env.network.give_up(&mut env.timeline, conn, End::Initiator);
        }
        self.wake(env);
        // A sender that is stuck in a write still looks whether the responder lives.
        if self.copied.is_some() {
            self.has_heartbeat = true;
            env.timeline.plan_after(from_ms(STUCK_MS), self.step(conn, Step::Heartbeat));
        }
    }

    /// Wakes the sender up to look for what is due.
    pub(super) fn wake(&mut self, env: &mut Environment) {
        let (Some(conn), true) = (self.conn, self.link.is_live()) else { return };
        if self.is_busy {
            self.is_notified = true;
        } else {
            self.is_busy = true;
            self.plan_soon(conn, Step::Scan, env);
        }
    }

    /// Something has changed. The part that changed it sends that at once, if it is little and no other sends; what the
    /// connection has no room for is left to the sender, which is woken for anything else.
    pub(super) fn changed(&mut self, node: &Node, durable_seq: u64, env: &mut Environment) {
        // A lazy link looks for itself when it has something to offer.
        if self.has_offer && self.link.offer_at().is_some() {
            return;
        }
        let (Some(conn), true, false, true) =
            (self.conn, self.link.is_live(), self.is_busy, env.options.at_once)
        else {
            return self.wake(env);
        };
        let mut lines = Vec::new();
        match self.link.due_at_once(node, durable_seq, &mut lines) {
            Ok(None) => {}
            Ok(Some(due)) => {
                self.is_busy = true;
                self.copied = Some((due, lines));
                self.write(conn, env);
            }
            Err(TooManyAtOnce) => self.wake(env),
        }
    }

    /// Copies what is due.
    pub(super) fn scan(&mut self, conn: usize, node: &Node, durable_seq: u64, env: &mut Environment) {
        self.is_notified = false;
        let mut lines = Vec::new();
        let Some(due) = self.link.due(node, durable_seq, env.ticks(), &mut lines) else {
            self.is_busy = false;
            self.plan_offer(conn, env);
            return self.plan_heartbeat(conn, env);
        };
        self.copied = Some((due, lines));
        self.plan_soon(conn, Step::Write, env);
    }

    /// Writes what was copied, when the connection has room for it.
    pub(super) fn write(&mut self, conn: usize, env: &mut Environment) {
        if !env.network.may_write(conn) {
            return;
        }
        let Some((due, lines)) = self.copied.take() else { return };
        self.link.written(due, env.ticks());
        if let Some(conn) = &mut env.network.conns[conn] {
            env.history.sent(&lines, &mut conn.written);
        }
        env.transmit(conn, End::Responder, &lines);
        self.plan_soon(conn, Step::Scan, env);
    }

    /// The initiator learns that the connection has ended.
    pub(super) fn hung_up(&mut self, random: f32, env: &mut Environment) {
        self.link.hung_up();
        (self.conn, self.copied) = (None, None);
        (self.is_busy, self.is_notified, self.has_heartbeat) = (false, false, false);
        self.has_offer = false;
        let wait = self.backoff.wait(random);
        self.dial_after(wait.as_nanos() as u64, env);
    }

    /// Plans what the sender's thread does next, when the scheduler lets it.
    fn plan_soon(&self, conn: usize, step: Step, env: &mut Environment) {
        let most_ns = if self.is_slow { SLOW_SCHEDULING_NS } else { SCHEDULING_NS };
        let wait_ns = env.timeline.rng.u64(1_000..most_ns);
        env.timeline.plan_after(wait_ns, self.step(conn, step));
    }

    fn step(&self, conn: usize, step: Step) -> Event {
        Event::Step { sender: self.id, conn, step }
    }
}
