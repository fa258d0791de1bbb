//! The door of MQTT: phones publish where they are, and are told where others are. One thread serves a connection and
//! owns its socket; it waits for that and for a bell at once.
//!
//! This is no broker. Places are kept by the store, which knows the newest of each client, and nothing else is kept or
//! passed on.

mod client;
mod input;
mod published;
mod subscriber;
mod told;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use self::client::{After, Client};
use self::input::Input;
use self::subscriber::Told;
use super::connection::Shared;
use super::protocol::{Protocol, remote};
use crate::member::conversation::Remote;
use crate::member::metrics::Event;
use crate::net::accept::Accepted;
use crate::net::admission::Admitted;
use crate::net::bodies::Held;
use crate::net::deadlines::{Deadlines, Phase, Received, Woken, Written};
use crate::net::stream::Stream;
use crate::os::clock;
use crate::os::semaphore::OwnedPermit;
use crate::proto::mqtt::bad_packet::BadPacket;
use crate::proto::mqtt::decode::{Bounds, Packet, decode};
use crate::proto::mqtt::encode::{push_disconnect, push_refused};
use crate::proto::mqtt::{Version, reason};

/// The bytes of answers that leave in one write, about.
const WRITE_BYTES: usize = 16 * 1024;

/// The room for answers that a connection keeps.
const KEPT_BYTES: usize = 4 * 1024;

/// Where nothing is waited for, the wait ends by itself after so long, and begins again.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One connection.
struct Connection<'a> {
    shared: Shared<'a>,
    remote: Remote,
    stream: &'a Arc<Stream>,
    admitted: Admitted<'a>,
    deadlines: Deadlines<'a>,
    bounds: Bounds,
    input: Input,
    /// Whether nothing has come since the last read: to look for it is a system call.
    is_drained: bool,
    /// The room for a packet that is coming.
    held: Held<'a>,
    out: Vec<u8>,
    /// Who it is, once it has said so.
    client: Option<Client<'a>>,
    began: Instant,
    /// When something came last.
    heard: Instant,
    /// When the packet of which a part has come must be whole.
    packet_by: Option<Instant>,
    may_give_way: bool,
    /// Whether what came last has filled all the room for it.
    is_full: bool,
    /// Held while packets are taken, if they are many: see [`crate::member::turn::TurnPermits`].
    permit: Option<OwnedPermit>,
}

/// What came of waiting.
enum Waited {
    /// It is time to look again.
    Again,
    /// Bytes, or the end of the stream.
    Read(Received),
    /// Nothing in time: the connection ends for this reason.
    Late(u8),
}

/// Serves a client until either side ends the connection.
///
/// # Errors
/// Why it ended, if neither side meant it to.
#[inline(never)]
pub fn serve(shared: Shared<'_>, accepted: Accepted<'_, Protocol>) -> io::Result<()> {
    let limits = &shared.gate.limits;
    let remote = remote(&accepted);
    let phase = Phase::Messages {
        idle_time_max: limits.idle_time_max,
        idle_time_when_full: limits.idle_time_when_full,
        message_time_max: limits.line_time_max,
    };
    accepted.stream.set_nodelay(true)?;
    let now = clock::instant();
    let connection = Connection {
        shared,
        remote,
        deadlines: Deadlines::new(&accepted.stream, accepted.tls, phase, limits.reply_time_max)?,
        stream: &accepted.stream,
        admitted: accepted.admitted,
        bounds: Bounds {
            packet_bytes_max: limits.mqtt_packet_bytes_max as usize,
            filters_max: limits.mqtt_filters_max as usize,
        },
        input: Input::default(),
        is_drained: false,
        held: shared.gate.bodies.hold(),
        out: Vec::new(),
        client: None,
        began: now,
        heard: now,
        packet_by: None,
        may_give_way: false,
        is_full: false,
        permit: None,
    };
    connection.run()
}

impl Connection<'_> {
    fn run(mut self) -> io::Result<()> {
        loop {
            let Some(told) = self.tell()? else { return self.close(reason::NOT_AUTHORISED) };
            let has_more = matches!(told, Some(Told::More));
            let mut read = None;
            if has_more || !self.is_drained {
                read = self.deadlines.read_now(self.input.space())?;
            }
            self.is_drained = false;
            if read.is_none() && !has_more {
                match self.wait(told)? {
                    Waited::Again => continue,
                    Waited::Read(received) => read = Some(received),
                    Waited::Late(why) => return self.close(why),
                }
            }
            let count = match read {
                Some(Received::Bytes(0) | Received::Cut) => return self.ended(),
                Some(Received::Bytes(count)) => count,
                Some(Received::Idle | Received::TimedOut(_)) | None => continue,
            };
            self.is_drained = count < self.input.room() && self.deadlines.is_drained_by_short_reads();
            match self.received(count)? {
                After::GoOn => {}
                After::Gone => return Ok(()),
                After::Close(why) => return self.close(why),
            }
        }
    }

    /// Tells what is to be told, and says what is waited for then. `None` if the client may be here no more.
    fn tell(&mut self) -> io::Result<Option<Option<Told>>> {
        let Some(client) = &mut self.client else { return Ok(Some(None)) };
        if !client.is_allowed() {
            return Ok(None);
        }
        let told = client.tell(&mut self.out);
        self.flush()?;
        Ok(Some(told))
    }

    /// Takes the packets in what has come.
    fn received(&mut self, count: usize) -> io::Result<After> {
        if self.client.as_mut().is_some_and(|client| !client.is_allowed()) {
            return Ok(After::Close(reason::NOT_AUTHORISED));
        }
        (self.heard, self.may_give_way) = (clock::instant(), false);
        let keeps_place = self.admitted.keeps_place();
        self.input.filled(count);
        // A client that fills all its room time after time sends what it has kept.
        let was_full = std::mem::replace(&mut self.is_full, self.input.room() == 0);
        let bytes = if was_full && self.is_full { usize::MAX } else { count };
        // One that has yet to log in holds none, because the answer to a wrong token waits.
        self.permit = self.client.as_ref().and_then(|_| self.shared.member.turn_permits.large(bytes));
        let mut after = self.packets()?;
        // What came before is good, whatever came then.
        if let Some(client) = &mut self.client {
            let committed = After::from(client.commit(&mut self.out));
            after = if after == After::GoOn { committed } else { after };
        }
        self.flush()?;
        let (held, is_whole) = (self.input.held().len(), self.input.held().is_empty());
        if is_whole {
            self.held.release();
        } else if !self.held.grow_to(held) {
            return Ok(After::Close(reason::QUOTA));
        }
        if after == After::GoOn && self.is_stopping() {
            return Ok(After::Close(reason::STOPPING));
        }
        Ok(if after == After::GoOn && !keeps_place { After::Close(reason::QUOTA) } else { after })
    }

    fn packets(&mut self) -> io::Result<After> {
        loop {
            let version = self.client.as_ref().map(|client| client.version);
            let (packet, count) = match decode(self.input.held(), version, self.bounds) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(After::GoOn),
                Err(error) => return Ok(self.refuse(error)),
            };
            let after = match (&mut self.client, packet) {
                (Some(client), packet) => client.take(packet, &mut self.out),
                (client, Packet::Connect(connect)) => {
                    *client = Client::join(self.shared, self.remote, self.stream, &connect, &mut self.out);
                    // It has been told why not.
                    if client.is_some() { After::GoOn } else { After::Close(reason::SUCCESS) }
                }
                (None, _) => After::Close(reason::PROTOCOL),
            };
            self.input.taken(count);
            self.packet_by = None;
            if after != After::GoOn {
                return Ok(after);
            }
            if self.out.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
    }

    /// Says why what has come is no packet.
    fn refuse(&mut self, error: BadPacket) -> After {
        if self.client.is_none() {
            // One that came by mistake is told nothing, in no protocol.
            match error {
                BadPacket::OldVersion => push_refused(Version::V311, reason::VERSION, &mut self.out),
                BadPacket::NewVersion => push_refused(Version::V5, reason::VERSION, &mut self.out),
                BadPacket::Malformed
                | BadPacket::Protocol
                | BadPacket::TooLong
                | BadPacket::TooManyFilters
                | BadPacket::SubscriptionId => {}
            }
        }
        let what = format_args!("{}: {error}", self.remote);
        self.shared.member.metrics.count_and_warn(Event::MqttRefused, self.remote.from, what);
        After::Close(error.reason())
    }

    /// Waits for whatever comes next.
    fn wait(&mut self, told: Option<Told>) -> io::Result<Waited> {
        let limits = &self.shared.gate.limits;
        let is_mid_packet = !self.input.held().is_empty() || self.deadlines.is_mid_record();
        let packet_by =
            is_mid_packet.then(|| self.packet_by.unwrap_or_else(|| clock::deadline(limits.line_time_max)));
        self.packet_by = packet_by;
        let greets_by = self.client.is_none().then(|| self.began + limits.line_time_max);
        let silence_max = match self.client.as_ref().and_then(|client| client.silence_max) {
            None => limits.idle_time_max,
            silence => silence,
        };
        let silent_by = silence_max.map(|most| self.heard + most);
        let gives_way_by = (!self.may_give_way).then(|| self.heard + limits.idle_time_when_full);
        let told_by = match told {
            Some(Told::Until(until)) => Some(until),
            Some(Told::More | Told::Acknowledgement | Told::Bell(_)) | None => None,
        };
        let all = [packet_by, greets_by, silent_by, gives_way_by, told_by];
        let by = all.into_iter().flatten().min().unwrap_or_else(|| clock::deadline(WAIT_MAX));
        let bell = match &told {
            Some(Told::Bell(bell)) => Some(bell.as_fd()),
            Some(Told::More | Told::Acknowledgement | Told::Until(_)) | None => None,
        };
        // While nothing of it is under way it may be sent to another server: a drain ends it, and says so.
        let resting = (!is_mid_packet).then(|| self.shared.gate.resting.register(self.stream));
        if told.is_none() && !is_mid_packet && self.client.is_some() {
            // Nothing but bytes can come, so the read itself waits: one system call in place of two.
            let left = by.saturating_duration_since(clock::instant());
            let left = Duration::from_secs(left.as_secs().saturating_add(1));
            if let Some(received) = self.deadlines.read_within(self.input.space(), left)? {
                return Ok(Waited::Read(received));
            }
        } else {
            match self.deadlines.wait(bell, by)? {
                Woken::Bytes | Woken::Bell => return Ok(Waited::Again),
                Woken::Late => {}
            }
        }
        drop(resting);
        let now = clock::instant();
        let is_late = |by: Option<Instant>| by.is_some_and(|by| by <= now);
        let (metrics, remote) = (&self.shared.member.metrics, self.remote);
        if is_late(packet_by) || is_late(greets_by) {
            let wait = humantime::format_duration(limits.line_time_max);
            let what = format_args!("{remote} took over {wait} for a packet");
            metrics.count_and_warn(Event::LineTime, remote.from, what);
            return Ok(Waited::Late(reason::KEEP_ALIVE));
        }
        if is_late(silent_by) {
            metrics.over_idle_time.add(1);
            log::debug!("{remote} has been silent for longer than it said");
            return Ok(Waited::Late(reason::KEEP_ALIVE));
        }
        if is_late(gives_way_by) {
            self.may_give_way = true;
            self.admitted.may_give_way(self.stream);
        }
        Ok(Waited::Again)
    }

    /// The other side sends no more, or the stream was closed from here to have the connection end.
    fn ended(mut self) -> io::Result<()> {
        let is_taken_over = self.client.as_ref().is_some_and(Client::is_taken_over);
        match is_taken_over {
            true => self.say(reason::TAKEN_OVER),
            false if self.is_stopping() => self.say(reason::STOPPING),
            false => {}
        }
        self.flush()?;
        self.deadlines.let_replies_leave();
        Ok(())
    }

    /// Ends the connection.
    fn close(mut self, why: u8) -> io::Result<()> {
        if let Some(client) = &self.client {
            log::debug!("{}: the connection ends, reason {why:#04x}", client.at(self.remote));
        }
        self.say(why);
        self.flush()?;
        if why == reason::STOPPING {
            self.deadlines.let_replies_leave();
        } else {
            self.deadlines.linger();
        }
        Ok(())
    }

    /// Whether the server is stopping, or drained before it stops.
    fn is_stopping(&self) -> bool {
        self.shared.gate.open.is_stopping() || self.shared.gate.is_draining()
    }

    fn say(&mut self, why: u8) {
        if let Some(client) = &self.client {
            push_disconnect(client.version, why, &mut self.out);
        }
    }

    /// Sends all answers so far.
    fn flush(&mut self) -> io::Result<()> {
        self.permit = None;
        if self.out.is_empty() {
            return Ok(());
        }
        if self.deadlines.write(&self.out)? == Written::Late {
            self.permit = Some(self.shared.member.turn_permits.late());
            let wait = humantime::format_duration(self.shared.gate.limits.reply_time_max);
            let why = format!("it has not taken what it is told within {wait}");
            let what = format_args!("{}: {why}", self.remote);
            self.shared.member.metrics.count_and_warn(Event::ReplyTime, self.remote.from, what);
            // What the kernel has of it is not kept for a client that takes nothing.
            SockRef::from(&**self.stream).set_linger(Some(Duration::ZERO))?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        Ok(())
    }
}
