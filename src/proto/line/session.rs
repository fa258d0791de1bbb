//! One conversation: a client's, or on the peer port a neighbour's once it has said hello.
//!
//! A driver calls [`Session::canonical_lines`], then [`Session::line`] for the next line of its framing, does what the step
//! says, and so on:
//! 1. [`Step::Next`] and [`Step::Refused`]: nothing more.
//! 2. [`Step::Ask`]: settle the batch, make a [`crate::proto::line::query::Query`] of the stored line, ask the provider with no lock held, and let
//!    [`crate::proto::line::query::Query::finish`] append the reply; [`Batch::refuse`] the line if nobody knows the client.
//! 3. [`Step::Authenticated`]: call [`Session::meet`] under the write lock, end the older conversation of that neighbour if
//!    there is one, and wake the link to it.
//! 4. [`Step::Heartbeat`]: settle the batch, and call [`Session::beat`] under the read lock.
//! 5. [`Step::Close`]: settle, send the replies, close the connection.
//!
//! LineCache a turn it tells the batch whether lines must be kept ([`Batch::keep_lines`]).
//! When no complete line is left it settles the batch under the write lock, sends the replies, and wakes
//! every link if there was news. A neighbour that has said nothing for [`crate::proto::peering::link::PEER_TIMEOUT`] is gone.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::command::{ClientCommand, WhatsAt, client_command};
use crate::proto::line::fast::LineCache;
use crate::proto::line::fast::reply_prefix::ReplyPrefix;
use crate::proto::line::framing::Line;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::ParseError;
use crate::proto::model::sighting::at_line;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::auth::{Handshake, Nonce, Role as ProofRole, is_proved, prove};
use crate::proto::peering::grammar::{Ack, Call, Greeting, Heartbeat, Welcome, call};
use crate::proto::store::update::{MergeRule, Reached, Source};

/// One conversation.
#[derive(Debug)]
pub struct Session {
    pub(crate) me: Arc<Identity>,
    pub(crate) role: Role,
    pub(crate) opening: ReplyPrefix,
    pub(crate) before: LineCache,
}

#[derive(Debug)]
pub(crate) enum Role {
    Client,
    /// On the client port, from where these neighbours of the classic dialect are.
    Legacy(Vec<usize>),
    /// On the peer port, before the hello; with our nonce.
    Unauthenticated(Nonce),
    /// It has said hello and must prove it.
    Challenged(Box<Initiator>),
    /// A neighbour in an epoch of its memory, and how far it was last told that we have come.
    Peer(usize, Epoch, u64),
}

#[derive(Debug)]
pub(crate) struct Initiator {
    neighbour: usize,
    epoch: Epoch,
    handshake: Handshake,
}

/// What the driver must do about a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// Go on.
    Next,
    /// Go on; the error line is in the batch, and this is why.
    Refused(Refusal),
    /// A question that needs the store and a provider.
    Ask(WhatsAt<'a>),
    /// A neighbour, by its index, has proved that it is here.
    Authenticated(usize),
    /// A neighbour's sign of life, which wants to be answered.
    Heartbeat(Heartbeat),
    /// Send the replies and close; this is why.
    Close(Refusal),
}

/// Why a line got an error line. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no command that is understood here.
    #[error(transparent)]
    Parse(ParseError),
    /// It is longer than allowed.
    #[error("the line is too long")]
    TooLong,
    /// A report from so far in the future that its client could report nothing more.
    #[error("the client's clock is ahead of ours by more than --max-clock-lead allows")]
    ClockAhead,
    /// Something that only a neighbour may say, from somebody who has not proved to be one.
    #[error("it is not HELLO and PROOF that came first")]
    NotProved,
    /// A greeting from somebody who is known already.
    #[error("a second HELLO or PROOF")]
    SecondHello,
    /// A hello in a dialect of another version.
    #[error("HELLO in another version: run the same release on both servers")]
    Version,
    /// It does not know the herd's secret, or we do not.
    #[error("it proves another secret than ours: give both servers the same one")]
    WrongProof,
    /// A hello that is meant for another server.
    #[error("HELLO to another server: compare the addresses in both herd files")]
    NotMe,
    /// A hello from a server that is no neighbour.
    #[error("HELLO from a server that is no neighbour: compare the links in both herd files")]
    NotANeighbour,
}

impl Session {
    /// A conversation on the client port.
    pub fn client(me: Arc<Identity>) -> Session {
        Session::new(me, Role::Client)
    }

    /// A conversation on the client port, from the address of these neighbours, by their indices: whose dialect is
    /// the classic one, and whose `AT` lines are believed here. Clients may be at that address too.
    pub fn legacy(me: Arc<Identity>, neighbours: Vec<usize>) -> Session {
        Session::new(me, Role::Legacy(neighbours))
    }

    /// A conversation on the peer port. The nonce must be one that nobody can foretell.
    pub fn peer(me: Arc<Identity>, nonce: Nonce) -> Session {
        Session::new(me, Role::Unauthenticated(nonce))
    }

    fn new(me: Arc<Identity>, role: Role) -> Session {
        let opening = ReplyPrefix::of(&me.name);
        Session { me, role, opening, before: LineCache::default() }
    }

    /// Takes one line that came in at `received`: its replies and sightings go into the batch.
    pub fn line<'a>(&mut self, line: Line<'a>, received: Moment, batch: &mut Batch) -> Step<'a> {
        let text = match line {
            Line::Whole(text) => text,
            Line::TooLong(cut) => {
                batch.refuse(cut);
                return Step::Close(Refusal::TooLong);
            }
        };
        let step = match &self.role {
            Role::Client => self.client_line(text, received, batch),
            Role::Legacy(neighbours) => self.legacy_line(neighbours, text, received, batch),
            Role::Unauthenticated(nonce) => self.stranger_line(*nonce, text, batch),
            Role::Challenged(initiator) => self.challenged_line(initiator, text),
            Role::Peer(neighbour, epoch, _) => self.peer_line(*neighbour, *epoch, text, batch),
        };
        match step {
            Ok((step, None)) => step,
            Ok((step, Some(role))) => {
                self.role = role;
                step
            }
            Err(refusal) => {
                batch.refuse(text);
                if refusal.ends() { Step::Close(refusal) } else { Step::Refused(refusal) }
            }
        }
    }

    /// Whether the other side has proved to be a neighbour.
    pub fn is_peer(&self) -> bool {
        matches!(self.role, Role::Peer(..))
    }

    /// Makes this the conversation of a neighbour that has proved it, and welcomes it.
    pub fn authenticate(&mut self, node: &mut Node, batch: &mut Batch) {
        let Role::Challenged(initiator) = &self.role else { return };
        let Initiator { neighbour, epoch, ref handshake } = **initiator;
        node.begin_epoch(neighbour, epoch);
        let proof = prove(self.me.secret.as_ref(), ProofRole::Responder, handshake);
        let received_up_to = node.received_up_to(neighbour, epoch);
        Welcome { proof, received_up_to }.push_to(batch.reply());
        self.role = Role::Peer(neighbour, epoch, received_up_to);
    }

    /// Answers a beat; all that came before it has been settled. If that is not kept, the neighbour is told no more
    /// than before: it must have it all the longer.
    pub fn heartbeat(&mut self, node: &Node, beat: &Heartbeat, is_kept: bool, batch: &mut Batch) {
        if let Role::Peer(neighbour, epoch, acknowledged) = &mut self.role {
            let ack = Ack::to(beat, node, *neighbour, *epoch);
            if is_kept {
                *acknowledged = ack.received_up_to;
            }
            Ack { received_up_to: *acknowledged, ..ack }.push_to(batch.reply());
        }
    }

    fn client_line<'a>(&self, text: &'a [u8], received: Moment, batch: &mut Batch) -> Outcome<'a> {
        match client_command(text)? {
            ClientCommand::IAmAt(report) => {
                if self.latest(received).is_some_and(|latest| report.time.moment() > latest) {
                    return Err(Refusal::ClockAhead);
                }
                batch.report(&self.opening, text, &report, received);
                Ok((Step::Next, None))
            }
            ClientCommand::WhatsAt(ask) => Ok((Step::Ask(ask), None)),
        }
    }

    /// A client's line, or news of a neighbour of the classic dialect, which is never answered. Its equal times are
    /// no news, for some of them rewrite the skew or the origin of what they pass on.
    fn legacy_line<'a>(
        &self,
        neighbours: &[usize],
        text: &'a [u8],
        received: Moment,
        batch: &mut Batch,
    ) -> Outcome<'a> {
        let Ok((sighting, sender)) = at_line(text) else { return self.client_line(text, received, batch) };
        let is_sender = |&&index: &&usize| Some(self.me.neighbours[index].name.as_str()) == sender;
        let teller = match (neighbours.iter().find(is_sender), neighbours) {
            (Some(&one), _) | (None, &[one]) => Source::neighbour(one, Epoch::LEGACY),
            // It may be sent back to the one that said it, which knows it.
            (None, _) => Source::CLIENT,
        };
        batch.tell(&sighting, teller, MergeRule::LaterTime);
        Ok((Step::Next, None))
    }

    fn stranger_line<'a>(&self, nonce: Nonce, text: &'a [u8], batch: &mut Batch) -> Outcome<'a> {
        let hello = match call(text)? {
            Call::Hello(hello) => hello,
            Call::At(_) | Call::UpTo(_) | Call::Heartbeat(_) | Call::Proof(_) => {
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
        let initiator = Initiator { neighbour, epoch: hello.epoch, handshake };
        Ok((Step::Next, Some(Role::Challenged(Box::new(initiator)))))
    }

    fn challenged_line<'a>(&self, initiator: &Initiator, text: &'a [u8]) -> Outcome<'a> {
        let proof = match call(text)? {
            Call::Proof(proof) => proof,
            Call::Hello(_) => return Err(Refusal::SecondHello),
            Call::At(_) | Call::UpTo(_) | Call::Heartbeat(_) => return Err(Refusal::NotProved),
        };
        if is_proved(self.me.secret.as_ref(), ProofRole::Initiator, &initiator.handshake, proof) {
            Ok((Step::Authenticated(initiator.neighbour), None))
        } else {
            Err(Refusal::WrongProof)
        }
    }

    fn peer_line<'a>(
        &self,
        neighbour: usize,
        epoch: Epoch,
        text: &'a [u8],
        batch: &mut Batch,
    ) -> Outcome<'a> {
        match call(text)? {
            Call::At(sighting) => {
                batch.tell(&sighting, self.me.source(neighbour, epoch), MergeRule::GreaterSighting);
                Ok((Step::Next, None))
            }
            Call::UpTo(position) => {
                batch.tell_reached(Reached { neighbour, epoch, up_to: position });
                Ok((Step::Next, None))
            }
            Call::Heartbeat(beat) => {
                batch.tell_reached(Reached { neighbour, epoch, up_to: beat.up_to });
                Ok((Step::Heartbeat(beat), None))
            }
            Call::Hello(_) | Call::Proof(_) => Err(Refusal::SecondHello),
        }
    }
}

/// What a line leads to, and the role that the other side has from then on, if that is another.
type Outcome<'a> = Result<(Step<'a>, Option<Role>), Refusal>;

impl Refusal {
    /// Whether the connection is of no use after it.
    fn ends(self) -> bool {
        match self {
            Refusal::Version | Refusal::NotMe | Refusal::NotANeighbour | Refusal::WrongProof => true,
            Refusal::Parse(_)
            | Refusal::TooLong
            | Refusal::ClockAhead
            | Refusal::NotProved
            | Refusal::SecondHello => false,
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        if error == ParseError::Version { Refusal::Version } else { Refusal::Parse(error) }
    }
}
