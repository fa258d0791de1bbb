//! Aims 8 and 9: what logging and durability cost the server, and what a question costs beside a report.

use std::io;

use super::super::bench::Bench;
use super::super::contest::{Contest, Entrant, load_of};
use super::super::results::{Record, point};
use super::card::{Card, Finding};
use super::paired::ratio;
use super::place;
use super::verdict::Aim;
use crate::load::{Mix, Options};

/// Pipeline depths and connections at which logging and durability are measured.
const POINTS: [(u32, u32); 4] = [(1, 16), (1, 128), (64, 16), (64, 128)];

const QUICK: [(u32, u32); 1] = [(1, 16)];

/// The one without either, which the others are compared with, then every request and reply, then `os`.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("neither", &["--log-level", "warn", "--durability", "none"]),
    ("debug", &["--log-level", "debug", "--durability", "none"]),
    ("os", &["--log-level", "warn", "--durability", "os"]),
];

/// Connections that ask.
const ASKING: [u32; 3] = [1, 16, 128];

const ASKING_QUICK: [u32; 1] = [16];

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    for (depth, connections) in bench.either(QUICK.to_vec(), POINTS.to_vec()) {
        let entrants =
            |threads| SETTINGS.iter().map(|(name, words)| Entrant::told(&threads, name, words)).collect();
        let records = hold(bench, "settings", depth, connections, entrants)?;
        // At the depth of a batch the log is the limit, and no aim.
        let of_logging = if depth == 1 { Aim::AtLeast(0.80) } else { Aim::Stated };
        for (name, what, aim) in [
            ("debug", "rate with every request and reply logged, of that without", of_logging),
            ("os", "rate with --durability os, of that with none", Aim::AtLeast(0.90)),
        ] {
            let seen = ratio(&records, name, "neither", "per_second");
            card.add(Finding { number: 8, what, place: place(depth, connections), aim, unit: "", seen });
        }
    }
    for connections in bench.either(ASKING_QUICK.to_vec(), ASKING.to_vec()) {
        let entrants = |threads| {
            let report = Entrant::told(&threads, "IAMAT", &[]);
            let mix = Some(Mix { iamat: 0, whatsat: 100, stale: 0 });
            vec![report, Entrant { mix, ..Entrant::told(&threads, "WHATSAT", &[]) }]
        };
        let records = hold(bench, "questions", 1, connections, entrants)?;
        card.add(Finding {
            number: 9,
            what: "WHATSAT from the catalogue, of IAMAT",
            place: place(1, connections),
            aim: Aim::AtLeast(0.5),
            unit: "",
            seen: ratio(&records, "WHATSAT", "IAMAT", "per_second"),
        });
    }
    Ok(())
}

fn hold(
    bench: &mut Bench<'_>,
    kind: &str,
    depth: u32,
    connections: u32,
    entrants: impl FnOnce(super::super::variant::Variant) -> Vec<Entrant>,
) -> io::Result<Vec<Record>> {
    let contest = Contest {
        point: point(&[
            ("kind", kind.to_owned()),
            ("depth", depth.to_string()),
            ("connections", connections.to_string()),
        ]),
        rounds: bench.rounds(1, 5),
        load: Options { depth, ..load_of(connections, bench.window()) },
        pinned: false,
        fresh: false,
    };
    let field = bench.variant("threads").map_or(Vec::new(), entrants);
    contest.hold(bench, field)
}
