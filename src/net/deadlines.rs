//! Read and write deadlines of one connection: for bytes, for the rest of a message, for authentication, and for the
//! other side to take what is written.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::secured::Secured;
use super::stream::{self, Stream};
use super::tls::Tls;
use crate::os::clock;
use crate::os::sync::write_now;

/// The deadlines of one conversation.
pub struct Deadlines<'a> {
    stream: &'a Stream,
    /// What encrypts it, if anything does.
    secured: Option<Box<dyn Secured>>,
    /// How long a read of the stream waits as it is set now: setting it is a system call.
    read_wait: Option<Duration>,
    /// Whether a write of the stream waits no longer than `write_time_max`.
    is_write_timed: bool,
    write_time_max: Duration,
    phase: Phase,
    /// When the message of which a part has come must be whole.
    message_by: Option<Instant>,
    /// Whether the client has been silent for long enough to give way to a newcomer.
    is_idle: bool,
}

/// What is waited for on a connection, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// Messages of a client.
    Messages {
        /// The longest silence between messages; `None` if any is allowed.
        idle_time_max: Option<Duration>,
        /// The silence after which the client may give way to a newcomer.
        idle_time_when_full: Duration,
        /// The longest time from a message's first byte to its last.
        message_time_max: Duration,
    },
    /// Authentication, which must be over by then.
    Unauthenticated(Instant),
    /// Heartbeats of a peer, which is gone when it has said nothing for so long.
    Heartbeats(Duration),
}

/// What came of waiting for bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes; none is the end of the stream.
    Bytes(usize),
    /// Nothing of a client for long enough to give way to a newcomer: wait on.
    Idle,
    /// The end of a stream in TLS that the other side did not announce: what has come of a message may lack its rest.
    Cut,
    /// Nothing in time.
    TimedOut(TimedOut),
}

/// What ends a wait for bytes or for a bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Bytes, or the end of the stream.
    Bytes,
    /// The bell.
    Bell,
    /// The deadline.
    Late,
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// All is with the kernel.
    All,
    /// The other side did not take it in time.
    Late,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// Authentication.
    Authentication,
    /// The rest of a message.
    Message,
    /// Anything of a client.
    Idle,
    /// A peer's heartbeat.
    Heartbeat,
}

impl<'a> Deadlines<'a> {
    /// From the first moment of a connection, whose other side must take what is written within `write_time_max`.
    ///
    /// # Errors
    /// If the stream is gone already.
    pub fn new(
        stream: &'a Stream,
        tls: Option<Tls>,
        phase: Phase,
        write_time_max: Duration,
    ) -> io::Result<Deadlines<'a>> {
        let mut deadlines = Deadlines {
            stream,
            secured: None,
            read_wait: None,
            is_write_timed: false,
            write_time_max,
            phase,
            message_by: None,
            is_idle: false,
        };
        if let Some(tls) = tls {
            deadlines.secure(Box::new(tls))?;
        }
        Ok(deadlines)
    }

    /// From now on what is read and written is encrypted by this.
    ///
    /// # Errors
    /// If the stream is gone already.
    pub fn secure(&mut self, secured: Box<dyn Secured>) -> io::Result<()> {
        self.secured = Some(secured);
        self.is_write_timed = true;
        // A read may have to write, too.
        self.stream.set_write_timeout(Some(self.write_time_max))
    }

    /// From now on something else is waited for.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// A message has come to its end; the next one has its own time.
    pub fn message_ended(&mut self) {
        self.message_by = None;
    }

    /// Waits for bytes, and reads them into `space`. `is_mid_message` says whether a part of a message has come.
    ///
    /// # Errors
    /// What the system says of the stream.
    pub fn read(&mut self, space: &mut [u8], is_mid_message: bool) -> io::Result<Received> {
        match self.read_in_time(space, is_mid_message) {
            // A socket never says so: it is how TLS names a cut.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Received::Cut),
            received => received,
        }
    }

    fn read_in_time(&mut self, space: &mut [u8], is_mid_message: bool) -> io::Result<Received> {
        loop {
            if let Some(secured) = &mut self.secured
                && let Some(count) = secured.decrypted(space)?
            {
                return Ok(Received::Bytes(count));
            }
            let is_mid_record = self.is_mid_record();
            let is_mid_message = is_mid_message || is_mid_record;
            if !is_mid_message {
                // The rest of a record may have been of no message.
                self.message_by = None;
            }
            // How long a read may wait that has no other end, what it means if nothing comes, and when it must be over.
            let (wait, late, by) = match self.phase {
                Phase::Unauthenticated(by) => (None, Received::TimedOut(TimedOut::Authentication), Some(by)),
                Phase::Heartbeats(timeout) => (Some(timeout), Received::TimedOut(TimedOut::Heartbeat), None),
                Phase::Messages { message_time_max, .. } if is_mid_message => {
                    let by = match self.message_by {
                        Some(by) => by,
                        None => match self.read_at_once(space)? {
                            Some(count) => return Ok(Received::Bytes(count)),
                            None => clock::deadline(message_time_max),
                        },
                    };
                    self.message_by = Some(by);
                    (None, Received::TimedOut(TimedOut::Message), Some(by))
                }
                Phase::Messages { idle_time_max, idle_time_when_full, .. } => {
                    match idle_time_max.map(|most| most.saturating_sub(idle_time_when_full)) {
                        Some(Duration::ZERO) => (idle_time_max, Received::TimedOut(TimedOut::Idle), None),
                        _ if !self.is_idle => (Some(idle_time_when_full), Received::Idle, None),
                        left => (left, Received::TimedOut(TimedOut::Idle), None),
                    }
                }
            };
            let left = by.map(|by| by.saturating_duration_since(clock::instant()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(late);
            }
            self.wait_in_reads(left.or(wait))?;
            match self.read_once(space) {
                Ok(Some(count)) => {
                    self.is_idle = false;
                    return Ok(Received::Bytes(count));
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if by.is_none() {
                        self.is_idle = late == Received::Idle;
                        return Ok(late);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there, without waiting; `None` if nothing is. Where TLS is spoken it must be called until then
    /// before a wait, because decrypted bytes wake no reader.
    ///
    /// # Errors
    /// What the system says of the stream.
    pub fn read_now(&mut self, space: &mut [u8]) -> io::Result<Option<Received>> {
        let decrypted = self.secured.as_mut().map_or(Ok(None), |secured| secured.decrypted(space));
        let read = match decrypted {
            Ok(None) => self.read_at_once(space),
            decrypted => decrypted,
        };
        match read {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Some(Received::Cut)),
            read => Ok(read?.map(Received::Bytes)),
        }
    }

    /// Waits in a read for bytes, no longer than this. The wait should be the same most times, because to change it is
    /// a system call. `None` if nothing has come, or what is TLS's alone.
    ///
    /// # Errors
    /// What the system says of the stream.
    pub fn read_within(&mut self, space: &mut [u8], wait: Duration) -> io::Result<Option<Received>> {
        self.wait_in_reads(Some(wait))?;
        match self.read_once(space) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Some(Received::Cut)),
            read => Ok(read?.map(Received::Bytes)),
        }
    }

    /// Waits for bytes, for a bell if there is one, or until then.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&self, bell: Option<BorrowedFd<'_>>, by: Instant) -> io::Result<Woken> {
        loop {
            let left = by.saturating_duration_since(clock::instant());
            let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i32::MAX.into(), tv_nsec: 0 });
            let socket = PollFd::new(self.stream, PollFlags::IN);
            let polled = match bell {
                None => poll(&mut [socket], Some(&wait)).map(|count| (count > 0, false)),
                Some(bell) => {
                    let mut both = [socket, PollFd::from_borrowed_fd(bell, PollFlags::IN)];
                    poll(&mut both, Some(&wait)).map(|_| {
                        let [socket, bell] = both.map(|polled| !polled.revents().is_empty());
                        (socket, bell)
                    })
                }
            };
            match polled {
                // The socket first: what has come may be an acknowledgement that makes room.
                Ok((true, _)) => return Ok(Woken::Bytes),
                Ok((false, true)) => return Ok(Woken::Bell),
                Ok((false, false)) => return Ok(Woken::Late),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a read that left room in its space has left nothing to be read either. Where TLS is spoken it says
    /// nothing.
    pub fn is_drained_by_short_reads(&self) -> bool {
        self.secured.is_none()
    }

    /// Whether a part of a record of TLS has come.
    pub fn is_mid_record(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.is_mid_record())
    }

    /// Writes all replies within the time for that, however little of them the other side takes at a time.
    ///
    /// # Errors
    /// What the system says of the stream.
    pub fn write(&mut self, replies: &[u8]) -> io::Result<Written> {
        let deadline = clock::deadline(self.write_time_max);
        let (mut rest, mut is_shortened) = (replies, false);
        loop {
            match self.write_once(&mut rest) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_write_timed => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Late),
                Err(error) => return Err(error),
            }
            // A call returns early when its own time is over, or for a signal.
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return Ok(Written::Late);
            }
            self.stream.set_write_timeout(Some(left))?;
            (is_shortened, self.is_write_timed) = (true, true);
        }
        if is_shortened {
            self.stream.set_write_timeout(Some(self.write_time_max))?;
        }
        Ok(Written::All)
    }

    /// Says that nothing more will be sent, and reads on for a moment: see [`stream::linger`].
    pub fn linger(&mut self) {
        self.end();
        stream::linger(self.stream);
    }

    /// Says that nothing more will be sent, and waits until all of it is: see [`stream::let_replies_leave`].
    pub fn let_replies_leave(&mut self) {
        self.end();
        stream::let_replies_leave(self.stream);
    }

    fn end(&mut self) {
        if let Some(secured) = &mut self.secured {
            secured.end(self.stream);
        }
    }

    /// Waits for bytes; `None` if what came was TLS's alone.
    fn read_once(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stream = self.stream;
        match &mut self.secured {
            None => stream.read(space).map(Some),
            Some(secured) => secured.read(stream, space, RecvFlags::empty()),
        }
    }

    /// Writes what the other side takes, and says whether nothing is left.
    fn write_once(&mut self, rest: &mut &[u8]) -> io::Result<bool> {
        let mut stream = self.stream;
        match &mut self.secured {
            None => {
                // Most replies find room in the kernel, and need no deadline, which is a system call.
                let count = if self.is_write_timed { stream.write(rest)? } else { write_now(stream, rest)? };
                *rest = &rest[count..];
                if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(rest.is_empty()) }
            }
            Some(secured) => secured.write(stream, rest),
        }
    }

    /// Reads what is there already, without waiting, because the rest of a message that was sent in one piece needs no
    /// deadline. `None` if nothing is.
    fn read_at_once(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let read = match &mut self.secured {
                None => recv(self.stream, &mut *space, RecvFlags::DONTWAIT)
                    .map(|(count, _)| Some(count))
                    .map_err(io::Error::from),
                Some(secured) => secured.read(self.stream, space, RecvFlags::DONTWAIT),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                read => return read,
            }
        }
    }

    fn wait_in_reads(&mut self, wait: Option<Duration>) -> io::Result<()> {
        if self.read_wait != wait {
            self.stream.set_read_timeout(wait)?;
            self.read_wait = wait;
        }
        Ok(())
    }
}

impl Drop for Deadlines<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
