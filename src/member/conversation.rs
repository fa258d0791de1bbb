//! One conversation without its input and output, for every driver: threads, tokio, epoll and the simulator.
//!
//! A driver reads into a framing, lends a [`Turn`], and calls [`Conversation::lines`] until it says [`Pause::Empty`].
//! What each pause asks of the driver stands at the pause. Before the replies leave, the driver
//!
//! 1. calls [`Turn::apply`], which merges what is pending;
//! 2. makes everything up to [`Turn::needs_lsn`] durable, or calls [`Turn::nack`] if that fails;
//! 3. wakes those who follow the change log, if [`Turn::take_changes`] says so;
//! 4. sends [`Turn::replies`], and calls [`Turn::sent`].
//!
//! [`super::Member::flush`] does the first three for a driver that may wait. A thread keeps one turn for its
//! connection; an event loop lends the same few to thousands of connections, which are idle most of the time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::metrics::Metrics;
use super::peer_registry::Claimant;
use super::turn::{Host, Turn};
use crate::logging::Escaped;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::line::query::{Query, WhatsAt};
use crate::proto::line::reason::Reason;
use crate::proto::model::time::Moment;
use crate::proto::node::Identity;
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::Heartbeat;
use crate::proto::peering::noise::EphemeralKey;
use crate::proto::peering::session as peer;
use crate::proto::session::{Refusal, Session, Step};

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    remote: Remote,
    is_client: bool,
    session: Session,
    /// Whether lines are logged. Asked once: the level does not change while the server runs.
    verbose: bool,
    neighbour: Option<usize>,
}

/// The other side of a connection, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The door that it came in by.
    pub door: &'static str,
    /// Its address.
    pub from: SocketAddr,
    /// Whether a proxy has named that address, or is there itself.
    pub is_proxied: bool,
}

/// Why no further line is taken for the moment.
#[derive(Debug)]
pub enum Pause {
    /// All complete lines were taken: send the replies, and read.
    Empty,
    /// The replies have become long: send them.
    Full,
    /// Send the replies. From then on read and write in these frames.
    Secured(Box<Frames>),
    /// A neighbour, by its index, has authenticated: end its older conversation, and wake the link to it. The replies
    /// welcome it.
    Authenticated(usize),
    /// A heartbeat, before which everything is applied: make it durable, and call [`Conversation::acknowledge`].
    Heartbeat(Heartbeat),
    /// A question about a known client: ask the provider with no lock held, and call [`Conversation::answer`]. Send
    /// the replies first if that may take its time.
    Ask(Query),
    /// Send the replies and close; this is why.
    Close(Refusal),
}

impl Conversation {
    /// With a client, or with a legacy neighbour: these, by their indices, are at the address.
    pub fn with_client(me: Arc<Identity>, remote: Remote, legacy: &[usize]) -> Conversation {
        let session = match legacy {
            [] => Session::client(me),
            neighbours => Session::legacy(me, neighbours.to_vec()),
        };
        Conversation::new(remote, true, session)
    }

    /// With a neighbour that has yet to authenticate. The key must be one that no outsider can foretell.
    pub fn with_peer(me: Arc<Identity>, remote: Remote, key: EphemeralKey) -> Conversation {
        Conversation::new(remote, false, Session::peer(me, key))
    }

    fn new(remote: Remote, is_client: bool, session: Session) -> Conversation {
        let verbose = log::log_enabled!(log::Level::Debug);
        Conversation { remote, is_client, session, neighbour: None, verbose }
    }

    /// The other side.
    pub fn remote(&self) -> Remote {
        self.remote
    }

    /// Whether it is a conversation with clients.
    pub fn is_client(&self) -> bool {
        self.is_client
    }

    /// Whether the other side has authenticated as a neighbour.
    pub fn is_peer(&self) -> bool {
        self.session.is_peer()
    }

    /// The neighbour that has authenticated, by its index.
    pub fn neighbour(&self) -> Option<usize> {
        self.neighbour
    }

    /// The server that says to be a neighbour, whether it has shown that or not.
    pub fn claimant(&self) -> Option<Claimant> {
        self.session.peer_epoch().map(|epoch| Claimant { epoch, from: self.remote.from })
    }

    /// Takes complete lines, received at `received`, until the driver has something to do. The replies have hardly more
    /// than `replies_bytes_max` bytes then.
    pub fn lines(
        &mut self,
        host: &impl Host,
        turn: &mut Turn,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
    ) -> Pause {
        turn.batch.retain_originals(host.is_near_capacity());
        loop {
            // Where lines are logged, each is looked at by itself.
            if !self.verbose {
                let taken =
                    self.session.canonical_lines(framing, received, replies_bytes_max, &mut turn.batch);
                turn.counts.lines += taken;
            }
            self.session.skip_telnet(framing, &mut turn.batch);
            let Some(line) = framing.next_line() else {
                return match self.session.unfinished_line(framing.partial(), &mut turn.batch) {
                    Some(why) => Pause::Close(why),
                    None => Pause::Empty,
                };
            };
            if let Some(pause) = self.line(host, turn, line, received) {
                match pause {
                    Pause::Authenticated(_) => framing.authenticated(),
                    // It would be taken for what is in the frames.
                    Pause::Secured(_) if framing.is_mid_line() => {
                        return Pause::Close(Refusal::Peer(peer::Refusal::InClear));
                    }
                    Pause::Empty | Pause::Full | Pause::Secured(_) => {}
                    Pause::Heartbeat(_) | Pause::Ask(_) | Pause::Close(_) => {}
                }
                return pause;
            }
            if self.session.expects_message() {
                framing.expect_message();
            }
            if turn.batch.replies().len() >= replies_bytes_max {
                return Pause::Full;
            }
        }
    }

    /// Takes one line; `None` if nothing but its reply comes of it. For a driver that cuts lines by itself: the others
    /// call [`Conversation::lines`].
    // Not inlined: what rare lines need of the stack would be touched by every thread.
    #[inline(never)]
    pub fn line(
        &mut self,
        host: &impl Host,
        turn: &mut Turn,
        line: Line<'_>,
        received: Moment,
    ) -> Option<Pause> {
        turn.counts.lines += 1;
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        let reply = turn.batch.replies().len();
        // Guesses at a secret could be tried on a message of the handshake.
        if self.verbose && !self.session.expects_message() {
            log::log!(level_of(text), "{} <- {}", self.remote, Escaped(text));
        }
        let pause = match self.session.line(line, received, &mut turn.batch) {
            Step::Next => None,
            Step::Refused(why) => {
                turn.counts.refused += 1;
                log::debug!("{} said what is not understood: {why}", self.remote);
                None
            }
            // The reply is no line.
            Step::Secured => return self.session.take_frames().map(Pause::Secured),
            Step::Ask(ask) => self.question(host, turn, text, &ask),
            Step::Authenticated(neighbour)
                if self.claimant().is_some_and(|claimant| !host.admits(neighbour, claimant)) =>
            {
                turn.complain(format_args!("{}", peer::Refusal::NameTaken));
                Some(Pause::Close(Refusal::Peer(peer::Refusal::NameTaken)))
            }
            Step::Authenticated(neighbour) => {
                host.write(|node| self.session.authenticate(node, &mut turn.batch));
                (turn.needs_lsn, turn.owes_welcome) = (host.lsn(), host.has_wal());
                self.neighbour = Some(neighbour);
                Some(Pause::Authenticated(neighbour))
            }
            Step::Heartbeat(heartbeat) => {
                turn.apply(host);
                return Some(Pause::Heartbeat(heartbeat));
            }
            Step::Close(why) => {
                turn.counts.refused += 1;
                Some(Pause::Close(why))
            }
        };
        self.log_replies_from(turn, reply);
        pause
    }

    /// Answers the first half of a question, where the client is.
    #[inline(never)]
    fn question(&self, host: &impl Host, turn: &mut Turn, text: &[u8], ask: &WhatsAt<'_>) -> Option<Pause> {
        turn.apply(host);
        let query = || host.read(|node| Query::of(node.store(), ask));
        let mut fetched = || {
            // Others may work while it is looked for.
            turn.permit = None;
            if host.fetch(ask.client.0) { query() } else { None }
        };
        match query().or_else(&mut fetched) {
            Some(query) => {
                turn.counts.questions += 1;
                Some(Pause::Ask(query))
            }
            None => {
                turn.batch.refuse_because(text, Reason::UnknownClient);
                turn.counts.refused += 1;
                log::debug!("{} asked about an unknown client", self.remote);
                None
            }
        }
    }

    /// Replies to a question with the text of a provider's answer.
    pub fn answer(&self, turn: &mut Turn, query: &Query, answer: &str) {
        let reply = turn.batch.replies().len();
        query.finish(answer, turn.batch.reply());
        self.log_replies_from(turn, reply);
    }

    /// Answers a heartbeat. A neighbour is told of no more than before, if what it said is not durable.
    pub fn acknowledge(
        &mut self,
        host: &impl Host,
        turn: &mut Turn,
        heartbeat: &Heartbeat,
        is_durable: bool,
    ) {
        let reply = turn.batch.replies().len();
        host.read(|node| self.session.heartbeat(node, heartbeat, is_durable, &mut turn.batch));
        self.log_replies_from(turn, reply);
    }

    fn log_replies_from(&self, turn: &Turn, start: usize) {
        let replies = &turn.batch.replies()[start..];
        if self.verbose && !replies.is_empty() {
            log::log!(level_of(replies), "{} -> {}", self.remote, Escaped(replies.trim_ascii_end()));
        }
    }
}

impl Remote {
    /// Logs that it has connected.
    pub fn log_connected(self, metrics: &Metrics) {
        metrics.log_connection(format_args!("{self} connected"));
    }

    /// Logs that its connection has ended, and why if neither side meant it to.
    pub fn log_disconnected(self, metrics: &Metrics, why: Option<&io::Error>) {
        match why {
            None => metrics.log_connection(format_args!("{self} disconnected")),
            Some(error) => metrics.log_connection(format_args!("{self} disconnected: {error}")),
        }
    }
}

impl Remote {
    /// Whether it is a program on this machine. Who comes through a proxy may be anyone, whatever the address is.
    pub fn is_local(&self) -> bool {
        !self.is_proxied && self.from.ip().to_canonical().is_loopback()
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.door, self.from)
    }
}

/// The level at which a line is logged. Heartbeats and their answers say nothing that a reader of the log would miss.
pub fn level_of(line: &[u8]) -> log::Level {
    let is_heartbeat =
        [&b"BEAT "[..], b"ACK ", b"UPTO ", b"IHAVE ", b"KNOWN "].iter().any(|word| line.starts_with(word));
    if is_heartbeat { log::Level::Trace } else { log::Level::Debug }
}
