//! One connection, in the steps that its readiness allows.

use std::io::{self, Read};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use proxyherd::proto::line::framing::Framing;
use proxyherd::proto::model::time::Moment;
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::clock;
use proxyherd_bench::framings::Framings;
use proxyherd_bench::shared::{LAST_READS_MAX, LINGER_READS_MAX, Port};
use proxyherd_bench::talk::{Pause, Talk, Turn};

use crate::shared::{Accepted, Loops};
use crate::timers::Stamp;
use crate::unsent::Unsent;
use crate::waits::{Lateness, Waits};

/// Reads of one connection before the others have their turn.
const READS_PER_TURN_MAX: u32 = 4;

/// What a loop lends to whichever conversation is at work.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    turn: Turn,
    framings: Framings,
    /// Whether anything has become news since this was last taken away.
    pub(crate) news: bool,
}

/// One connection.
pub(crate) struct Conversation {
    socket: TcpStream,
    talk: Talk,
    /// While it holds part of a line, or lines that had to wait.
    framing: Option<Framing>,
    received: Moment,
    last_reads: u32,
    unsent: Unsent,
    state: State,
    /// Whether the end of the stream has been seen coming: a short read is no proof then that nothing more is
    /// there, and no further event will say so.
    ending: bool,
    /// Changes whenever it makes progress, so that older deadlines are void.
    stamp: Stamp,
    /// Whether a deadline for writing is set, whatever its stamp: one at a time is enough.
    has_write_deadline: bool,
    /// Whether one for silence is set: only a neighbour has one.
    has_silence_deadline: bool,
    /// When the other side has last been read of.
    last_heard_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    /// The other side has sent all it will.
    Ended,
    /// It is to be closed once everything is sent.
    Closing,
    /// Everything is sent; so many more reads wait for the other side to close.
    Lingering(u32),
}

impl Conversation {
    /// Begins it; its number differs from that of every other.
    pub(crate) fn new(loops: &Loops, accepted: Accepted, number: u64) -> io::Result<Conversation> {
        let Accepted { port, socket, from } = accepted;
        let talk = Talk::begin(&loops.shared, port, from)?;
        socket.set_nodelay(true)?;
        let received = Moment { seconds: 0, nanos: 0 };
        Ok(Conversation {
            socket,
            talk,
            framing: None,
            received,
            last_reads: 0,
            unsent: Unsent::default(),
            state: State::Open,
            ending: false,
            stamp: (number, 0),
            has_write_deadline: false,
            has_silence_deadline: false,
            last_heard_at: Duration::ZERO,
        })
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(crate) fn talk(&self) -> &Talk {
        &self.talk
    }

    /// Wakes it as if the other side had hung up.
    pub(crate) fn stop_reading(&self) {
        // It fails only if it is closed already.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What differs from that of every other conversation of its loop.
    pub(crate) fn number(&self) -> u64 {
        self.stamp.0
    }

    /// Whether this has become the conversation of a neighbour, for whose silence a deadline is to be set now.
    pub(crate) fn begins_to_beat(&mut self) -> bool {
        let is_peer = self.talk.is_peer();
        is_peer && !std::mem::replace(&mut self.has_silence_deadline, true)
    }

    /// How much longer the neighbour may say nothing.
    pub(crate) fn silence_left(&self) -> Duration {
        (self.last_heard_at + PEER_TIMEOUT).saturating_sub(clock::ticks())
    }

    /// Says what to do now that the deadline has passed that was set with `stamp`.
    pub(crate) fn write_is_late(&mut self, stamp: Stamp) -> Lateness {
        if stamp.0 != self.stamp.0 {
            return Lateness::Done;
        }
        self.has_write_deadline = !self.unsent.is_empty();
        match self.has_write_deadline {
            true if stamp == self.stamp => Lateness::Late,
            true => Lateness::MovedOn(self.stamp),
            false => Lateness::Done,
        }
    }

    /// Does all that can be done without waiting. `ending` says that the end of the stream has been seen coming.
    pub(crate) fn work(&mut self, loops: &Loops, desk: &mut Desk, ending: bool) -> Waits {
        self.ending |= ending;
        let blocked = self.unsent.len();
        let waits = self.step(loops, desk);
        if blocked == 0 || blocked != self.unsent.len() {
            self.stamp.1 += 1;
        }
        match waits {
            Waits::Write(_) if self.has_write_deadline => Waits::Write(None),
            Waits::Write(_) => {
                self.has_write_deadline = true;
                Waits::Write(Some(self.stamp))
            }
            Waits::Read | Waits::Close | Waits::Turn | Waits::Over(_) => waits,
        }
    }

    fn step(&mut self, loops: &Loops, desk: &mut Desk) -> Waits {
        if let State::Lingering(reads) = self.state {
            return self.linger(reads);
        }
        let port = self.talk.port;
        let mut framing = self.framing.take().unwrap_or_else(|| desk.framings.take(port));
        let waits = self.work_with(loops, desk, &mut framing).unwrap_or_else(|e| Waits::Over(Err(e)));
        desk.news |= desk.turn.take_news();
        match (&waits, self.state) {
            // What could not be sent must not reach the next conversation.
            (Waits::Over(Err(_)), _) => desk.turn = Turn::default(),
            (Waits::Over(Ok(())), _) => {}
            (_, State::Open | State::Ended) if framing.is_mid_line() => self.framing = Some(framing),
            (_, State::Open) => desk.framings.give_back(port, framing),
            (_, State::Ended | State::Closing | State::Lingering(_)) => {}
        }
        waits
    }

    fn work_with(&mut self, loops: &Loops, desk: &mut Desk, framing: &mut Framing) -> io::Result<Waits> {
        let mut reads = 0;
        // Lines that had to wait come before what is still to be read.
        let mut lines_left = framing.is_mid_line();
        loop {
            if !self.unsent.send_rest(&self.socket)? {
                return Ok(Waits::Write(None));
            }
            if lines_left && self.state != State::Closing {
                lines_left = self.take_lines(loops, &mut desk.turn, framing)?;
                continue;
            }
            match self.state {
                State::Open => {}
                State::Ended => return Ok(Waits::Over(Ok(()))),
                State::Closing | State::Lingering(_) => {
                    let _ = self.socket.shutdown(Shutdown::Write);
                    return Ok(self.linger(LINGER_READS_MAX));
                }
            }
            if reads == READS_PER_TURN_MAX {
                return Ok(Waits::Turn);
            }
            let space = framing.space();
            let room = space.len();
            let count = match self.socket.read(space) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Waits::Read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if loops.is_stopping() {
                self.last_reads += 1;
                if count == 0 || self.last_reads > LAST_READS_MAX {
                    // It is us who end the stream: half a line is not the line that was meant.
                    return Ok(Waits::Over(Ok(())));
                }
            }
            if count == 0 {
                self.state = State::Ended;
            }
            self.received = clock::now();
            if self.talk.port == Port::Peer {
                self.last_heard_at = clock::ticks();
            }
            framing.filled(count);
            while self.take_lines(loops, &mut desk.turn, framing)? {
                if !self.unsent.is_empty() {
                    lines_left = true;
                    break;
                }
            }
            // A short read has emptied the socket, and what comes later is a new event.
            if count > 0
                && count < room
                && !self.ending
                && self.unsent.is_empty()
                && self.state == State::Open
            {
                return Ok(Waits::Read);
            }
            reads += 1;
        }
    }

    /// Takes lines up to the next pause and sends what comes of them. Returns whether more may be there.
    fn take_lines(&mut self, loops: &Loops, turn: &mut Turn, framing: &mut Framing) -> io::Result<bool> {
        let pause = self.talk.lines(&loops.shared, turn, framing, self.received);
        if let Pause::Met(neighbour) = pause {
            self.talk.met(&loops.shared, neighbour, &self.socket)?;
        }
        self.send(loops, turn)?;
        match pause {
            Pause::Empty => return Ok(false),
            Pause::Full => {}
            Pause::Met(neighbour) => loops.tell_back(neighbour),
            Pause::Ask(search) => {
                // The weakness of the style: until the provider has answered, this loop serves nobody.
                let answer = loops.shared.places.nearby(search.nearby());
                self.talk.answered(&loops.shared, turn, &search, answer);
            }
            Pause::Close => {
                self.state = State::Closing;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Settles, then sends the replies, or keeps what the other side has no room for.
    fn send(&mut self, loops: &Loops, turn: &mut Turn) -> io::Result<()> {
        turn.settle(&loops.shared);
        self.unsent.send(&self.socket, turn.replies())?;
        turn.sent();
        Ok(())
    }

    /// Reads on until the other side has closed too.
    fn linger(&mut self, mut reads: u32) -> Waits {
        let mut ignored = [0; 4096];
        while reads > 0 {
            reads -= 1;
            match self.socket.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.state = State::Lingering(reads);
                    return Waits::Close;
                }
                Err(_) => break,
            }
        }
        Waits::Over(Ok(()))
    }
}
