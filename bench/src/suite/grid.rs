//! `grid`: replies a second by connections and pipeline depth, every connection always busy.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::results::point;

/// From so many connections on, only variants made for crowds take part.
const CROWD: u32 = 1_000;

/// Pipeline depths and connections of the small form.
const QUICK: [(u32, u32); 3] = [(1, 1), (16, 16), (1, 1_000)];

const DEPTHS: [u32; 3] = [1, 16, 64];
const CONNECTIONS: [u32; 6] = [1, 16, 128, 1_000, 4_000, 10_000];

/// The part that is repeated with the server on one processor and the generator on another.
const PINNED: [(u32, u32); 6] = [(1, 1), (1, 16), (1, 128), (1, 1_000), (16, 16), (16, 128)];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let all: Vec<(u32, u32)> =
        DEPTHS.iter().flat_map(|&depth| CONNECTIONS.map(|connections| (depth, connections))).collect();
    for (depth, connections) in bench.either(QUICK.to_vec(), all) {
        play(bench, depth, connections, false)?;
    }
    if bench.provenance.cpus < 2 {
        return bench.skip("grid on one processor", "there is no other for the generator");
    }
    for (depth, connections) in bench.either(vec![(1, 16)], PINNED.to_vec()) {
        play(bench, depth, connections, true)?;
    }
    Ok(())
}

fn play(bench: &mut Bench<'_>, depth: u32, connections: u32, pinned: bool) -> io::Result<()> {
    let variants = match (connections, pinned) {
        (1, false) => bench.variants(|_| true),
        (..CROWD, false) => bench.variants(|able| able.many),
        (CROWD.., false) => bench.variants(|able| able.crowds),
        (_, true) => bench.field(|able| able.crowds),
    };
    let cpu = if pinned { "one" } else { "all" };
    let contest = Contest {
        point: point(&[
            ("depth", depth.to_string()),
            ("connections", connections.to_string()),
            ("cpu", cpu.to_owned()),
        ]),
        rounds: bench.rounds(1, if pinned { 3 } else { 5 }),
        load: crate::load::Options { depth, ..load_of(connections, bench.window()) },
        pinned,
        fresh: false,
    };
    contest.hold(bench, variants.into_iter().map(Entrant::plain).collect())?;
    Ok(())
}
