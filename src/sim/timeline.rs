//! The virtual time of a simulated herd: the clock, the planned events, the random numbers, and the trace.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::event::{Event, Step};

/// True time when a world begins, in nanoseconds since 1970.
pub const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// Everything by which a seed gives one run.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Nanoseconds since the world began.
    pub now_ns: u64,
    /// How much of that was skipped, because nothing happened in it.
    pub skipped_ns: u64,
    pub rng: fastrand::Rng,
    /// A number that two runs share only if everything that happened in them was the same.
    pub trace: u64,
    /// By time; events of equal times in the order in which they were planned.
    events: BTreeMap<(u64, u64), Event>,
    planned: u64,
}

impl Timeline {
    pub(super) fn new(seed: u64) -> Timeline {
        let rng = fastrand::Rng::with_seed(seed);
        Timeline { now_ns: 0, skipped_ns: 0, rng, trace: seed, events: BTreeMap::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at_ns: u64, event: Event) {
        self.planned += 1;
        self.events.insert((at_ns, self.planned), event);
    }

    /// Plans an event for a while from now.
    pub(super) fn plan_after(&mut self, wait_ns: u64, event: Event) {
        self.plan(self.now_ns + wait_ns, event);
    }

    /// Moves on to the next event, if it is due at `until_ns`.
    pub(super) fn next(&mut self, until_ns: u64) -> Option<Event> {
        let event = self.events.first_entry().filter(|event| event.key().0 <= until_ns)?;
        self.now_ns = event.key().0;
        Some(event.remove())
    }

    /// Skips time in which nothing happens. What is planned is put off by it.
    pub(super) fn skip(&mut self, by_ns: u64) {
        self.note("skip", 0, &by_ns.to_le_bytes());
        let events = std::mem::take(&mut self.events).into_iter();
        self.events = events.map(|((at_ns, number), event)| ((at_ns + by_ns, number), event)).collect();
        self.now_ns += by_ns;
        self.skipped_ns += by_ns;
    }

    /// Whether nothing is planned but what happens whenever nothing happens.
    pub(super) fn is_idle(&self) -> bool {
        self.events.values().all(|event| {
            matches!(event, Event::Step { step: Step::Heartbeat, .. })
                || matches!(event, Event::Listen { .. } | Event::Dial { .. })
        })
    }

    /// Whether nothing is planned.
    pub(super) fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    /// Makes something part of the trace. Labels stay when code is renamed, so that the traces of two versions of the
    /// simulator can be compared.
    pub(super) fn note(&mut self, label: &str, whom: usize, bytes: &[u8]) {
        let before =
            self.trace ^ self.now_ns.rotate_left(32) ^ xxh3_64_with_seed(label.as_bytes(), whom as u64);
        self.trace = xxh3_64_with_seed(bytes, before);
    }
}

pub(super) fn from_us(us: u64) -> u64 {
    us * 1_000
}

pub(super) fn from_ms(ms: u64) -> u64 {
    ms * 1_000_000
}
