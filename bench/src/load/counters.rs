//! What one thread of the generator counts.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::connection::Waiting;

/// Latencies are told apart from 100 ns up, to three digits.
const LATENCY_NS_MIN: u64 = 100;

/// Longer latencies count as this one: a minute is past every deadline of ours.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// The part of a run that is measured, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Window {
    fn has(&self, at_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

#[derive(Debug)]
pub(super) struct Counters {
    window: Window,
    /// Whether requests are counted by when they were due (open loop) or by when their replies came.
    by_due: bool,
    /// Replies that count.
    pub(super) replies: u64,
    /// From when a request was due to its reply.
    pub(super) latency: Histogram<u64>,
    /// From when it was sent. What an uncorrected generator would report; the same in a closed loop.
    pub(super) service: Histogram<u64>,
    /// Requests of the window that were never answered. They are in `latency` with the time they had waited.
    pub(super) unanswered: u64,
    /// How much later than due the latest request was sent.
    pub(super) late_ns_max: u64,
    /// Requests sent more than a millisecond late.
    pub(super) late: u64,
    /// How the replies that count are shared among the connections that send.
    pub(super) shares: Option<Shares>,
}

/// How replies are shared among connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Shares {
    /// Replies of the connection that has the fewest.
    pub least: u64,
    /// Of all together, for each.
    pub mean: f64,
    /// Connections.
    pub connections: u64,
    /// Those that have at least one.
    pub answered: u64,
}

impl Shares {
    /// Of the replies of each connection; `None` if there are none.
    pub(super) fn of(replies: impl Iterator<Item = u64>) -> Option<Shares> {
        replies.map(Shares::of_one).reduce(Shares::and)
    }

    fn of_one(replies: u64) -> Shares {
        Shares { least: replies, mean: replies as f64, connections: 1, answered: replies.min(1) }
    }

    /// Of both together.
    fn and(self, other: Shares) -> Shares {
        let connections = self.connections + other.connections;
        let sum = self.mean * self.connections as f64 + other.mean * other.connections as f64;
        Shares {
            least: self.least.min(other.least),
            mean: sum / connections as f64,
            connections,
            answered: self.answered + other.answered,
        }
    }
}

impl Counters {
    pub(super) fn new(window: Window, by_due: bool) -> Counters {
        let histogram = || {
            Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3).expect("these bounds are constants")
        };
        Counters {
            window,
            by_due,
            replies: 0,
            latency: histogram(),
            service: histogram(),
            unanswered: 0,
            late_ns_max: 0,
            late: 0,
            shares: None,
        }
    }

    /// A reply has come. Returns whether it counts.
    pub(super) fn answered(&mut self, waiting: &Waiting, now_ns: u64) -> bool {
        let Waiting { due_ns, sent_ns, .. } = *waiting;
        if !self.window.has(if self.by_due { due_ns } else { now_ns }) {
            return false;
        }
        self.replies += 1;
        self.latency.saturating_record(now_ns.saturating_sub(due_ns));
        if self.by_due {
            self.service.saturating_record(now_ns.saturating_sub(sent_ns));
        }
        true
    }

    /// A whole conversation is over, connecting included.
    pub(super) fn conversed(&mut self, began_ns: u64, now_ns: u64) {
        if self.window.has(now_ns) {
            self.replies += 1;
            self.latency.saturating_record(now_ns.saturating_sub(began_ns));
        }
    }

    /// A request was sent.
    pub(super) fn sent(&mut self, due_ns: u64, now_ns: u64) {
        const LATE_NS: u64 = 1_000_000;
        let late_ns = now_ns.saturating_sub(due_ns);
        if self.window.has(due_ns) {
            self.late_ns_max = self.late_ns_max.max(late_ns);
            self.late += u64::from(late_ns > LATE_NS);
        }
    }

    /// A request that has waited since `due_ns` will not be answered.
    pub(super) fn gave_up(&mut self, due_ns: u64, now_ns: u64) {
        if self.window.has(due_ns) {
            self.unanswered += 1;
            self.latency.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Adds what another thread has counted.
    pub(super) fn add(&mut self, other: &Counters) {
        self.replies += other.replies;
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.service.add(&other.service).expect("all histograms have the same bounds");
        self.unanswered += other.unanswered;
        self.late_ns_max = self.late_ns_max.max(other.late_ns_max);
        self.late += other.late;
        self.shares = self.shares.into_iter().chain(other.shares).reduce(Shares::and);
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Latency {
    /// Half are below.
    pub p50_us: f64,
    /// Nine in ten are below.
    pub p90_us: f64,
    /// 99 in a hundred are below.
    pub p99_us: f64,
    /// 999 in a thousand are below.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The mean.
    pub mean_us: f64,
}

impl Latency {
    /// The quantiles of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| us(histogram.value_at_quantile(quantile) as f64);
        Latency {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max() as f64),
            mean_us: us(histogram.mean()),
        }
    }
}

/// Microseconds to a tenth: more digits say nothing.
fn us(ns: f64) -> f64 {
    (ns / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_threads_add_up() {
        let window = Window { from_ns: 0, to_ns: 1 };
        let counters = |counts: &[u64]| Counters {
            shares: Shares::of(counts.iter().copied()),
            ..Counters::new(window, false)
        };
        let mut all = counters(&[7, 3]);
        all.add(&counters(&[0]));
        all.add(&counters(&[]));
        let shares = all.shares.unwrap();
        assert_eq!((shares.least, shares.connections, shares.answered), (0, 3, 2));
        assert!((shares.mean - 10.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert_eq!(counters(&[]).shares, None);
    }
}
