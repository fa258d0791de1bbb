//! A neighbour in: a conversation on the peer port. It says hello, shows in a herd with a secret
//! that it knows that, and then sends its changes.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::fast::FastPath;
use crate::proto::line::framing::Framing;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::ParseError;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::{
    Ack, Call, Greeting, Heartbeat, PEER_VERSION, Welcome, call, other_version,
};
use crate::proto::peering::noise::{self, Differs, EphemeralKey};
use crate::proto::store::update::{MergeRule, Reached};

/// A conversation on the peer port.
#[derive(Debug)]
pub struct Session {
    me: Arc<Identity>,
    state: State,
    fast: FastPath,
    /// Our key for the handshake.
    key: EphemeralKey,
    /// What encrypts the conversation, from the handshake until the driver takes it.
    frames: Option<Box<Frames>>,
}

#[derive(Debug)]
enum State {
    /// It has not said hello.
    Unauthenticated,
    /// The neighbour with this index has said hello, and begins a handshake.
    Greeted(usize, Box<Greeting>),
    /// It has our answer, and must say that it is ready. In a herd with a secret it may be one who replays what another
    /// has said, until a frame of its own has opened.
    Answered {
        index: usize,
        epoch: Epoch,
    },
    Authenticated(Neighbour),
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    index: usize,
    /// The epoch of its memory.
    epoch: Epoch,
    /// The sequence number up to which its changes were last acknowledged to it.
    acknowledged: u64,
    /// Whether it understands that it is told to prune its link.
    may_prune: bool,
}

/// What the driver must do about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Go on.
    Next,
    /// Send the reply; what comes after it, in both directions, is in `Session::take_frames`.
    Secured,
    /// A neighbour, by its index, has shown that it is here.
    Authenticated(usize),
    /// A neighbour's sign of life, which wants to be answered.
    Heartbeat(Heartbeat),
}

/// Why a line on the peer port got an error line. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no line of a neighbour.
    #[error(transparent)]
    Parse(ParseError),
    /// A line that only a neighbour may send, from a server that has not shown to be one.
    #[error("it is not HELLO and READY that came first")]
    NotProved,
    /// A greeting from a neighbour that has authenticated already.
    #[error("a second HELLO or READY")]
    SecondHello,
    /// A hello in a dialect of another version; the neighbour's index, if the name is one's.
    #[error(
        "it speaks version {version} and this release {PEER_VERSION}: run the same release on both servers"
    )]
    Version {
        /// The version.
        version: u64,
        /// Who says to speak it.
        neighbour: Option<usize>,
    },
    /// It has another secret than we, or means another server; or what it said was changed on its way.
    #[error("{Differs}: give both servers the same secret, herd file and release")]
    Differs,
    /// It sent more than the first message of the handshake before it had the answer.
    #[error("it has sent something in clear after the handshake had begun")]
    InClear,
    /// It has no secret at all.
    #[error("one of us has no secret: it has none, give it ours")]
    NoSecretThere,
    /// We have no secret at all.
    #[error("one of us has no secret: we have none, give this server the other's")]
    NoSecretHere,
    /// A hello that is meant for another server.
    #[error("HELLO to another server: compare the addresses in both herd files")]
    NotMe,
    /// A hello from a server that is no neighbour.
    #[error("HELLO from a server that is no neighbour: compare the links in both herd files")]
    NotANeighbour,
    /// A hello from a server whose name another has that is here.
    #[error("two servers have your name, and the other one is here: stop one, or give it a name of its own")]
    NameTaken,
}

impl Session {
    /// A conversation on the peer port. The key must be unpredictable.
    pub(crate) fn new(me: Arc<Identity>, key: EphemeralKey) -> Session {
        Session { me, state: State::Unauthenticated, fast: FastPath::default(), key, frames: None }
    }

    /// Takes canonical `AT` lines: see [`crate::proto::session::Session::canonical_lines`].
    pub(crate) fn canonical_lines(&mut self, framing: &mut Framing, batch: &mut Batch) -> u64 {
        let State::Authenticated(neighbour) = self.state else { return 0 };
        let source = self.me.source(neighbour.index, neighbour.epoch);
        self.fast.sightings(framing, source, batch)
    }

    /// Takes one line: its reply and its update go into the batch.
    // Not inlined, like the next: clients' lines would need its room on the stack.
    #[inline(never)]
    pub(crate) fn line(&mut self, line: &[u8], batch: &mut Batch) -> Result<Step, Refusal> {
        match &self.state {
            State::Unauthenticated => {
                self.state = self.hello(line, batch)?;
                Ok(Step::Next)
            }
            State::Greeted(index, hello) => {
                let (frames, epoch, reply) =
                    noise::answer(&self.me.secrets, hello, line, self.me.epoch, self.key)?;
                batch.reply().extend_from_slice(&reply);
                self.state = State::Answered { index: *index, epoch };
                self.frames = Some(Box::new(frames));
                Ok(Step::Secured)
            }
            State::Answered { index, .. } => match call(line)? {
                Call::Ready => Ok(Step::Authenticated(*index)),
                Call::Hello(_) => Err(Refusal::SecondHello),
                Call::At(_) | Call::Stored(_) | Call::UpTo(_) | Call::Heartbeat(_) => Err(Refusal::NotProved),
                Call::Lazy | Call::Offer(_) => Err(Refusal::NotProved),
            },
            State::Authenticated(neighbour) => self.neighbour_line(*neighbour, line, batch),
        }
    }

    /// Whether the other side sends a message of the handshake next, and not a line.
    pub(crate) fn expects_message(&self) -> bool {
        matches!(self.state, State::Greeted(..))
    }

    /// What encrypts all that comes after [`Step::Secured`].
    pub(crate) fn take_frames(&mut self) -> Option<Box<Frames>> {
        self.frames.take()
    }

    /// Whether the other side has shown to be a neighbour.
    pub(crate) fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated(_))
    }

    /// The epoch of the other side's memory, once it has said it.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match &self.state {
            State::Unauthenticated | State::Greeted(..) => None,
            State::Answered { epoch, .. } => Some(*epoch),
            State::Authenticated(neighbour) => Some(neighbour.epoch),
        }
    }

    /// Makes this the conversation of a neighbour that has shown that it is one, and welcomes it.
    #[inline(never)]
    pub(crate) fn authenticate(&mut self, node: &mut Node, batch: &mut Batch) {
        let State::Answered { index, epoch } = self.state else { return };
        node.begin_epoch(index, epoch);
        let received_up_to = node.received_up_to(index, epoch);
        Welcome { received_up_to }.push_to(batch.reply());
        let (acknowledged, may_prune) = (received_up_to, false);
        self.state = State::Authenticated(Neighbour { index, epoch, acknowledged, may_prune });
    }

    /// Answers a heartbeat; every line before it has been applied. If these are not durable, no more than before is
    /// acknowledged: the neighbour must keep them all the longer.
    pub(crate) fn heartbeat(
        &mut self,
        node: &Node,
        heartbeat: &Heartbeat,
        is_durable: bool,
        batch: &mut Batch,
    ) {
        let State::Authenticated(Neighbour { index, epoch, acknowledged, .. }) = &mut self.state else {
            return;
        };
        let ack = Ack::to(heartbeat, node, *index, *epoch);
        if is_durable {
            *acknowledged = ack.received_up_to;
        }
        Ack { received_up_to: *acknowledged, ..ack }.push_to(batch.reply());
    }

    /// What becomes of the conversation with this first line.
    fn hello(&self, line: &[u8], batch: &mut Batch) -> Result<State, Refusal> {
        let hello = match call(line) {
            Ok(Call::Hello(hello)) => hello,
            Ok(Call::At(_) | Call::Stored(_) | Call::UpTo(_) | Call::Heartbeat(_) | Call::Ready) => {
                return Err(Refusal::NotProved);
            }
            Ok(Call::Lazy | Call::Offer(_)) => return Err(Refusal::NotProved),
            Err(error) => return Err(self.not_ours(line, error)),
        };
        if hello.to != self.me.name {
            return Err(Refusal::NotMe);
        }
        let index = self.me.neighbour(&hello.from).ok_or(Refusal::NotANeighbour)?;
        match (hello.epoch, self.me.secrets.is_empty()) {
            (None, true) => Err(Refusal::NoSecretHere),
            (Some(_), false) => Err(Refusal::NoSecretThere),
            (None, false) => Ok(State::Greeted(index, Box::new(hello))),
            (Some(epoch), true) => {
                let (from, to) = (self.me.name.clone(), hello.from);
                Greeting { from, to, epoch: Some(self.me.epoch) }.push_to(batch.reply());
                Ok(State::Answered { index, epoch })
            }
        }
    }

    /// Why a first line is no hello of ours.
    fn not_ours(&self, line: &[u8], error: ParseError) -> Refusal {
        let Some((version, from)) = other_version(line) else { return Refusal::Parse(error) };
        let neighbour = ServerName::parse(from).ok().and_then(|from| self.me.neighbour(&from));
        Refusal::Version { version, neighbour }
    }

    fn neighbour_line(
        &mut self,
        Neighbour { index, epoch, may_prune, .. }: Neighbour,
        line: &[u8],
        batch: &mut Batch,
    ) -> Result<Step, Refusal> {
        let reached = |up_to, terms| Reached { neighbour: index, epoch, up_to, terms, may_prune };
        match call(line)? {
            Call::At(sighting) => {
                batch.learn(&sighting, self.me.source(index, epoch), MergeRule::GreaterSighting);
                Ok(Step::Next)
            }
            Call::Stored(stored) => {
                batch.learn_stored(&stored, self.me.source(index, epoch));
                Ok(Step::Next)
            }
            Call::UpTo(up_to) => {
                batch.set_reached(reached(up_to, None));
                Ok(Step::Next)
            }
            Call::Heartbeat(heartbeat) => {
                batch.set_reached(reached(heartbeat.up_to, Some(heartbeat.terms)));
                Ok(Step::Heartbeat(heartbeat))
            }
            Call::Lazy => {
                if let State::Authenticated(neighbour) = &mut self.state {
                    neighbour.may_prune = true;
                }
                Ok(Step::Next)
            }
            Call::Offer(offer) => {
                batch.offer(index, offer.position, offer.hashes());
                Ok(Step::Next)
            }
            Call::Hello(_) | Call::Ready => Err(Refusal::SecondHello),
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        Refusal::Parse(error)
    }
}

impl From<Differs> for Refusal {
    fn from(Differs: Differs) -> Refusal {
        Refusal::Differs
    }
}
