//! `churn`: connections that come, report once and go; and storms of them.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
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
        let contest = Contest {
            point: point(&[("churn", connections.to_string())]),
            rounds: bench.rounds(1, 3),
            load: Options { churn: true, ..load_of(connections, bench.window()) },
            pinned: false,
            fresh: false,
        };
        let variants = bench.field(|able| able.many);
        contest.hold(bench, variants.into_iter().map(Entrant::plain).collect())?;
    }
    for connections in bench.either(vec![1_000], STORM.to_vec()) {
        let contest = Contest {
            point: point(&[("storm", connections.to_string())]),
            rounds: bench.rounds(1, 5),
            load: Options { storm: true, ..load_of(connections, bench.window()) },
            pinned: false,
            fresh: false,
        };
        let for_all = connections <= STORM_FOR_ALL;
        let variants = bench.field(|able| able.many && (able.crowds || for_all));
        contest.hold(bench, variants.into_iter().map(Entrant::plain).collect())?;
    }
    Ok(())
}
