//! One link, in the steps that its readiness allows: connect, say hello, send what is due.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use proxyherd::member::Member;
use proxyherd::member::link_log::{LinkLog, UNSENT_BYTES_MAX};
use proxyherd::os::{clock, random};
use proxyherd::proto::line::framing::{Framing, Line};
use proxyherd::proto::peering::link::{Answered, Due, HEARTBEAT_EVERY, Link, LinkError, PEER_TIMEOUT};
use proxyherd_bench::driver::Driver;
use socket2::SockRef;

use crate::unsent::send;

/// Batches that one link is sent before others have their turn.
const BATCHES_PER_TURN_MAX: u32 = 16;

/// The sending side of one link.
pub(crate) struct Peer {
    member: &'static Member,
    pub(crate) log: LinkLog<'static>,
    pub(crate) link: Link,
    address: SocketAddr,
    connection: Option<Connection>,
    lines: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    /// Cuts what the neighbour says.
    framing: Framing,
    /// How much of `lines` is sent.
    sent: usize,
    /// How far `lines` reach, once they are changes and no longer the hello.
    due: Option<Due>,
    connected: bool,
    /// Whether the neighbour has answered our hello.
    answered: bool,
    /// When it last said what a neighbour says.
    last_heard_at: Duration,
    /// Whether it was asked to acknowledge all it was told, because we stop.
    asked: bool,
}

/// How far a link has come without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It waits for the connection to be made.
    Connecting,
    /// It waits for the answer to the hello.
    Greeting,
    /// It waits for the welcome.
    Ready,
    /// All that was due is sent.
    Idle,
    /// It waits for the neighbour to read.
    Blocked,
    /// More is due; the others have their turn first.
    More,
}

impl Peer {
    /// A link that is down.
    pub(crate) fn new(driver: &'static Driver, neighbour: usize) -> Peer {
        let (member, address) = (&driver.member, driver.neighbours[neighbour]);
        let link = Link::new(Arc::clone(&member.me), neighbour);
        let log = LinkLog::new(member, neighbour);
        Peer { member, log, link, address, connection: None, lines: Vec::new() }
    }

    /// Whether there is a connection, be it only in the making.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Begins to connect.
    pub(crate) fn dial(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.address)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connection = Some(Connection {
            socket,
            framing: Framing::for_peer_replies(),
            sent: 0,
            due: None,
            connected: false,
            answered: false,
            last_heard_at: Duration::ZERO,
            asked: false,
        });
        Ok(())
    }

    /// Drops the connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
        self.link.hung_up();
        self.lines.clear();
    }

    /// How long until a link that is up must be looked at, whether or not anything happens to it.
    pub(crate) fn next_look(&self) -> Duration {
        let now = clock::ticks();
        let last_heard_at = self.connection.as_ref().map_or(now, |connection| connection.last_heard_at);
        // A beat that is overdue waits for the neighbour to read.
        let wake_at = self.link.wake_at().filter(|&wake_at| wake_at > now).unwrap_or(now + HEARTBEAT_EVERY);
        wake_at.min(last_heard_at + PEER_TIMEOUT).saturating_sub(now)
    }

    /// Whether a link that is not told any more can be closed. A connection that is closed while something unread is
    /// in it is reset, and takes with it what the neighbour has not read: so the neighbour must have merged it all.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.link.acknowledged_position() >= self.link.position()
    }

    /// Makes it due that the neighbour is asked to acknowledge what it was told, unless it has been.
    pub(crate) fn ask_for_ack(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if !std::mem::replace(&mut connection.asked, true) {
            self.link.finish();
            self.link.ask_for_ack();
            return true;
        }
        false
    }

    /// Does all that can be done without waiting. Reads only if the neighbour has been `heard`: that there is
    /// something to send does not mean that there is something to read.
    ///
    /// # Errors
    /// When the connection could not be made, or has ended; then [`Peer::hang_up`] must be called.
    pub(crate) fn work(&mut self, heard: bool) -> io::Result<Progress> {
        let Peer { member, log, link, connection, lines, .. } = self;
        let Some(connection) = connection else { return Ok(Progress::Idle) };
        if !connection.connected {
            if !connection.is_made()? {
                return Ok(Progress::Connecting);
            }
            connection.socket.set_nodelay(true)?;
            SockRef::from(&connection.socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
            *lines = link.hello(random::ephemeral_key()?);
        }
        if heard {
            connection.read(*log, link, lines)?;
        }
        for _ in 0..BATCHES_PER_TURN_MAX {
            connection.sent += send(&connection.socket, &lines[connection.sent..])?;
            if !link.is_live() {
                return Ok(if connection.answered { Progress::Ready } else { Progress::Greeting });
            }
            if connection.sent < lines.len() {
                return Ok(Progress::Blocked);
            }
            if let Some(due) = connection.due.take() {
                link.written(due, clock::ticks());
                log.sent(lines, due.lines(), link.position());
            }
            lines.clear();
            connection.sent = 0;
            let durable_seq = member.durable_seq();
            connection.due = member.read(|node| link.due(node, durable_seq, clock::ticks(), lines));
            if connection.due.is_none() {
                return Ok(Progress::Idle);
            }
        }
        Ok(Progress::More)
    }
}

impl Connection {
    fn is_made(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => self.connected = true,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        Ok(self.connected)
    }

    /// Reads until the link is up, and after that acknowledgements and complaints. What must be answered at once goes
    /// to `lines`.
    fn read(&mut self, log: LinkLog<'_>, link: &mut Link, lines: &mut Vec<u8>) -> io::Result<()> {
        loop {
            match self.socket.read(self.framing.space()) {
                Ok(0) if link.is_live() => return Err(hung_up()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(Line::Whole(text) | Line::TooLong(text)) = self.framing.next_line() {
                let was_live = link.is_live();
                let answered = log.answered(link, text);
                if was_live {
                    log.heard(text, answered).ok_or_else(hung_up)?;
                    self.last_heard_at = clock::ticks();
                    continue;
                }
                match log.proved(text, answered)? {
                    Answered::Reply(line) => {
                        self.answered = true;
                        lines.extend_from_slice(&line);
                    }
                    // What is due because of it is sent when all is read.
                    Answered::Up => self.last_heard_at = clock::ticks(),
                    Answered::Acknowledged
                    | Answered::Pruned
                    | Answered::Grafted
                    | Answered::Known
                    | Answered::Differs(_) => {
                        return Err(io::Error::other(LinkError::OutOfPlace));
                    }
                }
            }
        }
    }
}

/// Why a link ended as links do.
pub(crate) fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the neighbour hung up")
}

/// Whether a link ended as links do: because the neighbour hung up, in whichever way.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
