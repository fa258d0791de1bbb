//! What a member logs and counts of its links and of its own life, in the words of the threaded server.

use std::io;
use std::time::Duration;

use proxyherd::logging::Escaped;
use proxyherd::proto::model::name::ServerName;
use proxyherd::proto::peering::link::{Answered, LinkError, PEER_TIMEOUT};

use crate::shared::Shared;
use crate::stats::Count;

/// Failures in a row after which a neighbour is reported as away.
const FAILURES_UNTIL_WARNING: u64 = 6;

impl Shared {
    /// A neighbour's name.
    pub fn name_of(&self, neighbour: usize) -> &ServerName {
        &self.me.neighbours[neighbour].name
    }

    /// Logs that clients are served from now on.
    pub fn note_serving(&self) {
        log::info!("{} serves clients on {}", self.me.name, self.clients);
    }

    /// Logs that stopping begins.
    pub fn note_stopping(&self) {
        log::info!("stopping");
    }

    /// Logs that some conversations or links took longer to stop than they may.
    pub fn note_cut(&self, what: &str, wait: Duration) {
        log::warn!("some {what} did not finish within {} s and are cut", wait.as_secs());
    }

    /// Logs that everything has stopped, and all counts.
    pub fn note_stopped(&self) {
        log::info!("stopped: {}", self.stats);
    }

    /// Counts and logs that a link is up.
    pub fn note_up(&self, neighbour: usize) {
        self.stats.add(Count::LinksUp, 1);
        log::info!("link to {} is up", self.name_of(neighbour));
    }

    /// Counts and logs what a link has written.
    pub fn note_told(&self, neighbour: usize, lines: &[u8]) {
        self.stats.add(Count::LinkBytes, lines.len() as u64);
        if log::log_enabled!(log::Level::Debug) {
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                log::log!(level_of(line), "link to {} -> {}", self.name_of(neighbour), Escaped(line));
            }
        }
    }

    /// Logs what a neighbour says on a link, and counts what that leads to.
    ///
    /// # Errors
    /// What is wrong with it, if anything is.
    pub fn note_answer(
        &self,
        neighbour: usize,
        text: &[u8],
        answered: Result<Answered, LinkError>,
    ) -> io::Result<Answered> {
        let name = self.name_of(neighbour);
        log::log!(level_of(text), "link to {name} <- {}", Escaped(text));
        if let Ok(Answered::Differs(buckets)) = answered {
            self.stats.add(Count::BucketsRepaired, buckets as u64);
            log::warn!(
                "{name} knows other things than we do in {buckets} of 256 buckets: they are told again"
            );
        }
        answered.map_err(|error| match error {
            LinkError::NotAnAnswer(_) => io::Error::other(format!("it says {}", Escaped(text))),
            LinkError::WrongProof => {
                self.stats.add(Count::LinksUnproved, 1);
                io::Error::other(error)
            }
            LinkError::OutOfPlace | LinkError::WrongServer => io::Error::other(error),
        })
    }

    /// Logs what a neighbour complains of on a link that is up, and goes on being up.
    pub fn note_complaint(&self, neighbour: usize, error: &io::Error) {
        log::warn!("link to {}: {error}", self.name_of(neighbour));
    }

    /// Counts and logs that a link is cut because its neighbour must be gone.
    pub fn note_silent(&self, neighbour: usize) {
        self.stats.add(Count::LinksSilent, 1);
        let wait = PEER_TIMEOUT.as_secs();
        log::warn!("link to {}: it has said nothing for {wait} s", self.name_of(neighbour));
    }

    /// Logs that a link was cut off.
    pub fn note_down(&self, neighbour: usize, ended: io::Result<()>) {
        match ended {
            Ok(()) => log::info!("link to {} is down", self.name_of(neighbour)),
            Err(error) => log::warn!("link to {} is down: {error}", self.name_of(neighbour)),
        }
    }

    /// Logs that a link could not be made, `failures` times in a row: as a warning once per outage.
    pub fn note_failure(&self, neighbour: usize, failures: u64, error: &io::Error) {
        let level = if failures == FAILURES_UNTIL_WARNING { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "link to {} cannot be made yet: {error}", self.name_of(neighbour));
    }
}

/// Beats and their answers say nothing that a reader of the log would miss.
pub(crate) fn level_of(line: &[u8]) -> log::Level {
    let is_beat = [&b"BEAT "[..], b"ACK ", b"UPTO "].iter().any(|word| line.starts_with(word));
    if is_beat { log::Level::Trace } else { log::Level::Debug }
}
