//! One connection, in the steps that its readiness allows.

use std::io::{self, Read};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use proxyherd::member::conversation::{self, Pause, Remote};
use proxyherd::member::peer_registry::Registration;
use proxyherd::member::rate_limit::RateLimit;
use proxyherd::member::turn::Turn;
use proxyherd::net::admission::Admitted;
use proxyherd::net::shutdown::LAST_READS_MAX;
use proxyherd::net::stream::LINGER_READS_MAX;
use proxyherd::os::clock;
use proxyherd::proto::line::framing::Framing;
use proxyherd::proto::model::time::Moment;
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::driver::cut;
use proxyherd_bench::framings::Framings;

use crate::shared::{Accepted, Loops};
use crate::timers::Stamp;
use crate::unsent::Unsent;
use crate::waits::{Lateness, Waits};

/// Reads of one connection before the others have their turn.
const READS_PER_TURN_MAX: u32 = 4;

/// What a loop lends to whichever conversation is at work.
#[derive(Debug)]
pub(crate) struct Desk {
    turn: Turn,
    framings: Framings,
    /// Whether anything has changed since this was last taken away.
    pub(crate) has_changes: bool,
}

/// One connection.
pub(crate) struct Conversation {
    socket: TcpStream,
    conversation: conversation::Conversation,
    _admitted: Admitted<'static>,
    /// The place of a neighbour that has authenticated.
    registration: Option<Registration<'static>>,
    rate_limit: RateLimit,
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
    /// Everything is sent; this number of further reads waits for the other side to close.
    Lingering(u32),
}

impl Desk {
    /// An empty one.
    pub(crate) fn new(loops: &Loops) -> Desk {
        Desk { turn: Turn::new(&loops.driver.member), framings: Framings::default(), has_changes: false }
    }
}

impl Conversation {
    /// Begins it; its number differs from that of every other.
    pub(crate) fn new(loops: &Loops, accepted: Accepted, number: u64) -> io::Result<Conversation> {
        let Accepted { class, admitted, socket, from } = accepted;
        let conversation = loops.driver.begin(class, from)?;
        socket.set_nodelay(true)?;
        let received = Moment { seconds: 0, nanos: 0 };
        Ok(Conversation {
            socket,
            conversation,
            _admitted: admitted,
            registration: None,
            rate_limit: loops.driver.rate_limit(),
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

    /// The other side.
    pub(crate) fn remote(&self) -> Remote {
        self.conversation.remote()
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
        let is_peer = self.conversation.is_peer();
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
    pub(crate) fn work(&mut self, loops: &'static Loops, desk: &mut Desk, ending: bool) -> Waits {
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

    fn step(&mut self, loops: &'static Loops, desk: &mut Desk) -> Waits {
        if let State::Lingering(reads) = self.state {
            return self.linger(reads);
        }
        let mut framing = self.framing.take().unwrap_or_else(|| desk.framings.take(&self.conversation));
        let waits = self.work_with(loops, desk, &mut framing).unwrap_or_else(|e| Waits::Over(Err(e)));
        desk.has_changes |= desk.turn.take_changes();
        match (&waits, self.state) {
            // What could not be sent must not reach the next conversation.
            (Waits::Over(Err(_)), _) => desk.turn = Turn::new(&loops.driver.member),
            (Waits::Over(Ok(())), _) => {}
            (_, State::Open | State::Ended) if framing.is_mid_line() => self.framing = Some(framing),
            (_, State::Open) => desk.framings.give_back(&self.conversation, framing),
            (_, State::Ended | State::Closing | State::Lingering(_)) => {}
        }
        waits
    }

    fn work_with(
        &mut self,
        loops: &'static Loops,
        desk: &mut Desk,
        framing: &mut Framing,
    ) -> io::Result<Waits> {
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
            if !self.conversation.is_client() {
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

    /// Takes lines, and sends what comes of them. Returns whether more may be there.
    fn take_lines(
        &mut self,
        loops: &'static Loops,
        turn: &mut Turn,
        framing: &mut Framing,
    ) -> io::Result<bool> {
        let member = &loops.driver.member;
        let replies_bytes_max = loops.driver.output.replies_bytes_max;
        let is_more = loop {
            match self.conversation.lines(member, turn, framing, self.received, replies_bytes_max) {
                Pause::Empty => break false,
                Pause::Full => break true,
                // A variant has no secret.
                Pause::Secured(_) => {}
                Pause::Authenticated(neighbour) => {
                    let cut = cut(&self.socket)?;
                    self.registration = Some(member.authenticated(&self.conversation, neighbour, cut));
                }
                Pause::Heartbeat(heartbeat) => {
                    member.acknowledge(&mut self.conversation, turn, &heartbeat);
                }
                Pause::Ask(query) => {
                    if member.asks_network() {
                        self.send(loops, turn)?;
                    }
                    // The weakness of the style: until the provider has answered, this loop serves no other.
                    let answer = member.nearby(query.nearby(), &mut self.rate_limit);
                    if !turn.has_room_for(answer.as_str()) {
                        self.send(loops, turn)?;
                    }
                    self.conversation.answer(turn, &query, answer.as_str());
                    if !self.unsent.is_empty() {
                        break true;
                    }
                }
                Pause::Close(why) => {
                    member.closed(self.remote(), why);
                    self.state = State::Closing;
                    break false;
                }
            }
        };
        self.send(loops, turn)?;
        Ok(is_more)
    }

    /// Applies what is pending, then sends the replies, or keeps what the other side has no room for. The loop wakes
    /// the links, once for all conversations that were at work.
    fn send(&mut self, loops: &Loops, turn: &mut Turn) -> io::Result<()> {
        turn.apply(&loops.driver.member);
        loops.driver.member.count(&self.conversation, turn);
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
