//! One conversation without its input and output: what the threaded server does between a read and a write.
//!
//! A driver reads into a framing, calls [`Talk::lines`] until it says [`Pause::Empty`], and after every pause
//! settles and sends the replies; then, if [`Turn::take_news`] says so, it wakes its links.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use proxyherd::logging::Escaped;
use proxyherd::places::{Answer, PlacesError};
use proxyherd::proto::line::batch::Batch;
use proxyherd::proto::line::framing::{Framing, Line};
use proxyherd::proto::line::query::Query;
use proxyherd::proto::line::session::{Refusal, Session, Step};
use proxyherd::proto::model::time::Moment;
use proxyherd::proto::peering::link::PEER_TIMEOUT;

use crate::callers::Present;
use crate::notes::level_of;
use crate::shared::{Port, REPLIES_BYTES_MAX, Shared};
use crate::stats::Count;

/// One conversation.
#[derive(Debug)]
pub struct Talk {
    /// Where it came in.
    pub port: Port,
    /// Who is at its other end.
    pub from: SocketAddr,
    session: Session,
    /// Of the conversation of a neighbour: what a newer one of the same neighbour cuts.
    present: Option<Present>,
    /// Whether lines are logged. Asked once: the level does not change while the server runs.
    verbose: bool,
}

/// What the lines of one reading lead to. Drivers reuse it.
#[derive(Debug, Default)]
pub struct Turn {
    batch: Batch,
    news: bool,
}

/// Why no further line is taken for the moment. After each of these the driver settles.
#[derive(Debug)]
pub enum Pause {
    /// All lines were taken: send the replies, and read.
    Empty,
    /// The replies have become long: send them.
    Full,
    /// A neighbour, by its index, has proved to be here: call [`Talk::met`], send the replies, wake the link to it.
    Met(usize),
    /// A question that takes its time: send the replies, ask, and let [`Talk::answered`] reply.
    Ask(Query),
    /// Send the replies and close.
    Close,
}

impl Talk {
    /// Logs that it begins, and begins it.
    ///
    /// # Errors
    /// If the system has no random numbers to give, which is logged too.
    pub fn begin(shared: &Shared, port: Port, from: SocketAddr) -> io::Result<Talk> {
        log::info!("{port} {from} connected");
        let verbose = log::log_enabled!(log::Level::Debug);
        let session = port.session(&shared.me).inspect_err(|error| {
            log::info!("{port} {from} disconnected: {error}");
        })?;
        Ok(Talk { port, from, session, present: None, verbose })
    }

    /// Whether the other side has proved to be a neighbour. When it has said nothing for [`PEER_TIMEOUT`], it is gone.
    pub fn is_peer(&self) -> bool {
        self.session.is_peer()
    }

    /// A neighbour has proved that it is here, in the connection of this socket: its older one is cut.
    ///
    /// # Errors
    /// If the system has no descriptor to spare.
    pub fn met(&mut self, shared: &Shared, neighbour: usize, socket: impl AsFd) -> io::Result<()> {
        let (present, replaced) = shared.callers.come(neighbour, socket)?;
        self.present = Some(present);
        let name = shared.name_of(neighbour);
        if replaced {
            shared.stats.add(Count::CallersReplaced, 1);
            log::info!("neighbour {name} is here again, from {}: its older connection is cut", self.from);
        } else {
            log::info!("neighbour {name} is here, from {}", self.from);
        }
        Ok(())
    }

    /// Counts that a neighbour has said nothing for too long, and says so as the reason for closing.
    pub fn silent(&self, shared: &Shared) -> io::Error {
        shared.stats.add(Count::CallersSilent, 1);
        let what = format!("it has said nothing for {} s", PEER_TIMEOUT.as_secs());
        log::warn!("{} {}: {what}", self.port, self.from);
        io::Error::new(io::ErrorKind::TimedOut, what)
    }

    /// Logs how it ended.
    pub fn ended(&self, how: &io::Result<()>) {
        match how {
            Ok(()) => log::info!("{} {} disconnected", self.port, self.from),
            Err(error) => log::info!("{} {} disconnected: {error}", self.port, self.from),
        }
    }

    /// Takes complete lines, received at `received`, until the driver has something to do.
    pub fn lines(
        &mut self,
        shared: &Shared,
        turn: &mut Turn,
        framing: &mut Framing,
        received: Moment,
    ) -> Pause {
        turn.batch.keep_lines(shared.crowded.load(Ordering::Relaxed));
        let mut lines = 0;
        let pause = loop {
            if !self.verbose {
                lines += self.session.canonical_lines(framing, received, REPLIES_BYTES_MAX, &mut turn.batch);
            }
            let Some(line) = framing.next_line() else { break Pause::Empty };
            lines += 1;
            if let Some(pause) = self.line(shared, turn, line, received) {
                break pause;
            }
            if turn.replies().len() >= REPLIES_BYTES_MAX {
                break Pause::Full;
            }
        };
        self.count(shared, lines);
        pause
    }

    /// Takes one line; `None` if nothing but its reply comes of it.
    pub fn line(
        &mut self,
        shared: &Shared,
        turn: &mut Turn,
        line: Line<'_>,
        received: Moment,
    ) -> Option<Pause> {
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        let reply = turn.replies().len();
        if self.verbose {
            log::log!(level_of(text), "{} {} <- {}", self.port, self.from, Escaped(text));
        }
        let mut pause = None;
        match self.session.line(line, received, &mut turn.batch) {
            Step::Next => {}
            Step::Refused(why) => {
                shared.stats.add(Count::LinesRefused, 1);
                log::debug!("{} {} said what is not understood: {why}", self.port, self.from);
            }
            Step::Ask(ask) => {
                turn.settle(shared);
                let search = shared.node.read().search(&ask);
                let Some(search) = search else {
                    turn.batch.refuse(text);
                    shared.stats.add(Count::LinesRefused, 1);
                    self.log_replies_from(turn, reply);
                    return None;
                };
                shared.stats.add(Count::Questions, 1);
                if shared.places.may_wait() {
                    return Some(Pause::Ask(search));
                }
                self.answered(shared, turn, &search, shared.places.nearby(search.nearby()));
                return None;
            }
            Step::Authenticated(neighbour) => {
                self.session.meet(&mut shared.node.write(), &mut turn.batch);
                pause = Some(Pause::Met(neighbour));
            }
            Step::Heartbeat(beat) => {
                turn.settle(shared);
                self.session.beat(&shared.node.read(), &beat, true, &mut turn.batch);
            }
            Step::Close(why) => {
                shared.stats.add(Count::LinesRefused, 1);
                count_caller(shared, why);
                log::warn!("{} {} is turned away: {why}", self.port, self.from);
                pause = Some(Pause::Close);
            }
        }
        self.log_replies_from(turn, reply);
        pause
    }

    /// Replies to a question with what the provider said.
    pub fn answered(
        &self,
        shared: &Shared,
        turn: &mut Turn,
        search: &Query,
        answer: Result<Answer, PlacesError>,
    ) {
        let answer = answer.unwrap_or_else(|error| {
            shared.stats.add(Count::PlacesFailures, 1);
            log::warn!("places: {error}");
            error.to_answer()
        });
        let reply = turn.replies().len();
        search.finish(answer.as_str(), turn.batch.reply());
        self.log_replies_from(turn, reply);
    }

    /// Counts lines that were taken.
    pub fn count(&self, shared: &Shared, lines: u64) {
        let count = match self.port {
            Port::Client => Count::ClientLines,
            Port::Peer => Count::PeerLines,
        };
        shared.stats.add(count, lines);
    }

    fn log_replies_from(&self, turn: &Turn, start: usize) {
        let replies = &turn.replies()[start..];
        if self.verbose && !replies.is_empty() {
            let (port, from) = (self.port, self.from);
            log::log!(level_of(replies), "{port} {from} -> {}", Escaped(replies.trim_ascii_end()));
        }
    }
}

impl Turn {
    /// Merges what is pending. Only then may the replies be sent.
    pub fn settle(&mut self, shared: &Shared) {
        if self.batch.is_settled() {
            return;
        }
        let settled = shared.node.write().settle(&mut self.batch);
        shared.stats.add(Count::News, settled.news as u64);
        shared.stats.add(Count::Stale, settled.stale as u64);
        shared.stats.add(Count::LinesRefused, settled.refused as u64);
        shared.crowded.store(settled.crowded, Ordering::Relaxed);
        self.news |= settled.news > 0;
    }

    /// The replies so far.
    pub fn replies(&self) -> &[u8] {
        self.batch.replies()
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        self.batch.sent();
    }

    /// Whether anything has become news since this was last asked: then the links must be woken.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}

/// Counts a initiator that is turned away, as what it is.
fn count_caller(shared: &Shared, why: Refusal) {
    match why {
        Refusal::Version => shared.stats.add(Count::CallersOfOtherVersion, 1),
        Refusal::NotMe => shared.stats.add(Count::CallersAstray, 1),
        Refusal::NotANeighbour => shared.stats.add(Count::CallersUnknown, 1),
        Refusal::WrongProof => shared.stats.add(Count::CallersUnproved, 1),
        Refusal::Parse(_)
        | Refusal::TooLong
        | Refusal::ClockAhead
        | Refusal::NotProved
        | Refusal::SecondHello => {}
    }
}
