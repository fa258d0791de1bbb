//! `open`: requests at a fixed rate, faster and faster until a variant no longer keeps up.

use std::collections::BTreeSet;
use std::io;

use super::bench::Bench;
use super::paired_run::{PairedRun, load_of};
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
        let mut variants = bench.field(|able| able.many);
        variants.retain(|variant| !saturated.contains(&variant.name));
        if variants.is_empty() {
            break;
        }
        let at = point(&[("rate", &rate), ("connections", &CONNECTIONS)]);
        let load = Options { rate: Some(rate.into()), ..load_of(CONNECTIONS, bench.window()) };
        for record in PairedRun::new(bench, at, (1, 3), load).variants(bench, variants)? {
            if is_saturated(&record) {
                bench.say(&format!("{} does not keep up with {rate} a second", record.variant))?;
                saturated.insert(record.variant);
            }
        }
    }
    Ok(())
}

fn is_saturated(record: &Record) -> bool {
    let above = |name, limit| record.stats(name).is_none_or(|stats| stats.median > limit);
    above("p50_us", SATURATED_US) || above("unanswered", 0.0)
}
