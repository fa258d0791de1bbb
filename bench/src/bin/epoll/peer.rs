//! One link, in the steps that its readiness allows: connect, say hello, send what is due.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use proxyherd::proto::framing::{Framing, Line};
use proxyherd::proto::link::{Due, Link};
use proxyherd_bench::shared::Shared;

/// Batches that one link is sent before others have their turn.
const BATCHES_PER_TURN_MAX: u32 = 16;

/// The sending side of one link.
pub(crate) struct Peer {
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
    /// How far `lines` reach, once they are news and no longer the hello.
    due: Option<Due>,
    connected: bool,
}

/// How far a link has come without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It waits for the connection to be made.
    Connecting,
    /// It waits for the answer to the hello.
    Greeting,
    /// All that was due is sent.
    Idle,
    /// It waits for the neighbour to read.
    Blocked,
    /// More is due; the others have their turn first.
    More,
}

impl Peer {
    /// A link that is down.
    pub(crate) fn new(shared: &Shared, neighbour: usize) -> Peer {
        let link = Link::new(Arc::clone(&shared.me), neighbour);
        Peer { link, address: shared.neighbours[neighbour], connection: None, lines: Vec::new() }
    }

    /// Whether there is a connection, be it only in the making.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Begins to connect.
    pub(crate) fn dial(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.address)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let framing = Framing::for_peer_replies();
        self.connection = Some(Connection { socket, framing, sent: 0, due: None, connected: false });
        Ok(())
    }

    /// Drops the connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
        self.link.hung_up();
        self.lines.clear();
    }

    /// Does all that can be done without waiting. Reads only if the neighbour has been `heard`: that there is
    /// something to send does not mean that there is something to read.
    ///
    /// # Errors
    /// When the connection could not be made, or has ended; then [`Peer::hang_up`] must be called.
    pub(crate) fn work(&mut self, shared: &Shared, heard: bool) -> io::Result<Progress> {
        let Peer { link, connection, lines, .. } = self;
        let Some(connection) = connection else { return Ok(Progress::Idle) };
        if !connection.connected {
            if !connection.is_made()? {
                return Ok(Progress::Connecting);
            }
            connection.socket.set_nodelay(true)?;
            *lines = link.hello();
        }
        if heard {
            connection.read(shared, link)?;
        }
        for _ in 0..BATCHES_PER_TURN_MAX {
            if !connection.write(lines)? {
                return Ok(Progress::Blocked);
            }
            if let Some(due) = connection.due.take() {
                link.written(due);
                shared.note_told(link.neighbour(), lines);
            }
            if !link.is_live() {
                return Ok(Progress::Greeting);
            }
            lines.clear();
            connection.sent = 0;
            connection.due = shared.node.read().due(link, lines);
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

    /// Reads the welcome, and after that what the neighbour complains of.
    fn read(&mut self, shared: &Shared, link: &mut Link) -> io::Result<()> {
        loop {
            match self.socket.read(self.framing.space()) {
                Ok(0) if link.is_live() => return Err(hung_up()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(line) = self.framing.next_line() {
                let (Line::Whole(text) | Line::TooLong(text)) = line;
                if link.is_live() {
                    shared.note_complaint(link.neighbour(), text);
                } else {
                    link.welcomed(&mut shared.node.write(), text).map_err(io::Error::other)?;
                }
            }
        }
    }

    /// Whether all of `lines` is sent.
    fn write(&mut self, lines: &[u8]) -> io::Result<bool> {
        while self.sent < lines.len() {
            match self.socket.write(&lines[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the neighbour hung up")
}

/// Whether a link ended as links do: because the neighbour hung up, in whichever way.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
