//! The sender thread of a link to a neighbour of the legacy dialect: a connection for every message.

use std::io::{self, Read, Write};
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::time::Duration;

use super::dialer::{self, Dial};
use super::neighbour::Neighbour;
use crate::logging::Escaped;
use crate::member::link_log::CONNECT_WAIT_MAX;
use crate::net::stream::hang_up;
use crate::proto::peering::legacy::LegacyLink;

/// How long to wait for the neighbour to close after us. It says nothing, so this is all that shows that it has read;
/// one that keeps its connections open must not slow down everything.
const CLOSE_WAIT_MAX: Duration = Duration::from_millis(200);

/// How often the name of a neighbour that is told nothing is looked up: it is believed by its address.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);

/// One legacy link's thread.
pub struct LegacySender<'a> {
    neighbour: &'a Neighbour<'a>,
    link: LegacyLink,
    /// Whether the last attempt began after the stop, and was the last one.
    is_last: bool,
    /// Whether the last attempt has failed, or none has been made.
    is_down: bool,
}

/// Tells the neighbour everything until the server stops.
pub fn run(neighbour: &Neighbour<'_>) {
    let me = Arc::clone(&neighbour.shared.member.me);
    let link = LegacyLink::new(me, neighbour.index);
    dialer::run(LegacySender { neighbour, link, is_last: false, is_down: true }, neighbour);
}

impl LegacySender<'_> {
    fn send(&self, line: &[u8]) -> io::Result<()> {
        let shared = &self.neighbour.shared;
        let stream = self.neighbour.connect()?;
        let _registered = shared.live.register(&stream);
        stream.set_write_timeout(Some(CONNECT_WAIT_MAX))?;
        (&*stream).write_all(line)?;
        shared.member.metrics.link_lines.add(1);
        shared.member.metrics.link_bytes.add(line.len() as u64);
        log::debug!("classic {} -> {}", self.neighbour.name(), Escaped(line.trim_ascii_end()));
        hang_up(&stream, Half::Write);
        stream.set_read_timeout(Some(CLOSE_WAIT_MAX))?;
        // What it says, and whether it closes, changes nothing.
        let _ = (&*stream).read(&mut [0; 64]);
        Ok(())
    }
}

impl Dial for LegacySender<'_> {
    type Session = ();

    /// Sends all that is due.
    fn dial(&mut self) -> io::Result<()> {
        let (member, state) = (self.neighbour.shared.member, self.neighbour.state());
        self.is_last = self.neighbour.subscription.is_stopping();
        if self.neighbour.has_name() {
            self.neighbour.look_up()?;
        }
        self.neighbour.subscription.begin_look();
        let mut line = Vec::new();
        loop {
            line.clear();
            let durable_seq = member.durable_seq();
            let Some(due) = member.read(|node| self.link.due(node, durable_seq, &mut line)) else {
                return Ok(());
            };
            if !line.is_empty() {
                self.send(&line)?;
            }
            self.link.written(due);
            state.sent(Some(self.link.position()));
            // It never answers, so that it was sent is all that is known.
            state.acknowledged(Some(self.link.position()));
        }
    }

    fn converse(&mut self, (): (), was_away: bool) -> bool {
        if was_away {
            log::info!("classic neighbour {} is back", self.neighbour.name());
        }
        if std::mem::take(&mut self.is_down) {
            self.neighbour.state().turned(true);
        }
        if !self.is_last {
            let wait = if self.neighbour.has_name() { LOOK_UP_EVERY } else { Duration::MAX };
            self.neighbour.subscription.wait(wait);
        }
        false
    }

    fn failed(&mut self, failures: u64, error: &io::Error) {
        self.neighbour.shared.member.read(|node| self.link.unreachable(node));
        if failures == 1 {
            self.neighbour.state().turned(false);
        }
        self.is_down = true;
        let name = self.neighbour.name();
        let what = format_args!("classic neighbour {name} cannot be told yet");
        self.neighbour.log().unreachable(failures, what, error);
    }

    fn goes_on(&self) -> bool {
        !self.is_last
    }
}
