//! The sender thread of one link: dial, say hello, send what is due, and again when the neighbour is back.

use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::errands::{self, Bell, Errand};
use super::shutdown::hang_up;
use super::threads::STACK_BYTES;
use super::{Shared, clock};
use crate::logging::Escaped;
use crate::proto::backoff::Backoff;
use crate::proto::framing::{Framing, Line};
use crate::proto::link::Link;
use crate::proto::name::ServerName;

/// How long connecting to a neighbour may take: one that is there answers within a round trip.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a neighbour may take to answer our hello.
const WELCOME_WAIT_MAX: Duration = Duration::from_secs(5);

/// Failures in a row after which a neighbour is reported as away: about half a second of attempts.
const FAILURES_UNTIL_WARNING: u64 = 6;

/// One link's thread.
pub(super) struct Sender<'a> {
    pub(super) shared: &'a Shared,
    pub(super) link: Link,
    pub(super) address: SocketAddr,
    pub(super) bell: &'a Bell,
    pub(super) errands: Receiver<Errand>,
}

impl Sender<'_> {
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
                    log::info!("link to {} is up", self.name());
                    let ended = self.converse(&socket, framing);
                    self.link.hung_up();
                    match ended {
                        Ok(()) => log::info!("link to {} is down", self.name()),
                        Err(error) => log::warn!("link to {} is down: {error}", self.name()),
                    }
                }
                Err(error) => {
                    failures += 1;
                    // Once per outage, for a neighbour that is away for an hour must not fill the log; and not
                    // at the first attempts, for the servers of a herd start one after another.
                    let level =
                        if failures == FAILURES_UNTIL_WARNING { log::Level::Warn } else { log::Level::Debug };
                    log::log!(level, "link to {} cannot be made yet: {error}", self.name());
                }
            }
            let wait = backoff.wait(fastrand::f32());
            errands::pause(&self.errands, self.bell, clock::deadline(wait));
        }
    }

    /// Connects and says hello. Returns the framing too: more may have come with the welcome.
    fn dial(&mut self) -> io::Result<(Arc<TcpStream>, Framing)> {
        let socket = Arc::new(TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX)?);
        let _registered = self.shared.dialling.register(&socket);
        socket.set_nodelay(true)?;
        (&*socket).write_all(&self.link.hello())?;
        let mut framing = Framing::for_peer_replies();
        let deadline = clock::deadline(WELCOME_WAIT_MAX);
        loop {
            let left = deadline.saturating_duration_since(clock::deadline(Duration::ZERO));
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer HELLO"));
            }
            socket.set_read_timeout(Some(left))?;
            let count = match (&*socket).read(framing.space()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            framing.filled(count);
            if let Some(line) = framing.next_line() {
                let (Line::Whole(text) | Line::TooLong(text)) = line;
                self.link.welcomed(&mut self.shared.node.write(), text).map_err(io::Error::other)?;
                socket.set_read_timeout(None)?;
                return Ok((socket, framing));
            }
        }
    }

    /// Sends until the connection ends or the server stops, while another thread watches for a hang-up.
    fn converse(&mut self, socket: &Arc<TcpStream>, framing: Framing) -> io::Result<()> {
        let _registered = self.shared.link_sockets.register(socket);
        let hung_up = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = Watcher { name: self.name().clone(), socket, bell: self.bell, hung_up: &hung_up };
            let name = format!("watch-{}", watcher.name);
            Builder::new()
                .name(name)
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || watcher.run(framing))?;
            let ended = self.send(socket, &hung_up);
            hang_up(socket, Half::Both);
            ended
        })
    }

    fn send(&mut self, mut socket: &TcpStream, hung_up: &AtomicBool) -> io::Result<()> {
        let mut lines = Vec::new();
        loop {
            self.bell.looking_at_news();
            loop {
                lines.clear();
                let due = self.shared.node.read().due(&self.link, &mut lines);
                let Some(due) = due else { break };
                socket.write_all(&lines)?;
                self.link.written(due);
                self.note(&lines);
            }
            if self.is_stopping() || hung_up.load(Ordering::Acquire) {
                return Ok(());
            }
            errands::wait_for_any(&self.errands);
        }
    }

    fn note(&self, lines: &[u8]) {
        self.shared.stats.link_bytes.add(lines.len() as u64);
        if log::log_enabled!(log::Level::Debug) {
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                log::debug!("link to {} -> {}", self.name(), Escaped(line));
            }
        }
    }

    /// Whether it is time to finish. Until then a link that is down must not be waited for either.
    fn is_stopping(&self) -> bool {
        self.bell.is_stopping() || (!self.link.is_live() && self.shared.conversations.is_stopping())
    }

    fn name(&self) -> &ServerName {
        &self.shared.me.neighbours[self.link.neighbour()]
    }
}

/// Reads what the neighbour says on a link, which is nothing but complaints, and notices when it hangs up.
struct Watcher<'a> {
    name: ServerName,
    socket: &'a TcpStream,
    bell: &'a Bell,
    hung_up: &'a AtomicBool,
}

impl Watcher<'_> {
    fn run(self, mut framing: Framing) {
        let mut socket = self.socket;
        loop {
            while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                log::warn!("link to {} <- {}", self.name, Escaped(text));
            }
            match socket.read(framing.space()) {
                Ok(0) => break,
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.hung_up.store(true, Ordering::Release);
        // The sender may be waiting in a write that nobody will read any more.
        hang_up(self.socket, Half::Both);
        self.bell.ring(Errand::HangUp);
    }
}
