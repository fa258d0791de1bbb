//! One connection from its first byte to its last: read, let the session decide, settle, write.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::accept::Accepted;
use super::admission::Admitted;
use super::commits::Mark;
use super::ending::{let_replies_leave, linger};
use super::link::level_of;
use super::listen::Port;
use super::patience::{Arrived, Patience};
use super::quota::Quota;
use super::shared::Shared;
use super::sync::TcpStream;
use super::warnings::Cause;
use super::{chance, clock};
use crate::logging::Escaped;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{CLIENT_READ_BYTES, Framing, Line};
use crate::proto::line::session::{Refusal, Session, Step};
use crate::proto::model::time::Moment;

/// Reads after a stop has begun. They take what the kernel has received by then, and answer it; a client that
/// goes on sending would never see the end otherwise.
const LAST_READS_MAX: u32 = 16;

/// Serves a connection until either side ends it.
pub(super) fn serve(shared: &Shared, connection: Accepted<'_>) {
    let Accepted { port, socket, from, admitted, registered: _until_the_end } = connection;
    log::info!("{port} {from} connected");
    let ended = Conversation::begin(shared, port, &socket, from, admitted).and_then(|mut conversation| {
        let ended = conversation.run();
        if let Some(neighbour) = conversation.neighbour {
            shared.callers.gone(neighbour, &socket);
        }
        ended
    });
    match ended {
        Ok(()) => log::info!("{port} {from} disconnected"),
        Err(error) => log::info!("{port} {from} disconnected: {error}"),
    }
}

pub(super) struct Conversation<'a> {
    pub(super) shared: &'a Shared,
    pub(super) socket: &'a Arc<TcpStream>,
    pub(super) port: Port,
    pub(super) from: SocketAddr,
    pub(super) admitted: Admitted<'a>,
    pub(super) patience: Patience<'a>,
    pub(super) quota: Quota,
    pub(super) session: Session,
    /// The neighbour that has proved to be at the other end.
    pub(super) neighbour: Option<usize>,
    pub(super) batch: Batch,
    /// How far the journal must have come before the replies may leave.
    pub(super) owed: Mark,
    /// Whether the replies welcome a neighbour, and with it promise something.
    pub(super) owes_welcome: bool,
    /// Whether links are yet to be told of news.
    pub(super) has_news: bool,
    /// Whether lines are logged. Asked once: the level does not change while the server runs.
    verbose: bool,
}

/// Whether a conversation goes on.
#[derive(PartialEq)]
pub(super) enum After {
    GoOn,
    /// With a neighbour, which was a stranger before.
    Trust,
    Close,
}

impl<'a> Conversation<'a> {
    fn begin(
        shared: &'a Shared,
        port: Port,
        socket: &'a Arc<TcpStream>,
        from: SocketAddr,
        admitted: Admitted<'a>,
    ) -> io::Result<Conversation<'a>> {
        socket.set_nodelay(true)?;
        let patience = Patience::begin(socket, port, &shared.limits)?;
        let quota = Quota::new(shared.limits.places_calls_per_minute);
        let me = Arc::clone(&shared.me);
        let session = match port {
            Port::Client => match shared.classics_at(from) {
                [] => Session::client(me),
                neighbours => Session::classic(me, neighbours.to_vec()),
            },
            Port::Peer => Session::peer(me, chance::nonce()?),
        };
        let batch = if shared.commits.is_some() { Batch::breakable() } else { Batch::default() };
        let verbose = log::log_enabled!(log::Level::Debug);
        let neighbour = None;
        Ok(Conversation {
            shared,
            socket,
            port,
            from,
            admitted,
            patience,
            quota,
            session,
            neighbour,
            batch,
            owed: 0,
            owes_welcome: false,
            has_news: false,
            verbose,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut framing = match self.port {
            Port::Client => Framing::new(self.shared.limits.line_bytes_max, CLIENT_READ_BYTES),
            Port::Peer => Framing::for_stranger(),
        };
        let mut last_reads = 0;
        loop {
            let count = match self.patience.read(&mut framing)? {
                Arrived::Bytes(count) => count,
                Arrived::Late(late) => {
                    self.give_up(late, framing.partial());
                    self.flush()?;
                    linger(self.socket);
                    return Ok(());
                }
            };
            if self.shared.conversations.is_stopping() {
                last_reads += 1;
                if count == 0 || last_reads > LAST_READS_MAX {
                    // It is us who end the stream: what the client has sent of a line is not the line it meant.
                    let_replies_leave(self.socket);
                    return Ok(());
                }
            }
            framing.filled(count);
            let after = self.lines(&mut framing)?;
            self.flush()?;
            if count == 0 {
                return Ok(());
            }
            if after == After::Close {
                linger(self.socket);
                return Ok(());
            }
        }
    }

    /// Takes all complete lines.
    fn lines(&mut self, framing: &mut Framing) -> io::Result<After> {
        let received = clock::now();
        self.batch.keep_lines(self.shared.crowded.load(Ordering::Relaxed));
        let mut lines = 0;
        let mut after = After::GoOn;
        loop {
            // Where lines are logged, each is looked at by itself.
            if !self.verbose {
                let replies_bytes_max = self.shared.output.replies_bytes_max;
                lines += self.session.canonical_lines(framing, received, replies_bytes_max, &mut self.batch);
            }
            let Some(line) = framing.next_line() else { break };
            lines += 1;
            after = self.line(line, received)?;
            match after {
                After::GoOn => {}
                After::Trust => framing.trust(),
                After::Close => break,
            }
            if self.batch.replies().len() >= self.shared.output.replies_bytes_max {
                self.flush()?;
            }
        }
        if lines > 0 {
            self.patience.line_ended();
        }
        let stats = &self.shared.stats;
        match self.port {
            Port::Client => stats.client_lines.add(lines),
            Port::Peer => stats.peer_lines.add(lines),
        }
        Ok(after)
    }

    fn line(&mut self, line: Line<'_>, received: Moment) -> io::Result<After> {
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        let reply = self.batch.replies().len();
        if self.verbose {
            log::log!(level_of(text), "{} {} <- {}", self.port, self.from, Escaped(text));
        }
        #[cfg(test)]
        if super::planted::line(text, self.shared, &mut self.batch) {
            return Ok(After::GoOn);
        }
        let mut after = After::GoOn;
        match self.session.line(line, received, &mut self.batch) {
            Step::Next => {}
            Step::Refused(why) => {
                self.shared.stats.lines_refused.add(1);
                log::debug!("{} {} said what is not understood: {why}", self.port, self.from);
            }
            Step::Ask(ask) => return self.answer(text, &ask),
            Step::Authenticated(neighbour) => {
                self.meet(neighbour);
                after = After::Trust;
            }
            Step::Heartbeat(beat) => {
                self.settle();
                let is_kept = self.commit().is_ok();
                self.session.beat(&self.shared.node.read(), &beat, is_kept, &mut self.batch);
            }
            Step::Close(why) => {
                self.shared.stats.lines_refused.add(1);
                let cause = cause_of(why);
                self.shared.hit(cause, format_args!("{} {} is turned away: {why}", self.port, self.from));
                after = After::Close;
            }
        }
        self.log_replies_from(reply);
        Ok(after)
    }

    pub(super) fn log_replies_from(&self, start: usize) {
        let replies = &self.batch.replies()[start..];
        if self.verbose && !replies.is_empty() {
            log::log!(
                level_of(replies),
                "{} {} -> {}",
                self.port,
                self.from,
                Escaped(replies.trim_ascii_end())
            );
        }
    }
}

/// What a connection that is closed for this counts as.
fn cause_of(why: Refusal) -> Cause {
    match why {
        Refusal::TooLong => Cause::LineBytes,
        Refusal::Version => Cause::CallerVersion,
        Refusal::NotMe => Cause::CallerAstray,
        Refusal::NotANeighbour => Cause::CallerUnknown,
        Refusal::WrongProof => Cause::CallerUnproved,
        Refusal::Parse(_) | Refusal::ClockAhead | Refusal::NotProved | Refusal::SecondHello => {
            Cause::TurnedAway
        }
    }
}
