//! Throttled warnings: of each cause and source at most one a minute, and with it how many were left out. And a bound
//! on the lines that connections cause by coming and going.
//!
//! So an attack fills no disk, and does not hide what is wrong elsewhere for the same reason.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Between two warnings of one cause and source.
pub(super) const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// Sources that have a throttle of their own, for each cause: all others share one. It takes an attacker with many
/// addresses to fill them, and even then the log grows by less than a megabyte a minute.
const SOURCES_MAX: usize = 64;

/// Connections that are logged within a minute when they come or go: a herd of usual size has fewer, and clients that
/// connect as fast as they can are not to rotate the history away.
const CONNECTION_LINES_MAX: u64 = 1_000;

/// Where the cause of a warning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This server itself, its disk, its system, or its provider of places.
    Own,
    /// A client or a stranger, of IPv6 all of a /64.
    Address(IpAddr),
    /// The neighbour of this index.
    Neighbour(usize),
}

/// The warnings of one cause.
#[derive(Debug, Default)]
pub(super) struct Throttles {
    sources: Vec<(Source, Throttle)>,
    others: Throttle,
}

#[derive(Debug, Default)]
struct Throttle {
    last: Option<Instant>,
    left_out: u64,
}

/// The lines about connections within a minute.
#[derive(Debug, Default)]
pub(super) struct LineBudget {
    begun: Option<Instant>,
    lines: u64,
}

/// What becomes of a line about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BudgetedLine {
    pub(super) is_within: bool,
    /// Lines that were left out of the minutes before, which this one must tell of.
    pub(super) left_out_before: u64,
}

impl From<SocketAddr> for Source {
    fn from(from: SocketAddr) -> Source {
        Source::Address(match from.ip().to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Throttles {
    /// Whether a warning is due; if so, how many were left out before it.
    pub(super) fn due(&mut self, source: Source, now: Instant) -> Option<u64> {
        if let Some((_, throttle)) = self.sources.iter_mut().find(|(known, _)| *known == source) {
            return throttle.due(now);
        }
        if self.sources.len() >= SOURCES_MAX {
            let others = &mut self.others;
            self.sources.retain(|(_, throttle)| {
                let is_recent = throttle.is_recent(now);
                others.left_out += if is_recent { 0 } else { throttle.left_out };
                is_recent
            });
        }
        if self.sources.len() >= SOURCES_MAX {
            return self.others.due(now);
        }
        let mut throttle = Throttle::default();
        let due = throttle.due(now);
        self.sources.push((source, throttle));
        due
    }

    /// How many were left out since the last ones, because no further one will say so.
    pub(super) fn finish(&mut self) -> u64 {
        let Throttles { sources, others } = std::mem::take(self);
        others.left_out + sources.iter().map(|(_, throttle)| throttle.left_out).sum::<u64>()
    }
}

impl Throttle {
    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < WARNING_PAUSE)
    }

    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.is_recent(now) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl LineBudget {
    /// One more line.
    pub(super) fn take(&mut self, now: Instant) -> BudgetedLine {
        let mut left_out_before = 0;
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= WARNING_PAUSE) {
            left_out_before = self.lines.saturating_sub(CONNECTION_LINES_MAX);
            *self = LineBudget { begun: Some(now), lines: 0 };
        }
        self.lines += 1;
        BudgetedLine { is_within: self.lines <= CONNECTION_LINES_MAX, left_out_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    fn address(number: u16) -> Source {
        Source::from(SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 1)))
    }

    #[test]
    fn each_source_is_warned_of_once_a_minute_with_a_count() {
        let (mut throttles, start) = (Throttles::default(), clock::instant());
        assert_eq!(throttles.due(Source::Own, start), Some(0));
        for second in 0..59 {
            assert_eq!(throttles.due(Source::Own, start + Duration::from_secs(second)), None);
        }
        assert_eq!(throttles.due(Source::Neighbour(1), start), Some(0), "one source hides no other");
        assert_eq!(throttles.due(Source::Own, start + WARNING_PAUSE), Some(59));
        assert_eq!(throttles.due(Source::Own, start + WARNING_PAUSE), None);
        assert_eq!(throttles.due(Source::Own, start + WARNING_PAUSE * 2), Some(1));
        assert_eq!(throttles.due(Source::Own, start + WARNING_PAUSE * 3), Some(0));
        assert_eq!(throttles.finish(), 0);
    }

    #[test]
    fn many_sources_share_a_throttle_and_none_is_uncounted() {
        let (mut throttles, start) = (Throttles::default(), clock::instant());
        let warned = |throttles: &mut Throttles, now| {
            (0..1000).filter_map(|at| throttles.due(address(at), now)).count()
        };
        assert_eq!(warned(&mut throttles, start), SOURCES_MAX + 1);
        assert_eq!(warned(&mut throttles, start), 0);
        assert_eq!(throttles.sources.len(), SOURCES_MAX);
        let later = start + WARNING_PAUSE;
        let told: u64 = (1000..2000).filter_map(|at| throttles.due(address(at), later)).sum();
        let all = 2000 + 1000;
        let warnings = 2 * (SOURCES_MAX as u64 + 1);
        assert_eq!(told + throttles.finish(), all - warnings);
    }

    #[test]
    fn a_minute_has_so_many_lines_about_connections() {
        let (mut budget, start) = (LineBudget::default(), clock::instant());
        let taken = |budget: &mut LineBudget, now| (0..1500).filter(|_| budget.take(now).is_within).count();
        assert_eq!(taken(&mut budget, start), 1000);
        let next = start + WARNING_PAUSE;
        assert_eq!(budget.take(next), BudgetedLine { is_within: true, left_out_before: 500 });
        assert_eq!(budget.take(next + WARNING_PAUSE).left_out_before, 0);
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let source = |text: &str| Source::from(text.parse::<SocketAddr>().unwrap());
        assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8::2]:9"));
        assert_ne!(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
        assert_eq!(source("[::ffff:10.0.0.1]:1"), source("10.0.0.1:2"));
        assert_ne!(source("10.0.0.1:1"), source("10.0.0.2:1"));
    }
}
