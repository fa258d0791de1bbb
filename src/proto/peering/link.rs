//! The sending side of a link: a cursor in the log of changes, and everything after it for one neighbour.
//!
//! A driver does this for each connection; `now` is the time since any moment that stays the same:
//! 1. Send [`Link::hello`].
//! 2. Give every line of the neighbour to [`Link::answered`]; send a [`Answered::Reply`]; on an error close, back off
//!    and begin again. After [`Answered::Up`] go on.
//! 3. Send what [`Link::due`] yields, calling [`Link::written`] after each write, until it yields nothing; again
//!    whenever an update has been applied, and at [`Link::heartbeat_at`].
//! 4. If [`Link::is_silent`], or when the connection ends, close it and call [`Link::hung_up`].
//!
//! A neighbour of the legacy dialect knows none of that: see [`crate::proto::peering::legacy`].

use std::sync::Arc;
use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::anti_entropy::{Compared, Repair};
use crate::proto::peering::auth::{Handshake, Nonce, Role, is_proved, prove};
use crate::proto::peering::grammar::{
    Ack, Answer, Greeting, Heartbeat, Welcome, answer, push_proof, push_up_to,
};
pub use crate::proto::peering::link_error::LinkError;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::{Cursor, Scanned};

/// How often each side of a link hears from the other.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// After this long without a line the other side is gone, though no packet says so: three heartbeats were lost, and the
/// fourth has had its time. With [`HEARTBEAT_EVERY`] it keeps an unnoticed end below five seconds.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(4);

/// Lines after which the neighbour is told up to where it has everything. When a connection breaks, no more are sent
/// again.
const UNANNOUNCED_LINES_MAX: usize = SCAN_RECORDS_MAX;

/// The sending side of one link.
#[derive(Debug)]
pub struct Link {
    me: Arc<Identity>,
    neighbour: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Down,
    /// We have said hello with this nonce.
    Greeted(Nonce),
    /// We have proved who we are to a neighbour that has the memory of this epoch.
    Proved(Box<Handshake>, Epoch),
    Live(Box<Live>),
}

#[derive(Debug)]
struct Live {
    /// The epoch of the neighbour.
    epoch: Epoch,
    cursor: Cursor,
    /// The sequence number up to which the neighbour has said to have merged our changes.
    acknowledged: u64,
    /// Lines since the neighbour was last told up to where it has everything.
    unannounced_lines: usize,
    heartbeat_at: Duration,
    last_heard_at: Duration,
    compared: Option<Compared>,
    repair: Option<Repair>,
}

/// The lines that were just copied for the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cursor moves only after its lines were written"]
pub struct Due {
    scanned: Scanned,
    /// Whether they say up to where the neighbour has everything.
    announces: bool,
    is_heartbeat: bool,
    /// How far a repair has come, if these lines are of one.
    repaired: Option<Option<usize>>,
}

impl Due {
    /// The `AT` lines in it, those of a repair not counted.
    pub fn lines(self) -> usize {
        self.scanned.lines()
    }
}

/// What a line of the neighbour leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Send this.
    Reply(Vec<u8>),
    /// The link is up.
    Up,
    /// The neighbour lives, and has merged our changes as far as it says.
    Acknowledged,
    /// The neighbour lives, and this many buckets stay different although each side has sent the other everything. They
    /// are due now.
    Differs(usize),
}

impl Link {
    /// The link to the neighbour with this index, not yet up.
    pub fn new(me: Arc<Identity>, neighbour: usize) -> Link {
        Link { me, neighbour, state: State::Down }
    }

    /// The index of the neighbour.
    pub fn neighbour(&self) -> usize {
        self.neighbour
    }

    /// Whether the neighbour has welcomed us.
    pub fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// The line that opens a connection. The nonce must be unpredictable.
    pub fn hello(&mut self, nonce: Nonce) -> Vec<u8> {
        self.state = State::Greeted(nonce);
        let to = self.me.neighbours[self.neighbour].name.clone();
        let mut line = Vec::new();
        Greeting { from: self.me.name.clone(), to, epoch: self.me.epoch, nonce }.push_to("HELLO", &mut line);
        line
    }

    /// Takes a line of the neighbour.
    pub fn answered(&mut self, node: &Node, line: &[u8], now: Duration) -> Result<Answered, LinkError> {
        match (answer(line)?, &self.state) {
            (Answer::Challenge(challenge), State::Greeted(nonce)) => self.challenged(challenge, *nonce),
            (Answer::Welcome(welcome), State::Proved(handshake, epoch)) => {
                if !is_proved(self.me.secret.as_ref(), Role::Responder, handshake, welcome.proof) {
                    return Err(LinkError::WrongProof);
                }
                self.state = State::Live(Box::new(Live::new(node, self.neighbour, *epoch, welcome, now)));
                Ok(Answered::Up)
            }
            (Answer::Ack(ack), State::Live(_)) => Ok(self.acknowledged(node, *ack, now)),
            (_, _) => Err(LinkError::OutOfPlace),
        }
    }

    /// Appends the next lines that are due, and says what they are; `None` when nothing is due, or the link is not up.
    /// `durable` is the sequence number of the last change that a crash could not undo: nothing after it is sent.
    pub fn due(&self, node: &Node, durable: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        let live = self.live()?;
        let scanned = live.cursor.copy(node.store(), durable, SCAN_RECORDS_MAX, out);
        let repaired = match &live.repair {
            Some(repair) if !live.cursor.is_behind(node.store(), durable) => {
                Some(repair.push_next_to(node.store(), durable, out))
            }
            Some(_) | None => None,
        };
        let is_heartbeat = now >= live.heartbeat_at;
        let is_full = live.unannounced_lines + scanned.lines() >= UNANNOUNCED_LINES_MAX;
        let announces = is_heartbeat || is_full;
        let safe = live.cursor.safe(scanned);
        if is_heartbeat {
            let digest = node.store().digest().total();
            let terms = node.terms_for(self.neighbour);
            Heartbeat { up_to: safe, digest, terms }.push_to(out);
        } else if announces {
            push_up_to(safe, out);
        }
        let moves = scanned.position() > live.cursor.position();
        (moves || announces || repaired.is_some()).then_some(Due {
            scanned,
            announces,
            is_heartbeat,
            repaired,
        })
    }

    /// Moves the cursor: the lines that were due at `now` have been written.
    pub fn written(&mut self, due: Due, now: Duration) {
        let State::Live(live) = &mut self.state else { return };
        live.cursor.advance(due.scanned);
        live.unannounced_lines = if due.announces { 0 } else { live.unannounced_lines + due.lines() };
        if due.is_heartbeat {
            live.heartbeat_at = now + HEARTBEAT_EVERY;
        }
        if let (Some(next), Some(repair)) = (due.repaired, &mut live.repair) {
            match next {
                Some(next) => repair.go_on_at(next),
                None => live.repair = None,
            }
        }
    }

    /// When the next heartbeat is due, if the link is up.
    pub fn heartbeat_at(&self) -> Option<Duration> {
        self.live().map(|live| live.heartbeat_at)
    }

    /// Makes a heartbeat due at once, so that the neighbour acknowledges what it has received.
    pub fn ask_for_ack(&mut self) {
        if let State::Live(live) = &mut self.state {
            live.heartbeat_at = Duration::ZERO;
        }
    }

    /// Whether the neighbour has been silent for [`PEER_TIMEOUT`], so that it must be gone.
    pub fn is_silent(&self, now: Duration) -> bool {
        self.live().is_some_and(|live| now >= live.last_heard_at + PEER_TIMEOUT)
    }

    /// The connection has ended; the next one begins with a hello.
    pub fn hung_up(&mut self) {
        self.state = State::Down;
    }

    /// The sequence number up to which the neighbour has been sent our changes, if the link is up.
    pub fn position(&self) -> Option<u64> {
        self.live().map(|live| live.cursor.position())
    }

    /// The sequence number up to which the neighbour has said to have merged our changes, if the link is up.
    pub fn acknowledged_position(&self) -> Option<u64> {
        self.live().map(|live| live.acknowledged)
    }

    fn challenged(&mut self, challenge: Greeting, nonce: Nonce) -> Result<Answered, LinkError> {
        if challenge.from != self.me.neighbours[self.neighbour].name || challenge.to != self.me.name {
            return Err(LinkError::WrongServer);
        }
        let handshake = Handshake {
            initiator: self.me.name.clone(),
            responder: challenge.from,
            initiator_nonce: nonce,
            responder_nonce: challenge.nonce,
        };
        let mut line = Vec::new();
        push_proof(prove(self.me.secret.as_ref(), Role::Initiator, &handshake), &mut line);
        self.state = State::Proved(Box::new(handshake), challenge.epoch);
        Ok(Answered::Reply(line))
    }

    fn acknowledged(&mut self, node: &Node, ack: Ack, now: Duration) -> Answered {
        let (catch_up, neighbour) = (self.me.catch_up, self.neighbour);
        let State::Live(live) = &mut self.state else { return Answered::Acknowledged };
        live.last_heard_at = now;
        live.acknowledged = live.acknowledged.max(ack.received_up_to.min(node.store().last_seq()));
        let can_compare = catch_up && node.store().expiry.is_swept_to(ack.cutoff_s);
        let theirs = ack.buckets.filter(|_| can_compare);
        let compared = theirs.map(|theirs| Compared::of(node.store(), ack.last_seq, theirs));
        let before = std::mem::replace(&mut live.compared, compared);
        if let (Some(before), Some(now), None) = (before, &live.compared, &live.repair) {
            let received_up_to = node.received_up_to(neighbour, live.epoch);
            live.repair = Repair::of(&before, now, live.acknowledged, received_up_to);
            if let Some(repair) = &live.repair {
                return Answered::Differs(repair.buckets());
            }
        }
        Answered::Acknowledged
    }

    fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Down | State::Greeted(_) | State::Proved(..) => None,
        }
    }
}

impl Live {
    fn new(node: &Node, neighbour: usize, epoch: Epoch, welcome: Welcome, now: Duration) -> Live {
        let (me, last) = (node.identity(), node.store().last_seq());
        // A neighbour that has received more than there is has done so from another memory of ours: everything is due.
        let known = if welcome.received_up_to <= last { welcome.received_up_to } else { 0 };
        let position = if me.catch_up { known } else { last };
        Live {
            epoch,
            cursor: Cursor::new(position, me.source(neighbour, epoch)),
            acknowledged: known,
            unannounced_lines: 0,
            heartbeat_at: now + HEARTBEAT_EVERY,
            last_heard_at: now,
            compared: None,
            repair: None,
        }
    }
}
