//! How long a conversation waits for the other side: for bytes, for the rest of a line, for a hello, and for its
//! replies to be taken.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::clock;
use super::listen::Port;
use super::sync::TcpStream;
use crate::config::Limits;
use crate::proto::line::framing::Framing;
use crate::proto::peering::link::PEER_TIMEOUT;

/// The deadlines of one conversation.
pub(super) struct Patience<'a> {
    socket: &'a TcpStream,
    /// How long a read of the socket waits as it is set now: setting it is a system call.
    read_wait: Option<Duration>,
    idle_time_max: Option<Duration>,
    line_time_max: Duration,
    reply_time_max: Duration,
    who: Who,
    /// When the line of which a part has come must be whole.
    line_by: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Client,
    /// On the peer port: when it must have said hello.
    Unauthenticated(Instant),
    Neighbour,
}

/// What came of waiting for bytes.
pub(super) enum Arrived {
    /// So many bytes; none is the end of the stream.
    Bytes(usize),
    /// Nothing in time.
    Late(Late),
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All is with the kernel.
    All,
    /// The other side did not take it in time.
    Late,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// A hello.
    Hello,
    /// The rest of a line.
    Line,
    /// Anything of a client.
    Idle,
    /// A neighbour's beat.
    Heartbeat,
}

impl<'a> Patience<'a> {
    /// From the first moment of a connection.
    pub(super) fn begin(socket: &'a TcpStream, port: Port, limits: &Limits) -> io::Result<Patience<'a>> {
        socket.set_write_timeout(Some(limits.reply_time_max))?;
        let who = match port {
            Port::Client => Who::Client,
            Port::Peer => Who::Unauthenticated(clock::deadline(limits.hello_time_max)),
        };
        Ok(Patience {
            socket,
            read_wait: None,
            idle_time_max: limits.idle_time_max.filter(|_| who == Who::Client),
            line_time_max: limits.line_time_max,
            reply_time_max: limits.reply_time_max,
            who,
            line_by: None,
        })
    }

    /// From now on it beats.
    pub(super) fn said_hello(&mut self) {
        self.who = Who::Neighbour;
    }

    /// A line has come to its end; the next one has its own time.
    pub(super) fn line_ended(&mut self) {
        self.line_by = None;
    }

    /// Waits for bytes, and reads them into the framing's space.
    pub(super) fn read(&mut self, framing: &mut Framing) -> io::Result<Arrived> {
        loop {
            let deadline = match self.who {
                Who::Unauthenticated(by) => Some((by, Late::Hello)),
                Who::Client if framing.is_mid_line() => match self.line_by {
                    Some(by) => Some((by, Late::Line)),
                    None => match self.read_at_once(framing)? {
                        Some(count) => return Ok(Arrived::Bytes(count)),
                        None => {
                            let by = clock::deadline(self.line_time_max);
                            self.line_by = Some(by);
                            Some((by, Late::Line))
                        }
                    },
                },
                Who::Client | Who::Neighbour => None,
            };
            let wait = match deadline {
                None if self.who == Who::Neighbour => Some(PEER_TIMEOUT),
                None => self.idle_time_max,
                Some((by, late)) => {
                    let left = by.saturating_duration_since(clock::instant());
                    if left.is_zero() {
                        return Ok(Arrived::Late(late));
                    }
                    Some(left)
                }
            };
            self.wait_in_reads(wait)?;
            let mut socket = self.socket;
            match socket.read(framing.space()) {
                Ok(count) => return Ok(Arrived::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if deadline.is_none() {
                        let is_neighbour = self.who == Who::Neighbour;
                        return Ok(Arrived::Late(if is_neighbour { Late::Heartbeat } else { Late::Idle }));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all replies within the time for that, however little of them the other side takes at a time.
    pub(super) fn write(&self, replies: &[u8]) -> io::Result<Written> {
        let deadline = clock::deadline(self.reply_time_max);
        let (mut socket, mut rest, mut is_shortened) = (self.socket, replies, false);
        loop {
            match socket.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Late),
                Err(error) => return Err(error),
            }
            if rest.is_empty() {
                break;
            }
            // A call returns early when its own time is over, or for a signal.
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return Ok(Written::Late);
            }
            socket.set_write_timeout(Some(left))?;
            is_shortened = true;
        }
        if is_shortened {
            socket.set_write_timeout(Some(self.reply_time_max))?;
        }
        Ok(Written::All)
    }

    /// What is there already: asked without waiting, for the rest of a line that was sent in one piece needs no
    /// deadline. `None` if nothing is.
    fn read_at_once(&self, framing: &mut Framing) -> io::Result<Option<usize>> {
        loop {
            match recv(self.socket, framing.space(), RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_in_reads(&mut self, wait: Option<Duration>) -> io::Result<()> {
        if self.read_wait != wait {
            self.socket.set_read_timeout(wait)?;
            self.read_wait = wait;
        }
        Ok(())
    }
}
