//! Aim 3: p99 of pipelines beside tokio, with the server on one processor and the generator on another.

use std::io;

use super::super::bench::Bench;
use super::super::contest::{Contest, load_of};
use super::super::results::point;
use super::card::{Card, Finding};
use super::paired::ratio;
use super::verdict::{Aim, Seen};
use super::{entrants, place};
use crate::load::Options;

/// Pipeline depths and connections.
const POINTS: [(u32, u32); 6] = [(16, 16), (16, 128), (16, 1_000), (64, 16), (64, 128), (64, 1_000)];

const QUICK: [(u32, u32); 1] = [(16, 16)];

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    for (depth, connections) in bench.either(QUICK.to_vec(), POINTS.to_vec()) {
        let seen = match bench.provenance.cpus {
            0 | 1 => Seen::Nothing("there is no processor for the generator beside the server's".to_owned()),
            _ => measure(bench, depth, connections)?,
        };
        card.add(Finding {
            number: 3,
            what: "p99 on one processor, of tokio's",
            place: place(depth, connections),
            aim: Aim::AtMost(0.5),
            unit: "",
            seen,
        });
    }
    Ok(())
}

fn measure(bench: &mut Bench<'_>, depth: u32, connections: u32) -> io::Result<Seen> {
    let contest = Contest {
        point: point(&[
            ("kind", "tails".to_owned()),
            ("depth", depth.to_string()),
            ("connections", connections.to_string()),
            ("cpu", "one".to_owned()),
        ]),
        rounds: bench.rounds(1, 5),
        load: Options { depth, ..load_of(connections, bench.window()) },
        pinned: true,
        fresh: false,
    };
    let field = entrants(bench, &["threads", "tokio"]);
    Ok(ratio(&contest.hold(bench, field)?, "threads", "tokio", "p99_us"))
}
