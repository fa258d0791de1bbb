//! A neighbour in: a conversation on the peer port. It says hello, proves who it is, and then sends its changes.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::fast::FastPath;
use crate::proto::line::framing::Framing;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::ParseError;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::auth::{Handshake, Nonce, Role, is_proved, prove};
use crate::proto::peering::grammar::{Ack, Call, Greeting, Heartbeat, Welcome, call};
use crate::proto::store::update::{MergeRule, Reached};

/// A conversation on the peer port.
#[derive(Debug)]
pub struct Session {
    me: Arc<Identity>,
    state: State,
    fast: FastPath,
}

#[derive(Debug)]
enum State {
    /// It has not said hello; with our nonce.
    Unauthenticated(Nonce),
    /// It has said hello and must prove it.
    Challenged(Box<Initiator>),
    Authenticated(Neighbour),
}

#[derive(Debug)]
struct Initiator {
    neighbour: usize,
    epoch: Epoch,
    handshake: Handshake,
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    index: usize,
    /// The epoch of its memory.
    epoch: Epoch,
    /// The sequence number up to which its changes were last acknowledged to it.
    acknowledged: u64,
}

/// What the driver must do about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Go on.
    Next,
    /// A neighbour, by its index, has proved that it is here.
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
    /// A line that only a neighbour may send, from a server that has not proved to be one.
    #[error("it is not HELLO and PROOF that came first")]
    NotProved,
    /// A greeting from a neighbour that has authenticated already.
    #[error("a second HELLO or PROOF")]
    SecondHello,
    /// A hello in a dialect of another version.
    #[error("HELLO in another version: run the same release on both servers")]
    Version,
    /// It does not know the herd's secret, or we do not.
    #[error("wrong secret: it proves another than ours, give both servers the same one")]
    WrongProof,
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
    /// A conversation on the peer port. The nonce must be unpredictable.
    pub(crate) fn new(me: Arc<Identity>, nonce: Nonce) -> Session {
        Session { me, state: State::Unauthenticated(nonce), fast: FastPath::default() }
    }

    /// Takes canonical `AT` lines: see [`crate::proto::session::Session::canonical_lines`].
    pub(crate) fn canonical_lines(&mut self, framing: &mut Framing, batch: &mut Batch) -> u64 {
        let State::Authenticated(neighbour) = self.state else { return 0 };
        let source = self.me.source(neighbour.index, neighbour.epoch);
        self.fast.sightings(framing, source, batch)
    }

    /// Takes one line: its reply and its update go into the batch.
    pub(crate) fn line(&mut self, line: &[u8], batch: &mut Batch) -> Result<Step, Refusal> {
        match &self.state {
            State::Unauthenticated(nonce) => {
                let initiator = self.hello(*nonce, line, batch)?;
                self.state = State::Challenged(Box::new(initiator));
                Ok(Step::Next)
            }
            State::Challenged(initiator) => self.proof(initiator, line),
            State::Authenticated(neighbour) => self.neighbour_line(*neighbour, line, batch),
        }
    }

    /// Whether the other side has proved to be a neighbour.
    pub(crate) fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated(_))
    }

    /// The epoch of the other side's memory, once it has said hello.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match &self.state {
            State::Unauthenticated(_) => None,
            State::Challenged(initiator) => Some(initiator.epoch),
            State::Authenticated(neighbour) => Some(neighbour.epoch),
        }
    }

    /// Makes this the conversation of a neighbour that has proved it, and welcomes it.
    pub(crate) fn authenticate(&mut self, node: &mut Node, batch: &mut Batch) {
        let State::Challenged(initiator) = &self.state else { return };
        let Initiator { neighbour: index, epoch, ref handshake } = **initiator;
        node.begin_epoch(index, epoch);
        let proof = prove(self.me.secret.as_ref(), Role::Responder, handshake);
        let received_up_to = node.received_up_to(index, epoch);
        Welcome { proof, received_up_to }.push_to(batch.reply());
        self.state = State::Authenticated(Neighbour { index, epoch, acknowledged: received_up_to });
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
        let State::Authenticated(Neighbour { index, epoch, acknowledged }) = &mut self.state else { return };
        let ack = Ack::to(heartbeat, node, *index, *epoch);
        if is_durable {
            *acknowledged = ack.received_up_to;
        }
        Ack { received_up_to: *acknowledged, ..ack }.push_to(batch.reply());
    }

    fn hello(&self, nonce: Nonce, line: &[u8], batch: &mut Batch) -> Result<Initiator, Refusal> {
        let hello = match call(line)? {
            Call::Hello(hello) => hello,
            Call::At(_) | Call::Stored(_) | Call::UpTo(_) | Call::Heartbeat(_) | Call::Proof(_) => {
                return Err(Refusal::NotProved);
            }
        };
        if hello.to != self.me.name {
            return Err(Refusal::NotMe);
        }
        let neighbour = self.me.neighbour(&hello.from).ok_or(Refusal::NotANeighbour)?;
        let (from, to) = (self.me.name.clone(), hello.from.clone());
        Greeting { from, to, epoch: self.me.epoch, nonce }.push_to("CHALLENGE", batch.reply());
        let handshake = Handshake {
            initiator: hello.from,
            responder: hello.to,
            initiator_nonce: hello.nonce,
            responder_nonce: nonce,
        };
        Ok(Initiator { neighbour, epoch: hello.epoch, handshake })
    }

    fn proof(&self, initiator: &Initiator, line: &[u8]) -> Result<Step, Refusal> {
        let proof = match call(line)? {
            Call::Proof(proof) => proof,
            Call::Hello(_) => return Err(Refusal::SecondHello),
            Call::At(_) | Call::Stored(_) | Call::UpTo(_) | Call::Heartbeat(_) => {
                return Err(Refusal::NotProved);
            }
        };
        match (&self.me.secret, &proof) {
            _ if is_proved(self.me.secret.as_ref(), Role::Initiator, &initiator.handshake, proof) => {
                Ok(Step::Authenticated(initiator.neighbour))
            }
            (Some(_), None) => Err(Refusal::NoSecretThere),
            (None, Some(_)) => Err(Refusal::NoSecretHere),
            _ => Err(Refusal::WrongProof),
        }
    }

    fn neighbour_line(
        &self,
        Neighbour { index, epoch, .. }: Neighbour,
        line: &[u8],
        batch: &mut Batch,
    ) -> Result<Step, Refusal> {
        let reached = |up_to, terms| Reached { neighbour: index, epoch, up_to, terms };
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
            Call::Hello(_) | Call::Proof(_) => Err(Refusal::SecondHello),
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        if error == ParseError::Version { Refusal::Version } else { Refusal::Parse(error) }
    }
}
