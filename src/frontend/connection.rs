//! One connection from its first byte to its last: read, let the conversation decide, make it durable, write.

use std::io;
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::access::AccessControl;
use super::keys::PhoneKeys;
use super::page::Pages;
use super::sealed::Sealed;
use super::sessions::Sessions;
use crate::config::Herd;
use crate::member::Member;
use crate::member::conversation::{Conversation, Pause};
use crate::member::finder::Finder;
use crate::member::metrics::Event;
use crate::member::peer_registry::Registration;
use crate::member::rate_limit::RateLimit;
use crate::member::turn::Turn;
use crate::member::watchers::Watchers;
use crate::net::admission::{Admitted, Overload, network};
use crate::net::deadlines::{Deadlines, Phase, Received, TimedOut, Written};
use crate::net::gate::Gate;
use crate::net::listen::Output;
use crate::net::shutdown::LAST_READS_MAX;
use crate::net::stream::{Stream, hang_up, is_hung_up};
use crate::net::whereabouts::Whereabouts;
use crate::os::clock;
use crate::os::semaphore::Permit;
use crate::os::sync::{RwLock, Sender};
use crate::proto::line::batch::SMALL_BYTES_MAX;
use crate::proto::line::framing::Framing;
use crate::proto::line::query::Query;
use crate::proto::line::reason::Reason;
use crate::proto::peering::link::PEER_TIMEOUT;

/// After this time without a byte a client gives back what it has borrowed. It is longer than the pauses of a client
/// that sends batch after batch, which would have to borrow it again.
const QUIET_TIME: Duration = Duration::from_millis(100);

/// What all connections of a server share.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// The member that they are connected to.
    pub member: &'a Member,
    /// Who finds clients by place.
    pub finder: &'a Finder,
    /// All servers and their links, as the herd file had them last.
    pub herd: &'a RwLock<Arc<Herd>>,
    /// What those share that watch clients.
    pub watchers: &'a Watchers,
    /// What they came in by.
    pub gate: &'a Gate,
    /// The bytes that may be owed to one of them.
    pub output: Output,
    /// Where neighbours of the legacy dialect may come from.
    pub legacy: &'a Whereabouts,
    /// Who may what, if there is an access file.
    pub access: Option<&'a AccessControl>,
    /// The secrets of phones, if there are any.
    pub keys: Option<&'a PhoneKeys>,
    /// What stands before every path of HTTP.
    pub base_path: &'a str,
    /// The files of the map page.
    pub pages: &'a Pages,
    /// Asks for a stop of the server, and says by what.
    pub stop: &'a Sender<&'static str>,
    /// The clients of MQTT that are connected.
    pub sessions: &'a Sessions,
}

/// One connection in the line protocol or the protocol between servers.
pub struct Connection<'a> {
    shared: &'a Shared<'a>,
    stream: &'a Arc<Stream>,
    admitted: Admitted<'a>,
    deadlines: Deadlines<'a>,
    rate_limit: RateLimit,
    conversation: Conversation,
    turn: Turn,
    framing: Framing,
    /// Lets a client keep what it has borrowed to read into while it waits for more.
    holds_room: Option<Permit<'a>>,
    /// The place of a neighbour that has authenticated.
    registration: Option<Registration<'a>>,
}

/// Whether a conversation goes on.
#[derive(PartialEq)]
enum After {
    GoOn,
    Close,
}

impl<'a> Connection<'a> {
    /// From its first moment. It is in a box, because a thread keeps the stack that it has used once.
    #[inline]
    pub fn begin(
        shared: &'a Shared<'a>,
        stream: &'a Arc<Stream>,
        admitted: Admitted<'a>,
        deadlines: Deadlines<'a>,
        conversation: Conversation,
        framing: Framing,
    ) -> Box<Connection<'a>> {
        let limits = &shared.gate.limits;
        let rate_limit = RateLimit::new(limits.places_calls_per_minute)
            .from_address(network(conversation.remote().from.ip()), limits.places_calls_per_address);
        let registration = None;
        Box::new(Connection {
            shared,
            stream,
            admitted,
            deadlines,
            rate_limit,
            conversation,
            turn: Turn::new(shared.member),
            framing,
            holds_room: None,
            registration,
        })
    }

    /// Serves it until either side ends it.
    ///
    /// # Errors
    /// Why it ended, if neither side meant it to.
    pub fn run(&mut self) -> io::Result<()> {
        let ended = self.converse();
        // An error of the stream has another kind, and clients have no frames.
        if let (Err(error), false) = (&ended, self.conversation.is_client())
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.warn_of_tampering(error);
        }
        ended
    }

    #[cold]
    fn warn_of_tampering(&self, error: &io::Error) {
        let remote = self.conversation.remote();
        let what = format_args!("{remote} is cut: {error}");
        self.shared.member.metrics.count_and_warn(Event::PeerTampered, remote.from, what);
    }

    fn converse(&mut self) -> io::Result<()> {
        let mut last_reads = 0;
        loop {
            // A client that waits for nothing holds no large buffer.
            self.turn.give_back(&self.shared.member.spare_batches);
            let count = match self.read()? {
                Received::Bytes(count) => count,
                Received::Idle => {
                    self.admitted.may_give_way(self.stream);
                    continue;
                }
                Received::Cut => {
                    if self.shared.gate.open.is_stopping() {
                        self.deadlines.let_replies_leave();
                    }
                    // What was cut off is not the line that the client meant.
                    return Ok(());
                }
                Received::TimedOut(what) => {
                    self.give_up(what);
                    self.flush()?;
                    self.deadlines.linger();
                    return Ok(());
                }
            };
            if self.shared.gate.open.is_stopping() {
                last_reads += 1;
                if count == 0 || last_reads > LAST_READS_MAX {
                    // It is us who end the stream: what the client has sent of a line is not the line it meant.
                    self.deadlines.let_replies_leave();
                    return Ok(());
                }
            }
            let keeps_place = self.admitted.keeps_place();
            if count > SMALL_BYTES_MAX {
                self.turn.borrow(&self.shared.member.spare_batches);
            }
            let after = self.lines(count)?;
            // A client is told nothing, because it may wait for the reply to something else.
            if !keeps_place && !self.conversation.is_client() {
                self.turn.complain(format_args!("{}", Overload::Unauthenticated));
            }
            self.flush()?;
            if count == 0 || !keeps_place {
                return Ok(());
            }
            if after == After::Close {
                self.deadlines.linger();
                return Ok(());
            }
        }
    }

    /// Waits for bytes, and takes all that are there.
    fn read(&mut self) -> io::Result<Received> {
        let is_mid_line = self.framing.is_mid_line();
        let mut received = None;
        if self.framing.has_grown() && !is_mid_line && self.conversation.is_client() {
            // What TLS has decrypted would not end this wait.
            if self.holds_room.is_none() && self.deadlines.is_drained_by_short_reads() {
                self.holds_room = self.shared.gate.read_buffers.hold();
            }
            if self.holds_room.is_some() {
                received = self.deadlines.read_within(self.framing.space(), QUIET_TIME)?;
            }
            if received.is_none() {
                self.give_back_room();
            }
        }
        let received = match received {
            Some(received) => received,
            None => self.deadlines.read(self.framing.space(), is_mid_line)?,
        };
        let Received::Bytes(count) = received else { return Ok(received) };
        self.framing.filled(count);
        if !self.framing.wants_room() || !self.conversation.is_client() {
            return Ok(received);
        }
        self.framing.grow_into(self.shared.gate.read_buffers.borrow());
        // What else there is. That a stream has ended is found by the next read, after these lines were taken.
        match self.deadlines.read_now(self.framing.space()) {
            Ok(Some(Received::Bytes(more @ 1..))) => {
                self.framing.filled(more);
                Ok(Received::Bytes(count + more))
            }
            Ok(_) | Err(_) => Ok(received),
        }
    }

    /// What a client has borrowed that is quiet, or that may keep nothing while it waits.
    fn give_back_room(&mut self) {
        self.shared.gate.read_buffers.give_back(self.framing.shrink());
        self.turn.shrink();
        self.holds_room = None;
    }

    /// Takes all complete lines of what was read, so many bytes.
    // Not inlined: what is on the stack while replies are made durable should be little.
    #[inline(never)]
    fn lines(&mut self, count: usize) -> io::Result<After> {
        let (member, replies_bytes_max) = (self.shared.member, self.shared.output.replies_bytes_max);
        let received = clock::now();
        loop {
            // None is held after replies were sent. A neighbour never waits for clients.
            if self.turn.permit.is_none() && self.conversation.is_client() {
                self.turn.permit = member.turn_permits.large(count);
            }
            let pause = self.conversation.lines(
                member,
                &mut self.turn,
                &mut self.framing,
                received,
                replies_bytes_max,
            );
            // What was dropped because it was telnet's ends a message too.
            if self.turn.has_taken_lines() || !self.framing.is_mid_line() {
                self.deadlines.message_ended();
            }
            match pause {
                Pause::Empty => return Ok(After::GoOn),
                Pause::Full => self.flush()?,
                Pause::Secured(frames) => {
                    // The reply is the last that is in clear.
                    self.flush()?;
                    self.deadlines.secure(Box::new(Sealed::new(frames)))?;
                }
                Pause::Authenticated(neighbour) => self.authenticated(neighbour),
                Pause::Heartbeat(heartbeat) => {
                    member.acknowledge(&mut self.conversation, &mut self.turn, &heartbeat);
                }
                Pause::Ask(query) => self.ask(&query)?,
                Pause::Close(why) => {
                    member.closed(self.conversation.remote(), why);
                    return Ok(After::Close);
                }
            }
        }
    }

    /// Answers a question, with no lock held, and with all earlier replies sent if the provider may take its time.
    #[inline(never)]
    fn ask(&mut self, query: &Query) -> io::Result<()> {
        let member = self.shared.member;
        if member.asks_network() {
            self.flush()?;
        }
        let answer = member.nearby(query.nearby(), &mut self.rate_limit);
        if !self.turn.has_room_for(answer.as_str()) {
            self.flush()?;
        }
        self.conversation.answer(&mut self.turn, query, answer.as_str());
        Ok(())
    }

    /// A neighbour has proved that it is here: its older conversation is cut, and the link to it wakes.
    #[cold]
    fn authenticated(&mut self, neighbour: usize) {
        let stream = Arc::clone(self.stream);
        let cut = Box::new(move || {
            let is_in_use = !is_hung_up(&stream);
            hang_up(&stream, Half::Both);
            is_in_use
        });
        self.registration = Some(self.shared.member.authenticated(&self.conversation, neighbour, cut));
        self.admitted.authenticated();
        self.deadlines.enter(Phase::Heartbeats(PEER_TIMEOUT));
    }

    /// Applies what is pending, waits until that is durable, then sends all replies in one write.
    #[inline(never)]
    fn flush(&mut self) -> io::Result<()> {
        let member = self.shared.member;
        member.flush(&self.conversation, &mut self.turn)?;
        if self.turn.replies().is_empty() {
            return Ok(());
        }
        if self.deadlines.write(self.turn.replies())? == Written::Late {
            return self.cut_late();
        }
        self.turn.sent();
        Ok(())
    }

    /// The other side has not taken its replies in time.
    #[cold]
    fn cut_late(&mut self) -> io::Result<()> {
        self.turn.permit = Some(self.shared.member.turn_permits.late());
        let remote = self.conversation.remote();
        let wait = humantime::format_duration(self.shared.gate.limits.reply_time_max);
        let why = format!("it has not taken its replies within {wait}");
        let what = format_args!("{remote}: {why}");
        self.shared.member.metrics.count_and_warn(Event::ReplyTime, remote.from, what);
        // What the kernel has of them is not kept for a client that takes nothing.
        SockRef::from(&**self.stream).set_linger(Some(Duration::ZERO))?;
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }

    /// Says what was waited for in vain.
    #[cold]
    fn give_up(&mut self, what: TimedOut) {
        let (limits, remote) = (&self.shared.gate.limits, self.conversation.remote());
        let metrics = &self.shared.member.metrics;
        match what {
            TimedOut::Authentication => {
                let wait = humantime::format_duration(limits.hello_time_max);
                self.turn.complain(format_args!("no HELLO within {wait}"));
                let what = format_args!("{remote} has not said hello within {wait}");
                metrics.count_and_warn(Event::HelloTime, remote.from, what);
            }
            TimedOut::Message => {
                let wait = humantime::format_duration(limits.line_time_max);
                self.turn.refuse(self.framing.partial(), Reason::LineTooSlow);
                let what = format_args!("{remote} took over {wait} for a line");
                metrics.count_and_warn(Event::LineTime, remote.from, what);
            }
            TimedOut::Idle => {
                // No warning: a phone that stays connected and says nothing does no wrong.
                let wait = humantime::format_duration(limits.idle_time_max.unwrap_or_default());
                metrics.over_idle_time.add(1);
                log::info!("{remote} has said nothing for {wait}");
            }
            TimedOut::Heartbeat => self.shared.member.peer_timed_out(remote),
        }
    }
}
