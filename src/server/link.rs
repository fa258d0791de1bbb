//! The sender thread of one link: dial, say hello, send what is due, and again when the neighbour is back.

use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;

use super::errands::{self, Bell, Errand};
use super::shared::Shared;
use super::shutdown::hang_up;
use super::slips::{self, Slip};
use super::status::LinkState;
use super::sync::{self, AtomicBool, Mutex, Receiver, TcpStream};
use super::warnings::Cause;
use super::watcher::Watcher;
use super::{chance, clock};
use crate::logging::Escaped;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::model::name::ServerName;
use crate::proto::peering::backoff::Backoff;
use crate::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};

/// How long connecting to a neighbour may take: one that is there answers within a round trip.
pub(super) const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a neighbour may take for each of its answers until it has welcomed us.
const WELCOME_WAIT_MAX: Duration = Duration::from_secs(2);

/// Failures in a row after which a neighbour is reported as away: about half a second of attempts.
pub(super) const FAILURES_UNTIL_WARNING: u64 = 6;

/// What the kernel may hold that is not on its way yet: more would keep beats waiting behind it. What is on its way
/// is not bounded by us, for on a long way it is much.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// One link's thread.
pub(super) struct Sender<'a> {
    pub(super) shared: &'a Shared,
    pub(super) name: ServerName,
    /// Held for a step of the rules at a time, by this thread or the one that watches; the store's lock is taken
    /// after it, never before.
    pub(super) link: Mutex<Link>,
    pub(super) address: SocketAddr,
    pub(super) bell: &'a Bell,
    pub(super) state: &'a LinkState,
    pub(super) errands: Receiver<Errand>,
}

impl<'a> Sender<'a> {
    /// The sender to the neighbour with this index.
    pub(super) fn new(
        shared: &'a Shared,
        neighbour: usize,
        address: SocketAddr,
        errands: Receiver<Errand>,
    ) -> Sender<'a> {
        Sender {
            shared,
            name: shared.me.neighbours[neighbour].name.clone(),
            link: Mutex::new(Link::new(Arc::clone(&shared.me), neighbour)),
            address,
            bell: &shared.bells[neighbour],
            state: &shared.links[neighbour],
            errands,
        }
    }

    /// Keeps the link up until the server stops.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut failures = 0_u64;
        while !self.is_stopping() {
            match self.dial() {
                Ok((socket, framing)) => {
                    backoff.reset();
                    failures = 0;
                    self.shared.stats.links_up.add(1);
                    log::info!("link to {} is up", self.name);
                    self.state.turned(true);
                    let ended = self.converse(&socket, framing);
                    self.state.turned(false);
                    match ended {
                        Ok(()) => log::info!("link to {} is down", self.name),
                        Err(error) => log::warn!("link to {} is down: {error}", self.name),
                    }
                }
                Err(error) => {
                    failures += 1;
                    // Once per outage, for a neighbour that is away for an hour must not fill the log; and not
                    // at the first attempts, for the servers of a herd start one after another.
                    let level =
                        if failures == FAILURES_UNTIL_WARNING { log::Level::Warn } else { log::Level::Debug };
                    log::log!(level, "link to {} cannot be made yet: {error}", self.name);
                }
            }
            self.link.get_mut().hung_up();
            let wait = backoff.wait(fastrand::f32());
            errands::pause(&self.errands, self.bell, clock::deadline(wait));
        }
    }

    /// Connects, and lets each side prove who it is. Returns the framing too: more may have come with the welcome.
    fn dial(&self) -> io::Result<(Arc<TcpStream>, Framing)> {
        let socket = Arc::new(TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX)?);
        let is_registered = !slips::has(Slip::DialUnregistered);
        let _registered = is_registered.then(|| self.shared.dialling.register(&socket));
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PEER_TIMEOUT))?;
        SockRef::from(&*socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        let hello = self.link.lock().hello(chance::nonce()?);
        (&*socket).write_all(&hello)?;
        let mut framing = Framing::for_peer_replies();
        loop {
            match self.next_answer(&socket, &mut framing)? {
                Answered::Reply(line) => (&*socket).write_all(&line)?,
                Answered::Up => {
                    socket.set_read_timeout(Some(PEER_TIMEOUT))?;
                    return Ok((socket, framing));
                }
                Answered::Acknowledged | Answered::Differs(_) => {
                    return Err(io::Error::other(LinkError::OutOfPlace));
                }
            }
        }
    }

    fn next_answer(&self, mut socket: &TcpStream, framing: &mut Framing) -> io::Result<Answered> {
        let deadline = clock::ticks() + WELCOME_WAIT_MAX;
        loop {
            if let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                let answered = self.link.lock().answered(&self.shared.node.read(), text, clock::ticks());
                if answered == Err(LinkError::WrongProof) {
                    let what = format_args!("link to {}: {}", self.name, LinkError::WrongProof);
                    self.shared.hit(Cause::LinkUnproved, what);
                }
                return answered.map_err(|error| complaint(&error, text));
            }
            let left = deadline.saturating_sub(clock::ticks());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
            }
            socket.set_read_timeout(Some(left))?;
            match socket.read(framing.space()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends until the connection ends or the server stops, while another thread watches for a hang-up.
    fn converse(&self, socket: &Arc<TcpStream>, framing: Framing) -> io::Result<()> {
        let _registered = self.shared.link_sockets.register(socket);
        let hung_up = AtomicBool::new(false);
        sync::scope(|scope| {
            let watcher = Watcher { sender: self, socket, hung_up: &hung_up };
            sync::spawn(scope, format!("watch-{}", self.name), move || watcher.run(framing))?;
            let ended = self.send(socket, &hung_up);
            hang_up(socket, Half::Both);
            ended
        })
    }

    fn send(&self, mut socket: &TcpStream, hung_up: &AtomicBool) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut asked = false;
        loop {
            if !slips::has(Slip::MarkTakenOffLate) {
                self.bell.looking_at_news();
            }
            loop {
                lines.clear();
                let kept = self.shared.kept_number();
                let due = self.link.lock().due(&self.shared.node.read(), kept, clock::ticks(), &mut lines);
                let Some(due) = due else { break };
                socket.write_all(&lines).map_err(by_its_name)?;
                self.state.told({
                    let mut link = self.link.lock();
                    link.written(due, clock::ticks());
                    link.position()
                });
                self.shared.stats.link_lines.add(due.lines() as u64);
                self.note(&lines);
            }
            if slips::has(Slip::MarkTakenOffLate) {
                self.bell.looking_at_news();
            }
            if hung_up.load(Ordering::Acquire) {
                return Ok(());
            }
            if self.is_stopping() {
                // A connection that is closed while something unread is in it is reset, and takes with it what the
                // neighbour has not read. So it is closed when the neighbour has said that it has merged all.
                if self.is_acknowledged() {
                    return Ok(());
                }
                if !asked {
                    asked = true;
                    self.link.lock().ask_for_ack();
                    continue;
                }
            }
            let heartbeat_at = self.link.lock().heartbeat_at().unwrap_or_default();
            errands::wait_for_any(&self.errands, heartbeat_at.saturating_sub(clock::ticks()));
        }
    }

    fn is_acknowledged(&self) -> bool {
        let link = self.link.lock();
        link.acknowledged_position() >= link.position()
    }

    fn note(&self, lines: &[u8]) {
        self.shared.stats.link_bytes.add(lines.len() as u64);
        if log::log_enabled!(log::Level::Debug) {
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                log::log!(level_of(line), "link to {} -> {}", self.name, Escaped(line));
            }
        }
    }

    /// Whether it is time to finish. Until then a link that is down must not be waited for either.
    fn is_stopping(&self) -> bool {
        self.bell.is_stopping() || (!self.link.lock().is_live() && self.shared.conversations.is_stopping())
    }
}

/// Beats and their answers say nothing that a reader of the log would miss.
pub(super) fn level_of(line: &[u8]) -> log::Level {
    let is_beat = [&b"BEAT "[..], b"ACK ", b"UPTO "].iter().any(|word| line.starts_with(word));
    if is_beat { log::Level::Trace } else { log::Level::Debug }
}

/// Why a line of the neighbour is of no use, in its words if it complains.
pub(super) fn complaint(error: &LinkError, text: &[u8]) -> io::Error {
    match error {
        LinkError::NotAnAnswer(_) => io::Error::other(format!("it says {}", Escaped(text))),
        LinkError::OutOfPlace | LinkError::WrongServer | LinkError::WrongProof => io::Error::other(*error),
    }
}

/// A write that has waited for too long fails as `Resource temporarily unavailable`, which explains nothing.
fn by_its_name(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        let seconds = PEER_TIMEOUT.as_secs();
        return io::Error::new(io::ErrorKind::TimedOut, format!("it has taken nothing for {seconds} s"));
    }
    error
}
