//! `grid`: replies a second by connections and pipeline depth, every connection always busy.

use std::io;
use std::time::Duration;

use super::bench::Bench;
use super::paired_run::{PairedRun, load_of};
use super::results::point;
use crate::load::Options;

/// From this number of connections on, only variants made for many take part.
const MANY: u32 = 1_000;

/// Pipeline depths and connections of the small form. A thousand connections are open in `idle`.
const QUICK: [(u32, u32); 2] = [(1, 1), (16, 16)];

const DEPTHS: [u32; 3] = [1, 16, 64];
const CONNECTIONS: [u32; 6] = [1, 16, 128, 1_000, 4_000, 10_000];

/// The part that is repeated with the server on one processor and the generator on another.
const PINNED: [(u32, u32); 10] = [
    (1, 1),
    (1, 16),
    (1, 128),
    (1, 1_000),
    (16, 16),
    (16, 128),
    (16, 1_000),
    (64, 16),
    (64, 128),
    (64, 1_000),
];

/// Connections, and for how long they are driven so that each has at least a hundred replies: then the slowest of them
/// says something.
const FAIRNESS: [(u32, Duration); 2] =
    [(1_000, Duration::from_millis(2_500)), (4_000, Duration::from_secs(13))];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let all: Vec<(u32, u32)> =
        DEPTHS.iter().flat_map(|&depth| CONNECTIONS.map(|connections| (depth, connections))).collect();
    for (depth, connections) in bench.either(QUICK.to_vec(), all) {
        measure(bench, depth, connections, false)?;
    }
    for (connections, window) in bench.either(Vec::new(), FAIRNESS.to_vec()) {
        let at = point(&[("fairness", &connections)]);
        let run = PairedRun::new(bench, at, (1, 5), load_of(connections, window));
        run.variants(bench, bench.variants(|able| able.threads && able.herd))?;
    }
    if bench.provenance.cpus < 2 {
        return bench.skip("grid on one processor", "there is no other for the generator");
    }
    for (depth, connections) in bench.either(vec![(1, 16)], PINNED.to_vec()) {
        measure(bench, depth, connections, true)?;
    }
    Ok(())
}

fn measure(bench: &mut Bench<'_>, depth: u32, connections: u32, pinned: bool) -> io::Result<()> {
    let variants = match (connections, pinned) {
        (1, false) => bench.variants(|able| !able.encrypted),
        (..MANY, false) => bench.field(|able| able.many),
        (MANY.., false) => bench.variants(|able| able.crowds),
        (_, true) => bench.field(|able| able.crowds),
    };
    let cpu = if pinned { "one" } else { "all" };
    let at = point(&[("depth", &depth), ("connections", &connections), ("cpu", &cpu)]);
    let load = Options { depth, ..load_of(connections, bench.window()) };
    let run = PairedRun::new(bench, at, (1, if pinned { 3 } else { 5 }), load);
    PairedRun { pinned, ..run }.variants(bench, variants)?;
    Ok(())
}
