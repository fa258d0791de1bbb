//! One connection of the generator: requests out, replies in, and what is on the way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::check::{Known, Told, Verdict};
use super::clock;
use super::request::{Request, Script, Writer};
use super::tls::Tls;

/// Answered requests are forgotten when this much of them has gathered.
const ANSWERED_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of a request or reply that are shown to the user.
const SHOWN_BYTES_MAX: usize = 200;

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    request: Request,
    /// When it should have been sent.
    pub(super) due_ns: u64,
    /// When it was.
    pub(super) sent_ns: u64,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Closed,
    /// The system is connecting.
    Connecting,
    /// It is there, and its first report has not been answered.
    Introducing,
    /// A reply has come.
    Open,
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The other side closed it, or the system did.
    Gone(io::Error),
    /// A wrong reply.
    Wrong { why: String, request: String, reply: String },
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    /// When connecting began.
    pub(super) began_ns: u64,
    pub(super) socket: Option<TcpStream>,
    /// What stands before the socket, if anything does.
    tls: Option<Tls>,
    /// Replies that count.
    pub(super) counted: u64,
    writer: Writer,
    script: Arc<Script>,
    /// All requests that are not answered yet, and some that are.
    bytes: Vec<u8>,
    answered: usize,
    written: usize,
    waiting: VecDeque<Waiting>,
    /// The beginning of a reply.
    partial: Vec<u8>,
    /// What is known of each client; empty if the script asks no questions.
    told: Vec<Told>,
}

impl Connection {
    pub(super) fn new(script: &Arc<Script>, number: usize, clients: u32, tls: Option<Tls>) -> Connection {
        Connection {
            stage: Stage::Closed,
            began_ns: 0,
            socket: None,
            tls,
            counted: 0,
            writer: Writer::new(script, number),
            script: Arc::clone(script),
            bytes: Vec::new(),
            answered: 0,
            written: 0,
            waiting: VecDeque::new(),
            partial: Vec::new(),
            told: if script.asks() { vec![Told::default(); clients as usize] } else { Vec::new() },
        }
    }

    /// Begins to connect, from `source` if there is one.
    pub(super) fn connect(&mut self, target: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        self.began_ns = clock::monotonic_ns();
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            Ok(()) | Err(_) => {}
        }
        if let Some(tls) = &mut self.tls {
            tls.begin()?;
        }
        self.socket = Some(TcpStream::from_std(socket.into()));
        self.stage = Stage::Connecting;
        Ok(())
    }

    /// Closes the connection. Its clients live on: the next one reports for them too.
    pub(super) fn close(&mut self) {
        self.socket = None;
        if let Some(tls) = &mut self.tls {
            tls.end();
        }
        self.stage = Stage::Closed;
        self.bytes.clear();
        (self.answered, self.written) = (0, 0);
        self.waiting.clear();
        self.partial.clear();
    }

    /// Requests that wait for their replies.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When each of them should have been sent.
    pub(super) fn waiting_since(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().map(|waiting| waiting.due_ns)
    }

    /// Adds a request that was due at `due_ns`; [`Connection::flush`] sends it.
    pub(super) fn ask(&mut self, due_ns: u64, now_ns: u64) {
        let request = self.writer.push(&mut self.bytes);
        self.waiting.push_back(Waiting { request, due_ns, sent_ns: now_ns });
    }

    /// Sends what the system takes. What is left goes when the socket is writable again.
    pub(super) fn flush(&mut self) -> Result<(), Trouble> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while self.written < self.bytes.len() {
            let rest = &self.bytes[self.written..];
            let sent = match &mut self.tls {
                None => socket.write(rest),
                Some(tls) => tls.send(socket, rest),
            };
            match sent {
                // It is encrypted, and the socket takes no more.
                Ok(0) => break,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::Gone(error)),
            }
        }
        // What was encrypted before may still wait for the socket.
        let pushed = self.tls.as_mut().map_or(Ok(0), |tls| tls.send(socket, b""));
        pushed.map(drop).map_err(Trouble::Gone)
    }

    /// Reads and checks all replies that are there. `answered` is called for each with the time it came.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        known: &mut Known,
        mut answered: impl FnMut(&Waiting, u64),
    ) -> Result<(), Trouble> {
        loop {
            let Some(socket) = &mut self.socket else { return Ok(()) };
            let read = match &mut self.tls {
                None => socket.read(scratch),
                Some(tls) => tls.receive(socket, scratch),
            };
            let count = match read {
                Ok(0) => return Err(Trouble::Gone(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Gone(error)),
            };
            let now_ns = clock::monotonic_ns();
            self.take(&scratch[..count], known, |waiting| answered(waiting, now_ns))?;
            match &self.tls {
                // Fewer bytes than asked for: the socket is empty, and the next ones come with an event of theirs.
                None if count < scratch.len() => return Ok(()),
                Some(tls) if tls.has_not_resumed() => {
                    return Err(wrong("the TLS session was not resumed".to_owned(), b"", b""));
                }
                None | Some(_) => {}
            }
        }
    }

    fn take(
        &mut self,
        got: &[u8],
        known: &mut Known,
        mut answered: impl FnMut(&Waiting),
    ) -> Result<(), Trouble> {
        let mut partial = std::mem::take(&mut self.partial);
        let mut rest = if partial.is_empty() {
            got
        } else {
            partial.extend_from_slice(got);
            partial.as_slice()
        };
        while !rest.is_empty() {
            let Some(&waiting) = self.waiting.front() else {
                return Err(wrong("nothing was asked".to_owned(), b"", rest));
            };
            let request = waiting.request;
            let sent = &self.bytes[self.answered..self.answered + request.bytes as usize];
            let told = self.told.get_mut(request.client as usize);
            match known.check(&self.script, &request, sent, told, rest) {
                Verdict::Unfinished => break,
                Verdict::Wrong(why) => return Err(wrong(why, sent, rest)),
                Verdict::Right(bytes) => {
                    rest = &rest[bytes..];
                    self.answered += sent.len();
                    self.waiting.pop_front();
                    answered(&waiting);
                }
            }
        }
        let left = rest.len();
        if partial.is_empty() {
            partial.extend_from_slice(&got[got.len() - left..]);
        } else {
            partial.drain(..partial.len() - left);
        }
        self.partial = partial;
        self.forget_answered();
        Ok(())
    }

    fn forget_answered(&mut self) {
        if self.waiting.is_empty() {
            self.bytes.clear();
        } else if self.answered >= ANSWERED_BYTES_MAX {
            self.bytes.drain(..self.answered);
        } else {
            return;
        }
        // A server that answers before it has read everything is odd, but no reason to panic.
        self.written = self.written.saturating_sub(self.answered);
        self.answered = 0;
    }
}

fn wrong(why: String, request: &[u8], reply: &[u8]) -> Trouble {
    let shown = |bytes: &[u8]| {
        let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
        String::from_utf8_lossy(cut).into_owned()
    };
    // Behind the end of its own reply stand others'.
    let first_line = reply.iter().position(|&byte| byte == b'\n').map_or(reply, |end| &reply[..end]);
    Trouble::Wrong { why, request: shown(request.trim_ascii_end()), reply: shown(first_line) }
}
