//! What is asked of a server beside a fleet, and whether it has done that.

use std::time::Duration;

use super::behaviour::Behaviour;
use super::count::Count;
use super::probe::Probe;
use super::watch::{Dropped, Look};

/// A fresh client is to be answered within this.
const ANSWER_MAX: Duration = Duration::from_millis(100);

/// Memory may grow by this factor from one half of the time to the other and still be flat: the allocator's pools.
const GROWTH_MAX: f64 = 1.05;

/// Little memory may grow by this and still be flat.
const GROWTH_KIB_MAX: u64 = 8 * 1024;

/// What was seen while a fleet was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) behaviour: Behaviour,
    /// Fresh clients.
    pub(crate) fresh: &'a [Probe],
    /// The client that stayed.
    pub(crate) steady: &'a [Probe],
    /// From when all had gathered until they were told to go.
    pub(crate) looks: &'a [Look],
    pub(crate) count: &'a Count,
    pub(crate) dropped: Dropped,
    /// Conversations that ended by a bug of the server.
    pub(crate) bugs: u64,
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// A probe was not served, or the server has erred.
    pub(crate) failed: Vec<String>,
    /// Aims that were missed.
    pub(crate) missed: Vec<String>,
}

impl Verdict {
    /// The verdict on what was seen.
    pub(crate) fn on(seen: &Seen<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let Verdict { failed, missed } = &mut verdict;
        for (who, probes) in [("fresh", seen.fresh), ("steady", seen.steady)] {
            let mut troubles = probes.iter().filter_map(|visit| visit.trouble.as_deref());
            if let Some(first) = troubles.next() {
                failed.push(format!(
                    "{} of {} {who} not served: {first}",
                    troubles.count() + 1,
                    probes.len()
                ));
            }
            if probes.is_empty() {
                failed.push(format!("no {who} client came"));
            }
        }
        let Count { wrong, wrong_line, unanswered, .. } = seen.count;
        if *wrong > 0 {
            failed
                .push(format!("{wrong} wrong answers, such as {}", wrong_line.as_deref().unwrap_or("none")));
        }
        if *unanswered > 0 {
            failed.push(format!("{unanswered} of the fleet not answered"));
        }
        if seen.behaviour.must_be_answered() && seen.count.cut > 0 {
            failed.push(format!("{} of the fleet cut off", seen.count.cut));
        }
        if seen.bugs > 0 {
            failed.push(format!("{} bugs", seen.bugs));
        }
        let late = late(seen.fresh);
        if late > 0 {
            missed.push(format!("{late} of {} over {} ms", seen.fresh.len(), ANSWER_MAX.as_millis()));
        }
        let (first_kib, second_kib) = halves(seen.looks);
        if second_kib > first_kib + GROWTH_KIB_MAX && second_kib as f64 > first_kib as f64 * GROWTH_MAX {
            missed.push(format!("memory grew from {} to {} MiB", first_kib / 1024, second_kib / 1024));
        }
        if seen.dropped.overflows > 0 {
            missed.push(format!("{} listen overflows", seen.dropped.overflows));
        }
        verdict
    }

    /// In a few words.
    pub(crate) fn words(&self) -> String {
        let all: Vec<&str> = self.failed.iter().chain(&self.missed).map(String::as_str).collect();
        if all.is_empty() { "as it should be".to_owned() } else { all.join("; ") }
    }
}

/// How many took longer than they should.
pub(crate) fn late(probes: &[Probe]) -> usize {
    probes.iter().filter(|visit| u128::from(visit.took_ns) > ANSWER_MAX.as_nanos()).count()
}

/// The most memory in each half of the time.
fn halves(looks: &[Look]) -> (u64, u64) {
    let (first, second) = looks.split_at(looks.len() / 2);
    let most = |looks: &[Look]| looks.iter().map(|look| look.rss_kib).max().unwrap_or(0);
    (most(first), most(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(took_ms: u64) -> Probe {
        Probe { began_ns: 0, took_ns: took_ms * 1_000_000, trouble: None }
    }

    fn looks(rss_kib: &[u64]) -> Vec<Look> {
        let look = |&rss_kib| Look { at_ns: 0, rss_kib, tcp_kib: 0, cpu_seconds: 0.0 };
        rss_kib.iter().map(look).collect()
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        let fine = [visit(1), visit(100)];
        let (count, flat) = (Count::default(), looks(&[100_000, 100_000, 104_000, 108_192]));
        let seen = Seen {
            behaviour: Behaviour::Storm,
            fresh: &fine,
            steady: &fine,
            looks: &flat,
            count: &count,
            dropped: Dropped::default(),
            bugs: 0,
        };
        assert_eq!(Verdict::on(&seen), Verdict::default());
        assert_eq!(Verdict::on(&seen).words(), "as it should be");

        let trouble = Probe { trouble: Some("gone".to_owned()), ..visit(1) };
        let (late, grown) = ([visit(101), trouble], looks(&[100_000, 110_000]));
        let bad = Count { wrong: 2, unanswered: 3, cut: 4, ..Count::default() };
        let dropped = Dropped { overflows: 5, drops: 5 };
        let seen = Seen { fresh: &late, steady: &[], looks: &grown, count: &bad, dropped, bugs: 6, ..seen };
        let verdict = Verdict::on(&seen);
        assert_eq!(
            verdict.failed,
            [
                "1 of 2 fresh not served: gone",
                "no steady client came",
                "2 wrong answers, such as none",
                "3 of the fleet not answered",
                "4 of the fleet cut off",
                "6 bugs",
            ]
        );
        assert_eq!(
            verdict.missed,
            ["1 of 2 over 100 ms", "memory grew from 97 to 107 MiB", "5 listen overflows"]
        );
        let dripping = Verdict::on(&Seen { behaviour: Behaviour::Drip, ..seen });
        assert_eq!(dripping.failed.len(), 5, "who drips is cut off, and should be");
    }
}
