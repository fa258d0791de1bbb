//! The sender thread of a link to a classic neighbour: a connection for every message.

use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::errands::{self, Bell, Errand};
use super::link::{CONNECT_WAIT_MAX, FAILURES_UNTIL_WARNING};
use super::shared::Shared;
use super::shutdown::hang_up;
use super::status::LinkState;
use super::sync::{Receiver, TcpStream};
use crate::logging::Escaped;
use crate::proto::model::name::ServerName;
use crate::proto::peering::backoff::Backoff;
use crate::proto::peering::legacy::LegacyLink;

/// How long to wait for the neighbour to close after us. It says nothing, so this is all that shows that it has read;
/// one that keeps its connections open must not slow down everything.
const CLOSE_WAIT_MAX: Duration = Duration::from_millis(200);

/// One classic link's thread.
pub(super) struct ClassicSender<'a> {
    pub(super) shared: &'a Shared,
    pub(super) name: ServerName,
    pub(super) link: LegacyLink,
    pub(super) address: SocketAddr,
    pub(super) bell: &'a Bell,
    pub(super) state: &'a LinkState,
    pub(super) errands: Receiver<Errand>,
}

impl<'a> ClassicSender<'a> {
    /// The sender to the neighbour with this index.
    pub(super) fn new(
        shared: &'a Shared,
        neighbour: usize,
        address: SocketAddr,
        errands: Receiver<Errand>,
    ) -> ClassicSender<'a> {
        ClassicSender {
            shared,
            name: shared.me.neighbours[neighbour].name.clone(),
            link: LegacyLink::new(Arc::clone(&shared.me), neighbour),
            address,
            bell: &shared.bells[neighbour],
            state: &shared.links[neighbour],
            errands,
        }
    }

    /// Tells the neighbour everything until the server stops.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut failures = 0_u64;
        loop {
            self.bell.looking_at_news();
            match self.send_all() {
                Ok(()) => {
                    if failures >= FAILURES_UNTIL_WARNING {
                        log::info!("classic neighbour {} is back", self.name);
                    }
                    if failures > 0 || self.link.position() == 0 {
                        self.state.turned(true);
                    }
                    (backoff, failures) = (Backoff::new(), 0);
                    if self.bell.is_stopping() {
                        return;
                    }
                    errands::wait_for_any(&self.errands, Duration::MAX);
                }
                Err(error) => {
                    self.link.unreachable(&self.shared.node.read());
                    failures += 1;
                    if failures == 1 {
                        self.state.turned(false);
                    }
                    let level =
                        if failures == FAILURES_UNTIL_WARNING { log::Level::Warn } else { log::Level::Debug };
                    log::log!(level, "classic neighbour {} cannot be told yet: {error}", self.name);
                    if self.bell.is_stopping() {
                        return;
                    }
                    let wait = backoff.wait(fastrand::f32());
                    errands::pause(&self.errands, self.bell, clock::deadline(wait));
                }
            }
        }
    }

    fn send_all(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let due = self.link.due(&self.shared.node.read(), self.shared.kept_number(), &mut line);
            let Some(due) = due else { return Ok(()) };
            if !line.is_empty() {
                self.send(&line)?;
            }
            self.link.written(due);
            self.state.told(Some(self.link.position()));
            // It never answers, so that it was told is all that is known.
            self.state.acknowledged(Some(self.link.position()));
        }
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        let socket = Arc::new(TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX)?);
        let _registered = self.shared.link_sockets.register(&socket);
        socket.set_write_timeout(Some(CONNECT_WAIT_MAX))?;
        (&*socket).write_all(line)?;
        self.shared.stats.link_lines.add(1);
        self.shared.stats.link_bytes.add(line.len() as u64);
        log::debug!("classic {} -> {}", self.name, Escaped(line.trim_ascii_end()));
        hang_up(&socket, Half::Write);
        socket.set_read_timeout(Some(CLOSE_WAIT_MAX))?;
        // What it says, and whether it closes, changes nothing.
        let _ = (&*socket).read(&mut [0; 64]);
        Ok(())
    }
}
