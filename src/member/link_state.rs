//! How each link is, for the status, and what wakes its sender.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::notifier::{Notifier, WakeUp};
use super::rate::Rate;
use crate::os::clock;
use crate::proto::store::Store;

/// The bytes of what last went wrong.
const ERROR_BYTES_MAX: usize = 500;

/// How one link is, for the status. What a sender decides by is in its link alone.
#[derive(Debug, Default)]
pub struct LinkState {
    /// When it came up or went down, in nanoseconds of [`clock::ticks`], shifted by a bit that says which. 0 before
    /// either.
    since: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    /// Whether it offers hashes, and sends no lines.
    pub is_lazy: AtomicBool,
    /// The updates that the neighbour was sent.
    pub sent_updates: Rate,
    /// The updates that it has sent, on its own link to us.
    pub received_updates: Rate,
    /// What last went wrong, and when by [`clock::ticks`].
    error: Mutex<Option<(Duration, String)>>,
    /// What wakes its sender, once that follows the change log.
    notifier: Mutex<Option<Arc<Notifier>>>,
    /// Held by its sender: one that begins again waits for the end of the one before.
    pub running: Mutex<()>,
}

impl LinkState {
    /// Its sender follows the change log.
    pub fn follows(&self, notifier: &Arc<Notifier>) {
        *self.notifier.lock() = Some(Arc::clone(notifier));
    }

    /// Wakes its sender.
    pub fn wake(&self, why: WakeUp) {
        if let Some(notifier) = &*self.notifier.lock() {
            notifier.wake(why);
        }
    }

    /// It came up, or went down.
    pub fn turned(&self, live: bool) {
        let now_ns = clock::ticks().as_nanos() as u64;
        self.since.store(now_ns << 1 | u64::from(live), Ordering::Relaxed);
    }

    /// How far the neighbour has been told things.
    pub fn sent(&self, position: Option<u64>) {
        self.sent.store(position.unwrap_or_default(), Ordering::Relaxed);
    }

    /// How far the neighbour has said to have come.
    pub fn acknowledged(&self, position: Option<u64>) {
        self.acknowledged.store(position.unwrap_or_default(), Ordering::Relaxed);
    }

    #[cfg(test)]
    #[cfg(feature = "interleavings")]
    /// How far the neighbour has acknowledged, for the scenarios.
    pub fn acknowledged_position(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.since.load(Ordering::Relaxed) & 1 == 1
    }

    /// The neighbour has sent so many updates.
    pub fn received(&self, updates: u64) {
        self.received_updates.add(updates, clock::ticks());
    }

    /// Something went wrong. Words of the neighbour may be in it, so it is cut.
    pub fn failed(&self, what: &dyn fmt::Display) {
        let mut what = what.to_string();
        what.truncate(what.floor_char_boundary(ERROR_BYTES_MAX));
        *self.error.lock() = Some((clock::ticks(), what));
    }

    /// What last went wrong, and when.
    pub fn last_error(&self) -> Option<(Duration, String)> {
        self.error.lock().clone()
    }

    /// When it came up or went down; `None` before either.
    pub fn turned_at(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_nanos(since >> 1))
    }

    /// By how many changes the neighbour is behind what was sent, and behind what it has acknowledged.
    pub fn lag(&self, store: &Store) -> (u64, u64) {
        // Each client, known or forgotten, has its last change only, and a start leaves many numbers out.
        let (last, most) = (store.last_seq(), (store.len() + store.tombstones()) as u64);
        let behind = |position: &AtomicU64| last.saturating_sub(position.load(Ordering::Relaxed)).min(most);
        (behind(&self.sent), behind(&self.acknowledged))
    }

    /// In words, with the lag that it has.
    pub fn status(&self, (behind, unacknowledged): (u64, u64)) -> String {
        let since = self.since.load(Ordering::Relaxed);
        let turned = Duration::from_nanos(since >> 1);
        let seconds = Duration::from_secs(clock::ticks().saturating_sub(turned).as_secs());
        let for_long = humantime::format_duration(seconds);
        match (since, since & 1) {
            (0, _) => "has never been up".to_owned(),
            (_, 0) => format!("down for {for_long}, behind by {unacknowledged}"),
            (..) => {
                let kind = if self.is_lazy.load(Ordering::Relaxed) { "lazy" } else { "eager" };
                format!("live for {for_long}, {kind}, behind by {behind}, unacknowledged {unacknowledged}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::update::{Source, Update};

    #[test]
    fn lag_is_no_more_than_what_is_known_whatever_numbers_a_start_leaves_out() {
        let (mut store, link) = (Store::new(), LinkState::default());
        let report = |store: &mut Store, client: &str| {
            let line = format!("AT A +1 {client} +1+1 1\n");
            store.merge(&Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap());
        };
        report(&mut store, "kiwi");
        report(&mut store, "emu");
        assert_eq!(link.lag(&store), (2, 2));
        store.resume_after(1 << 32);
        assert_eq!(link.lag(&store), (2, 2));
        link.sent(Some(1 << 32));
        report(&mut store, "moa");
        assert_eq!(link.lag(&store), (1, 3));
    }
}
