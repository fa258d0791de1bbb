//! `churn`: connections that come, report once and go; and storms of them.

use std::io;

use super::bench::Bench;
use super::paired_run::{PairedRun, load_of};
use super::results::point;
use crate::load::Options;

/// Connections at once while they come and go.
const CHURN: [u32; 3] = [1, 16, 128];

/// Connections in one storm.
const STORM: [u32; 3] = [1_000, 4_000, 10_000];

/// Storms up to this size are for everybody who serves more than one client.
const STORM_FOR_ALL: u32 = 1_000;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    for connections in bench.either(vec![16], CHURN.to_vec()) {
        let load = Options { churn: true, ..load_of(connections, bench.window()) };
        let run = PairedRun::new(bench, point(&[("churn", &connections)]), (1, 3), load);
        run.variants(bench, bench.field(|able| able.many))?;
    }
    let storm = |bench: &Bench<'_>, connections| {
        let load = Options { storm: true, ..load_of(connections, bench.window()) };
        PairedRun::new(bench, point(&[("storm", &connections)]), (1, 5), load)
    };
    for connections in bench.either(vec![1_000], STORM.to_vec()) {
        let for_all = connections <= STORM_FOR_ALL;
        let variants = bench.field(|able| able.many && (able.crowds || for_all));
        storm(bench, connections).variants(bench, variants)?;
    }
    // The threads that one storm leaves behind serve the next, so the first storm is measured by itself. An echo on
    // epoll, of which a connection is a socket and nothing else, shows what machine and generator take for it.
    let connections = bench.either(STORM[0], STORM[2]);
    let run = storm(bench, connections);
    let at = point(&[("storm", &connections), ("server", &"fresh")]);
    let variants = bench.named(&["threads", "echo-epoll"]);
    PairedRun { point: at, fresh: true, ..run }.variants(bench, variants)?;
    Ok(())
}
