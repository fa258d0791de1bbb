//! One conversation: a client's, or on the peer port a neighbour's once it has said hello.
//!
//! A driver calls, for every line that its framing yields, [`Session::line`], and does what the step says:
//! 1. [`Step::Next`] and [`Step::Refused`]: nothing more.
//! 2. [`Step::Ask`]: settle the batch, [`Node::search`], ask the provider with no lock held, and let
//!    [`super::search::Search::finish`] append the reply; [`Batch::refuse`] the line if nobody knows the client.
//! 3. [`Step::Meet`]: call [`Session::meet`] under the write lock, and wake the link to that neighbour.
//! 4. [`Step::Close`]: settle, send the replies, close the connection.
//!
//! Before a turn it tells the batch whether lines must be kept ([`Batch::keep_lines`]).
//! When no complete line is left it settles the batch under the write lock, sends the replies, and wakes
//! every link if there was news.

use std::sync::Arc;

use super::batch::Batch;
use super::command::{
    ClientCommand, Epoch, Greeting, PEER_VERSION, ParseError, PeerCommand, WhatsAt, client_command,
    peer_command,
};
use super::framing::Line;
use super::node::{Identity, Node};
use super::store::Teller;
use super::time::Moment;

/// One conversation.
#[derive(Debug)]
pub struct Session {
    me: Arc<Identity>,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Client,
    /// On the peer port, before the hello.
    Stranger,
    Peer(Teller),
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
    /// A neighbour, by its index, has said hello.
    Meet(usize, Epoch),
    /// Send the replies and close; this is why.
    Close(Refusal),
}

/// Why a line got an error line. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no command that is understood here.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It is longer than allowed.
    #[error("the line is too long")]
    TooLong,
    /// A report from so far in the future that its client could report nothing more.
    #[error("the client's clock is ahead of ours by more than --max-clock-lead allows")]
    ClockAhead,
    /// News from somebody who has not said hello.
    #[error("AT before HELLO")]
    NoHello,
    /// A hello from somebody who has said hello.
    #[error("a second HELLO")]
    SecondHello,
    /// A hello in a dialect of another version.
    #[error("HELLO in another version: run the same release on both servers")]
    Version,
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
        Session { me, role: Role::Client }
    }

    /// A conversation on the peer port.
    pub fn peer(me: Arc<Identity>) -> Session {
        Session { me, role: Role::Stranger }
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
        let step = match self.role {
            Role::Client => self.client_line(text, received, batch),
            Role::Stranger => self.stranger_line(text),
            Role::Peer(teller) => peer_line(text, teller, batch),
        };
        step.unwrap_or_else(|refusal| {
            batch.refuse(text);
            match refusal {
                Refusal::Version | Refusal::NotMe | Refusal::NotANeighbour => Step::Close(refusal),
                Refusal::Parse(_)
                | Refusal::TooLong
                | Refusal::ClockAhead
                | Refusal::NoHello
                | Refusal::SecondHello => Step::Refused(refusal),
            }
        })
    }

    /// Makes this the conversation of a neighbour that has said hello, and welcomes it.
    pub fn meet(&mut self, node: &mut Node, neighbour: usize, epoch: Epoch, batch: &mut Batch) {
        self.role = Role::Peer(node.meet(neighbour, epoch));
        let to = self.me.neighbours[neighbour].clone();
        let welcome =
            Greeting { version: PEER_VERSION, from: self.me.name.clone(), to, epoch: self.me.epoch };
        welcome.push_to("WELCOME", batch.reply());
    }

    fn client_line<'a>(
        &self,
        text: &'a [u8],
        received: Moment,
        batch: &mut Batch,
    ) -> Result<Step<'a>, Refusal> {
        match client_command(text)? {
            ClientCommand::IAmAt(report) => {
                if self.me.clock_lead_max.is_some_and(|lead| report.time.moment() > received.after(lead)) {
                    return Err(Refusal::ClockAhead);
                }
                batch.report(&self.me.name, text, &report, received);
                Ok(Step::Next)
            }
            ClientCommand::WhatsAt(ask) => Ok(Step::Ask(ask)),
        }
    }

    fn stranger_line<'a>(&self, text: &'a [u8]) -> Result<Step<'a>, Refusal> {
        match peer_command(text)? {
            PeerCommand::At(_) => Err(Refusal::NoHello),
            PeerCommand::Hello(hello) => {
                if hello.version != PEER_VERSION {
                    return Err(Refusal::Version);
                }
                if hello.to != self.me.name {
                    return Err(Refusal::NotMe);
                }
                let neighbour = self.me.neighbour(&hello.from).ok_or(Refusal::NotANeighbour)?;
                Ok(Step::Meet(neighbour, hello.epoch))
            }
        }
    }
}

fn peer_line<'a>(text: &'a [u8], teller: Teller, batch: &mut Batch) -> Result<Step<'a>, Refusal> {
    match peer_command(text)? {
        PeerCommand::At(sighting) => {
            batch.tell(&sighting, teller);
            Ok(Step::Next)
        }
        PeerCommand::Hello(_) => Err(Refusal::SecondHello),
    }
}
