//! `open`: requests at a fixed rate, faster and faster until a variant no longer keeps up.

use std::collections::BTreeSet;
use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::results::{Record, point};
use crate::load::Options;

/// Connections that the requests are spread over.
const CONNECTIONS: u32 = 100;

/// Requests a second.
const RATES: [u32; 10] = [1_000, 5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000, 160_000];

/// The small form.
const QUICK: [u32; 1] = [10_000];

/// Who has a median worse than this, in microseconds, does not keep up: its queue grows until the end.
const SATURATED_US: f64 = 100_000.0;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let mut saturated: BTreeSet<String> = BTreeSet::new();
    for rate in bench.either(QUICK.to_vec(), RATES.to_vec()) {
        let variants = bench.field(|able| able.many);
        let entrants: Vec<Entrant> = variants
            .into_iter()
            .filter(|variant| !saturated.contains(&variant.name))
            .map(Entrant::plain)
            .collect();
        if entrants.is_empty() {
            break;
        }
        let contest = Contest {
            point: point(&[("rate", rate.to_string()), ("connections", CONNECTIONS.to_string())]),
            rounds: bench.rounds(1, 3),
            load: Options { rate: Some(rate.into()), ..load_of(CONNECTIONS, bench.window()) },
            pinned: false,
            fresh: false,
        };
        for record in contest.hold(bench, entrants)? {
            if is_saturated(&record) {
                bench.say(&format!("{} does not keep up with {rate} a second", record.variant))?;
                saturated.insert(record.variant);
            }
        }
    }
    Ok(())
}

fn is_saturated(record: &Record) -> bool {
    let above = |name, limit| record.spread(name).is_none_or(|spread| spread.median > limit);
    above("p50_us", SATURATED_US) || above("unanswered", 0.0)
}
