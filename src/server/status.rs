//! How the server is, said in the log now and then: what it knows, how each link is, and all that is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::clock;
use super::shared::Shared;
use super::sync::Receiver;

/// How one link is, for whoever asks. What a sender decides by is in its link alone.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// When it came up or went down, in nanoseconds of [`clock::ticks`], shifted by a bit that says which. 0 before
    /// either.
    since: AtomicU64,
    told: AtomicU64,
    acknowledged: AtomicU64,
}

impl LinkState {
    /// It came up, or went down.
    pub(super) fn turned(&self, live: bool) {
        let now_ns = clock::ticks().as_nanos() as u64;
        self.since.store(now_ns << 1 | u64::from(live), Ordering::Relaxed);
    }

    /// How far the neighbour has been told things.
    pub(super) fn told(&self, position: Option<u64>) {
        self.told.store(position.unwrap_or_default(), Ordering::Relaxed);
    }

    /// How far the neighbour has said to have come.
    pub(super) fn acknowledged(&self, position: Option<u64>) {
        self.acknowledged.store(position.unwrap_or_default(), Ordering::Relaxed);
    }

    #[cfg(test)]
    #[cfg(feature = "interleavings")]
    pub(super) fn acknowledged_position(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// In words, for a server whose last change has this number.
    fn words(&self, last_seq: u64) -> String {
        let since = self.since.load(Ordering::Relaxed);
        let turned = Duration::from_nanos(since >> 1);
        let seconds = Duration::from_secs(clock::ticks().saturating_sub(turned).as_secs());
        let for_long = humantime::format_duration(seconds);
        let behind = |position: &AtomicU64| last_seq.saturating_sub(position.load(Ordering::Relaxed));
        match (since, since & 1) {
            (0, _) => "has never been up".to_owned(),
            (_, 0) => format!("down for {for_long}, behind by {}", behind(&self.acknowledged)),
            (..) => format!(
                "live for {for_long}, behind by {}, unacknowledged {}",
                behind(&self.told),
                behind(&self.acknowledged)
            ),
        }
    }
}

/// Says how the server is, every so often, until somebody asks it to stop.
pub(super) fn say_every(shared: &Shared, every: Duration, stop: &Receiver<()>) {
    while stop.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        say(shared);
    }
}

/// Says how the server is.
pub(super) fn say(shared: &Shared) {
    let (clients, digest, last_seq) = {
        let node = shared.node.read();
        (node.store().len(), node.store().digest().total(), node.store().last_seq())
    };
    let open = shared.admission.clients_open();
    log::info!("status: clients={clients} digest={digest:016x} connections={open} {}", shared.stats);
    if let Some(commits) = &shared.commits {
        let (bytes, files) = commits.size();
        let how = commits.failure().map_or_else(|| "kept".to_owned(), |why| format!("nothing {why}"));
        let unkept = last_seq.saturating_sub(commits.kept_number());
        log::info!("status: journal: {how}, {unkept} changes not yet, {} KiB in {files} files", bytes >> 10);
    }
    for (neighbour, link) in shared.me.neighbours.iter().zip(&shared.links) {
        log::info!("status: link to {}: {}", neighbour.name, link.words(last_seq));
    }
}
