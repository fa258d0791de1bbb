//! One connection from its first byte to its last: read, let the session decide, settle, write.

use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::Shared;
use super::errands::Errand;
use super::link::level_of;
use super::listen::{Accepted, Port};
use super::shutdown::hang_up;
use super::{chance, clock};
use crate::logging::Escaped;
use crate::proto::batch::Batch;
use crate::proto::command::WhatsAt;
use crate::proto::framing::{Framing, Line};
use crate::proto::link::SILENCE_MAX;
use crate::proto::session::{Session, Step};
use crate::proto::time::Moment;

/// Replies are written when they have grown to this, even if more lines wait: memory is bounded whatever a
/// client pipelines.
const REPLIES_BYTES_MAX: usize = 64 * 1024;

/// How long a write may wait for the other side to read. A write that got rid of some of its bytes begins anew,
/// so a client that never reads is let go after up to twice this.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads after a stop has begun. They take what the kernel has received by then, and answer it; a client that
/// goes on sending would never see the end otherwise.
const LAST_READS_MAX: u32 = 16;

/// How long replies may take to leave when the server stops.
const LEAVE_WAIT_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// How often a closed conversation reads on, at most, for the kernel would otherwise answer unread bytes with a
/// reset that can overtake the last reply.
const LINGER_READS_MAX: u32 = 20;

/// How long one such read may wait.
const LINGER_WAIT: Duration = Duration::from_millis(50);

/// Serves a connection until either side ends it.
pub(super) fn serve(shared: &Shared, connection: Accepted<'_>) {
    let Accepted { port, socket, from, registered: _until_the_end } = connection;
    log::info!("{port} {from} connected");
    let ended = Conversation::new(shared, port, &socket, from).and_then(|mut conversation| {
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

struct Conversation<'a> {
    shared: &'a Shared,
    socket: &'a Arc<TcpStream>,
    port: Port,
    from: SocketAddr,
    session: Session,
    /// The neighbour that has proved to be at the other end.
    neighbour: Option<usize>,
    batch: Batch,
    /// Whether lines are logged. Asked once: the level does not change while the server runs.
    verbose: bool,
}

/// Whether a conversation goes on.
#[derive(PartialEq)]
enum After {
    GoOn,
    Close,
}

impl<'a> Conversation<'a> {
    fn new(
        shared: &'a Shared,
        port: Port,
        socket: &'a Arc<TcpStream>,
        from: SocketAddr,
    ) -> io::Result<Conversation<'a>> {
        let me = Arc::clone(&shared.me);
        let session = match port {
            Port::Client => match shared.classics_at(from) {
                [] => Session::client(me),
                neighbours => Session::classic(me, neighbours.to_vec()),
            },
            Port::Peer => Session::peer(me, chance::nonce()?),
        };
        let verbose = log::log_enabled!(log::Level::Debug);
        let batch = Batch::default();
        Ok(Conversation { shared, socket, port, from, session, neighbour: None, batch, verbose })
    }

    fn run(&mut self) -> io::Result<()> {
        self.socket.set_nodelay(true)?;
        self.socket.set_write_timeout(Some(WRITE_WAIT_MAX))?;
        let mut framing = match self.port {
            Port::Client => Framing::for_client(),
            Port::Peer => Framing::for_peer(),
        };
        let mut last_reads = 0;
        loop {
            let count = match (&**self.socket).read(framing.space()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(silent()),
                Err(error) => return Err(error),
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
        let mut lines = 0;
        let mut after = After::GoOn;
        while let Some(line) = framing.next_line() {
            lines += 1;
            after = self.line(line, received)?;
            if after == After::Close {
                break;
            }
            if self.batch.replies().len() >= REPLIES_BYTES_MAX {
                self.flush()?;
            }
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
        let mut after = After::GoOn;
        match self.session.line(line, received, &mut self.batch) {
            Step::Next => {}
            Step::Refused(why) => {
                self.shared.stats.lines_refused.add(1);
                log::debug!("{} {} said what is not understood: {why}", self.port, self.from);
            }
            Step::Ask(ask) => return self.answer(text, &ask),
            Step::Meet(neighbour) => self.meet(neighbour)?,
            Step::Beat(beat) => {
                self.settle();
                self.session.beat(&self.shared.node.read(), &beat, &mut self.batch);
            }
            Step::Close(why) => {
                self.shared.stats.lines_refused.add(1);
                if self.port == Port::Peer {
                    self.shared.stats.callers_refused.add(1);
                }
                log::warn!("{} {} is turned away: {why}", self.port, self.from);
                after = After::Close;
            }
        }
        self.log_replies_from(reply);
        Ok(after)
    }

    /// A neighbour has proved that it is here.
    fn meet(&mut self, neighbour: usize) -> io::Result<()> {
        let shared = self.shared;
        let name = &shared.me.neighbours[neighbour].name;
        self.neighbour = Some(neighbour);
        if shared.callers.come(neighbour, self.socket) {
            shared.stats.callers_replaced.add(1);
            log::info!("neighbour {name} is here again, from {}: its older connection is cut", self.from);
        } else {
            log::info!("neighbour {name} is here, from {}", self.from);
        }
        self.socket.set_read_timeout(Some(SILENCE_MAX))?;
        self.session.meet(&mut shared.node.write(), &mut self.batch);
        shared.bells[neighbour].ring(Errand::Back);
        Ok(())
    }

    /// Answers a question. The provider is asked with no lock held, and with all earlier replies sent if it
    /// may take its time.
    fn answer(&mut self, text: &[u8], ask: &WhatsAt<'_>) -> io::Result<After> {
        self.settle();
        let search = self.shared.node.read().search(ask);
        let Some(search) = search else {
            let reply = self.batch.replies().len();
            self.batch.refuse(text);
            self.shared.stats.lines_refused.add(1);
            log::debug!("{} {} asked about a client that nobody has seen", self.port, self.from);
            self.log_replies_from(reply);
            return Ok(After::GoOn);
        };
        if self.shared.places.may_wait() {
            self.flush()?;
        }
        self.shared.stats.questions.add(1);
        let answer = self.shared.places.nearby(search.nearby()).unwrap_or_else(|error| {
            self.shared.stats.places_failures.add(1);
            log::warn!("places: {error}");
            error.to_answer()
        });
        let reply = self.batch.replies().len();
        search.finish(answer.as_str(), self.batch.reply());
        self.log_replies_from(reply);
        Ok(After::GoOn)
    }

    /// Merges what is pending and wakes the links if there was news.
    fn settle(&mut self) {
        if self.batch.is_settled() {
            return;
        }
        let settled = self.shared.node.write().settle(&mut self.batch);
        self.shared.stats.news.add(settled.news as u64);
        self.shared.stats.stale.add(settled.stale as u64);
        if settled.news > 0 {
            self.shared.bells.iter().for_each(|bell| bell.news());
        }
    }

    /// Settles, then sends all replies in one write.
    fn flush(&mut self) -> io::Result<()> {
        self.settle();
        if !self.batch.replies().is_empty() {
            (&**self.socket).write_all(self.batch.replies()).map_err(by_its_name)?;
            self.batch.sent();
        }
        Ok(())
    }

    fn log_replies_from(&self, start: usize) {
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

/// Waits until the kernel has sent all replies. A socket that is closed while the other side goes on sending is
/// reset, and the end of a reply that has not been sent by then never is.
fn let_replies_leave(socket: &TcpStream) {
    // With this mark a socket is writable only when nothing in it is unsent. A cut ends the wait too.
    if SockRef::from(socket).set_tcp_notsent_lowat(1).is_ok() {
        let mut polled = [PollFd::new(socket, PollFlags::OUT)];
        while poll(&mut polled, Some(&LEAVE_WAIT_MAX)) == Err(Errno::INTR) {}
    }
}

/// A neighbour sends beats; only its connection has a time for reading.
fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it has said nothing for {} s", SILENCE_MAX.as_secs()))
}

/// A write that has waited for too long fails as `Resource temporarily unavailable`, which explains nothing.
fn by_its_name(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::WouldBlock {
        return error;
    }
    let seconds = WRITE_WAIT_MAX.as_secs();
    io::Error::new(io::ErrorKind::TimedOut, format!("it has read nothing of its replies for {seconds} s"))
}

/// Says that nothing more will be sent, and reads on for a moment until the other side has closed too.
fn linger(mut socket: &TcpStream) {
    hang_up(socket, Half::Write);
    if socket.set_read_timeout(Some(LINGER_WAIT)).is_err() {
        return;
    }
    let mut ignored = [0; 4096];
    for _ in 0..LINGER_READS_MAX {
        match socket.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
