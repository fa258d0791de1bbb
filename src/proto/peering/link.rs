//! What a sender owes its neighbour: a position in the order of change, and everything after it.
//!
//! A driver does this for each connection; `now` is the time since any moment that stays the same:
//! 1. Send [`Link::hello`].
//! 2. Give every line of the neighbour to [`Link::answered`]; send a [`Answered::Reply`]; on an error close, back off
//!    and begin again. After [`Answered::Up`] go on.
//! 3. Send what [`Link::due`] yields, calling [`Link::written`] after each write, until it yields nothing; again
//!    whenever there is news, and at [`Link::heartbeat_at`].
//! 4. If [`Link::is_silent`], or when the connection ends, close it and call [`Link::hung_up`].
//!
//! A neighbour of the classic dialect knows none of that: see [`crate::proto::peering::legacy`].

use std::sync::Arc;
use std::time::Duration;

use crate::proto::bug::Bug;
use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, NO_WAL, Node};
use crate::proto::peering::anti_entropy::{Compared, Repair};
use crate::proto::peering::auth::{Handshake, Nonce, Role, is_proved, prove};
use crate::proto::peering::grammar::{
    Ack, Answer, Greeting, Heartbeat, Welcome, answer, push_proof, push_up_to,
};
pub use crate::proto::peering::link_error::LinkError;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::{Superseded, SupersededRange};
use crate::proto::store::update::Source;

/// How often each side of a link hears from the other.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// After so long without a word the other side is gone, though no packet says so: three beats were lost, and the
/// fourth has had its time. With [`HEARTBEAT_EVERY`] it keeps what goes unnoticed below five seconds.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(4);

/// Lines after which the neighbour is told how far they reach: what is sent again when a connection breaks.
const UNSAID_LINES_MAX: usize = SCAN_RECORDS_MAX;

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
    /// The neighbour as whom it tells us things.
    epoch: Epoch,
    /// How far we have told it, and how far it has said to have merged.
    position: u64,
    acknowledged: u64,
    /// What was passed on the way to the position, and may have to be told after a crash.
    hidden: Superseded,
    /// Lines since it was last told how far they reach.
    unsaid_lines: usize,
    heartbeat_at: Duration,
    last_heard_at: Duration,
    compared: Option<Compared>,
    repair: Option<Repair>,
}

/// What was just copied for the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a position moves only after its lines were written"]
pub struct Due {
    reached: u64,
    passed: Option<SupersededRange>,
    kept: u64,
    lines: usize,
    said: bool,
    beaten: bool,
    /// How far a repair has come, if it is that.
    repaired: Option<Option<usize>>,
}

impl Due {
    /// The `AT` lines in it, those of a repair not counted.
    pub fn lines(self) -> usize {
        self.lines
    }
}

/// What a line of the neighbour leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Send this.
    Reply(Vec<u8>),
    /// The link is up.
    Up,
    /// It lives, and has merged what it says.
    Acknowledged,
    /// It lives, and so many buckets stay different although each side has told the other everything. They are
    /// due now.
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

    /// The line that opens a connection. The nonce must be one that nobody can foretell.
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
                self.state = State::Live(Box::new(Live::new(node, *epoch, welcome, now)));
                Ok(Answered::Up)
            }
            (Answer::Ack(ack), State::Live(_)) => Ok(self.acknowledged(node, *ack, now)),
            (_, _) => Err(LinkError::OutOfPlace),
        }
    }

    /// Appends the next lines that are owed, and says what they are; `None` when nothing is owed, or the link is not
    /// up. Nothing is told that a crash could undo: `kept` is the number of the last change that it could not.
    pub fn due(&self, node: &Node, kept: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        let kept = if self.me.has(Bug::ToldBeforeKept) { NO_WAL } else { kept };
        let live = self.live()?;
        let position = live.position;
        let passed = None;
        let mut due =
            Due { reached: position, passed, kept, lines: 0, said: false, beaten: false, repaired: None };
        if position < node.store().last_seq().min(kept) {
            let teller = self.me.teller(self.neighbour, live.epoch);
            let except = if self.me.has(Bug::ToldSentBack) { Source::CLIENT } else { teller };
            let walked = node.store().scan_after(position, kept, except, SCAN_RECORDS_MAX, out);
            (due.reached, due.lines, due.passed) = (walked.reached, walked.lines, walked.passed);
            if self.me.has(Bug::WalkOffByOne) && due.lines == SCAN_RECORDS_MAX {
                due.reached += 1;
            }
        } else if let Some(repair) = &live.repair {
            due.repaired = Some(repair.push_next_to(node.store(), kept, out));
        }
        due.beaten = now >= live.heartbeat_at;
        let full = live.unsaid_lines + due.lines >= UNSAID_LINES_MAX;
        due.said = due.beaten || (full && !self.me.has(Bug::PositionNeverSaid));
        let safe = live.hidden.safe(due.reached, due.passed, kept);
        if due.beaten {
            let total = node.store().digest().total();
            let position = if self.me.has(Bug::PositionNeverSaid) { 0 } else { safe };
            Heartbeat { position, total }.push_to(out);
        } else if due.said {
            push_up_to(safe, out);
        }
        (due.reached > position || due.said || due.repaired.is_some()).then_some(due)
    }

    /// Moves the position: what was due at `now` has been written.
    pub fn written(&mut self, due: Due, now: Duration) {
        let State::Live(live) = &mut self.state else { return };
        live.position = due.reached;
        live.hidden.pass(due.passed, due.kept);
        live.unsaid_lines = if due.said { 0 } else { live.unsaid_lines + due.lines };
        if due.beaten {
            live.heartbeat_at = now + HEARTBEAT_EVERY;
        }
        if let (Some(next), Some(repair)) = (due.repaired, &mut live.repair) {
            match next {
                Some(next) => repair.go_on_at(next),
                None => live.repair = None,
            }
        }
    }

    /// When the next beat is due, if the link is up.
    pub fn heartbeat_at(&self) -> Option<Duration> {
        self.live().map(|live| live.heartbeat_at)
    }

    /// Makes a beat due at once, so that the neighbour acknowledges what it has been told.
    pub fn ask_for_ack(&mut self) {
        if let State::Live(live) = &mut self.state {
            live.heartbeat_at = Duration::ZERO;
        }
    }

    /// Whether the neighbour has not been heard of for so long that it must be gone.
    pub fn is_silent(&self, now: Duration) -> bool {
        self.live().is_some_and(|live| now >= live.last_heard_at + PEER_TIMEOUT)
    }

    /// The connection has ended; the next one begins with a hello.
    pub fn hung_up(&mut self) {
        self.state = State::Down;
    }

    /// The position of a link that is up: what the neighbour has been told of.
    pub fn position(&self) -> Option<u64> {
        self.live().map(|live| live.position)
    }

    /// What the neighbour has said to have merged, if the link is up.
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
        live.acknowledged = live.acknowledged.max(ack.position.min(node.store().last_seq()));
        let compared = ack.sums.filter(|_| catch_up).map(|sums| Compared::of(node.store(), ack.number, sums));
        let before = std::mem::replace(&mut live.compared, compared);
        if let (Some(before), Some(now), None) = (before, &live.compared, &live.repair) {
            let heard = node.heard(neighbour, live.epoch);
            live.repair = Repair::of(&self.me, &before, now, live.acknowledged, heard);
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
    fn new(node: &Node, epoch: Epoch, welcome: Welcome, now: Duration) -> Live {
        let last = node.store().last_seq();
        // A neighbour that has merged more than there is has met another memory of ours: everything is owed.
        let known = if welcome.position <= last { welcome.position } else { 0 };
        let known = if node.identity().has(Bug::WelcomeIgnored) { 0 } else { known };
        let position = if node.identity().catch_up { known } else { last };
        Live {
            epoch,
            position,
            acknowledged: known,
            hidden: Superseded::default(),
            unsaid_lines: 0,
            heartbeat_at: now + HEARTBEAT_EVERY,
            last_heard_at: now,
            compared: None,
            repair: None,
        }
    }
}
