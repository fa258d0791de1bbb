//! One conversation without its input and output, for every driver: threads, tokio, epoll and the simulator.
//!
//! A driver reads into a framing and calls [`Conversation::lines`] until it says [`Pause::Empty`]. What each pause asks
//! of the driver stands at the pause. Before replies leave, the driver
//!
//! 1. calls [`Conversation::apply`], which merges what is pending;
//! 2. makes everything up to [`Conversation::needs_lsn`] durable, or calls [`Conversation::nack`] if that fails;
//! 3. wakes those who follow the change log, if [`Conversation::take_changes`] says so;
//! 4. sends [`Conversation::replies`], and calls [`Conversation::sent`].
//!
//! [`super::Member::flush`] does the first three for a driver that may wait.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::wal_writer::Lsn;
use crate::logging::Escaped;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::line::query::Query;
use crate::proto::line::session::{Refusal, Session, Step};
use crate::proto::model::time::Moment;
use crate::proto::node::{Applied, Identity, Node};
use crate::proto::peering::auth::Nonce;
use crate::proto::peering::grammar::Heartbeat;

/// What a conversation needs of the member that it is a conversation with. A running member and a simulated one have
/// other locks and other journals.
pub trait Host {
    /// Merges what is pending in the batch, and records it. The `Lsn` must be durable before anything of it leaves.
    fn apply(&self, batch: &mut Batch) -> (Applied, Lsn);

    /// The `Lsn` of what was applied last.
    fn lsn(&self) -> Lsn;

    /// Looks at what is known.
    fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> T;

    /// Changes what is known of neighbours.
    fn write<T>(&self, change: impl FnOnce(&mut Node) -> T) -> T;

    /// Whether applied reports can turn out not to be durable.
    fn has_wal(&self) -> bool;

    /// Whether reports of new clients may be rejected soon. Only a hint, which may come late: the store decides.
    fn is_near_capacity(&self) -> bool;
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    remote: Remote,
    is_client: bool,
    session: Session,
    batch: Batch,
    needs_lsn: Lsn,
    /// Whether the replies welcome a neighbour, and with it promise something.
    owes_welcome: bool,
    /// Whether followers are yet to be told of changes.
    has_changes: bool,
    counts: Counts,
    /// Whether lines are logged. Asked once: the level does not change while the server runs.
    verbose: bool,
}

/// The other side of a connection, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The door that it came in by.
    pub door: &'static str,
    /// Its address.
    pub from: SocketAddr,
}

/// What a conversation has done since the last [`Conversation::take_counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were taken.
    pub lines: u64,
    /// Lines that got an error line.
    pub refused: u64,
    /// Reports of new clients that were rejected, because the most that may be are known.
    pub rejected: u64,
    /// Sightings that were applied.
    pub applied: u64,
    /// Sightings that were known or outdated.
    pub outdated: u64,
    /// Questions about a known client.
    pub questions: u64,
}

/// Why no further line is taken for the moment.
#[derive(Debug)]
pub enum Pause {
    /// All complete lines were taken: send the replies, and read.
    Empty,
    /// The replies have become long: send them.
    Full,
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
    /// With a client, or with whoever is at the address of these legacy neighbours, by their indices.
    pub fn with_client(
        host: &impl Host,
        me: Arc<Identity>,
        remote: Remote,
        legacy: &[usize],
    ) -> Conversation {
        let session = match legacy {
            [] => Session::client(me),
            neighbours => Session::classic(me, neighbours.to_vec()),
        };
        Conversation::new(host, remote, true, session)
    }

    /// With a neighbour that has yet to authenticate. The nonce must be one that no outsider can foretell.
    pub fn with_peer(host: &impl Host, me: Arc<Identity>, remote: Remote, nonce: Nonce) -> Conversation {
        Conversation::new(host, remote, false, Session::peer(me, nonce))
    }

    fn new(host: &impl Host, remote: Remote, is_client: bool, session: Session) -> Conversation {
        Conversation {
            remote,
            is_client,
            session,
            batch: if host.has_wal() { Batch::breakable() } else { Batch::default() },
            needs_lsn: Lsn::default(),
            owes_welcome: false,
            has_changes: false,
            counts: Counts::default(),
            verbose: log::log_enabled!(log::Level::Debug),
        }
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

    /// Takes complete lines, received at `received`, until the driver has something to do. The replies have hardly more
    /// than `replies_bytes_max` bytes then.
    pub fn lines(
        &mut self,
        host: &impl Host,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
    ) -> Pause {
        self.batch.keep_lines(host.is_near_capacity());
        loop {
            // Where lines are logged, each is looked at by itself.
            if !self.verbose {
                let taken =
                    self.session.canonical_lines(framing, received, replies_bytes_max, &mut self.batch);
                self.counts.lines += taken;
            }
            let Some(line) = framing.next_line() else { return Pause::Empty };
            self.counts.lines += 1;
            if let Some(pause) = self.line(host, line, received) {
                if matches!(pause, Pause::Authenticated(_)) {
                    framing.trust();
                }
                return pause;
            }
            if self.batch.replies().len() >= replies_bytes_max {
                return Pause::Full;
            }
        }
    }

    /// Takes one line; `None` if nothing but its reply comes of it.
    fn line(&mut self, host: &impl Host, line: Line<'_>, received: Moment) -> Option<Pause> {
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        let reply = self.batch.replies().len();
        if self.verbose {
            log::log!(level_of(text), "{} <- {}", self.remote, Escaped(text));
        }
        let pause = match self.session.line(line, received, &mut self.batch) {
            Step::Next => None,
            Step::Refused(why) => {
                self.counts.refused += 1;
                log::debug!("{} said what is not understood: {why}", self.remote);
                None
            }
            Step::Ask(ask) => {
                self.apply(host);
                match host.read(|node| node.search(&ask)) {
                    Some(query) => {
                        self.counts.questions += 1;
                        Some(Pause::Ask(query))
                    }
                    None => {
                        self.batch.refuse(text);
                        self.counts.refused += 1;
                        log::debug!("{} asked about an unknown client", self.remote);
                        None
                    }
                }
            }
            Step::Authenticated(neighbour) => {
                host.write(|node| self.session.meet(node, &mut self.batch));
                (self.needs_lsn, self.owes_welcome) = (host.lsn(), host.has_wal());
                Some(Pause::Authenticated(neighbour))
            }
            Step::Heartbeat(heartbeat) => {
                self.apply(host);
                return Some(Pause::Heartbeat(heartbeat));
            }
            Step::Close(why) => {
                self.counts.refused += 1;
                Some(Pause::Close(why))
            }
        };
        self.log_replies_from(reply);
        pause
    }

    /// Replies to a question with the text of a provider's answer.
    pub fn answer(&mut self, query: &Query, answer: &str) {
        let reply = self.batch.replies().len();
        query.finish(answer, self.batch.reply());
        self.log_replies_from(reply);
    }

    /// Answers a heartbeat. A neighbour is told of no more than before, if what it said is not durable.
    pub fn acknowledge(&mut self, host: &impl Host, heartbeat: &Heartbeat, is_durable: bool) {
        let reply = self.batch.replies().len();
        host.read(|node| self.session.beat(node, heartbeat, is_durable, &mut self.batch));
        self.log_replies_from(reply);
    }

    /// Replies with an error line of this text.
    pub fn complain(&mut self, why: fmt::Arguments<'_>) {
        self.batch.reply().extend_from_slice(format!("? {why}\n").as_bytes());
    }

    /// Replies that a line was not understood: a copy of it.
    pub fn refuse(&mut self, line: &[u8]) {
        self.batch.refuse(line);
        self.counts.refused += 1;
    }

    /// Merges what is pending.
    pub fn apply(&mut self, host: &impl Host) {
        if self.batch.is_settled() {
            return;
        }
        let (applied, lsn) = host.apply(&mut self.batch);
        self.needs_lsn = lsn;
        self.counts.applied += applied.news as u64;
        self.counts.outdated += applied.stale as u64;
        self.counts.refused += applied.refused as u64;
        self.counts.rejected += applied.refused as u64;
        self.has_changes |= applied.news > 0;
    }

    /// How far the journal must be durable before the replies may leave.
    pub fn needs_lsn(&self) -> Lsn {
        self.needs_lsn
    }

    /// Whether anything has changed since this was last asked.
    pub fn take_changes(&mut self) -> bool {
        std::mem::take(&mut self.has_changes)
    }

    /// Makes error lines of all acknowledgements since the replies were last sent, because what they acknowledge is not
    /// durable. Returns how many, or `None` if the replies welcome a neighbour: it must not be told that it is known
    /// how far it has come, so the connection must be closed.
    pub fn nack(&mut self, why: &str) -> Option<usize> {
        let withheld = self.batch.break_promises(why);
        (!self.owes_welcome).then_some(withheld)
    }

    /// The replies so far.
    pub fn replies(&self) -> &[u8] {
        self.batch.replies()
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        self.batch.sent();
        self.owes_welcome = false;
    }

    /// Whether lines were taken since [`Conversation::take_counts`].
    pub fn has_taken_lines(&self) -> bool {
        self.counts.lines > 0
    }

    /// What was done since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn log_replies_from(&self, start: usize) {
        let replies = &self.batch.replies()[start..];
        if self.verbose && !replies.is_empty() {
            log::log!(level_of(replies), "{} -> {}", self.remote, Escaped(replies.trim_ascii_end()));
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.door, self.from)
    }
}

/// The level at which a line is logged. Heartbeats and their answers say nothing that a reader of the log would miss.
pub fn level_of(line: &[u8]) -> log::Level {
    let is_heartbeat = [&b"BEAT "[..], b"ACK ", b"UPTO "].iter().any(|word| line.starts_with(word));
    if is_heartbeat { log::Level::Trace } else { log::Level::Debug }
}
