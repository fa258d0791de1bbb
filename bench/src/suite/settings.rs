//! `logging` and `durability`: what each setting costs the threaded server.

use std::io;

use super::bench::Bench;
use super::paired_run::{Candidate, PairedRun, load_of};
use super::recovery_cost;
use super::results::point;
use super::variant::BEFORE;
use crate::load::Options;

/// Settings and the options that make them; the first is what the others are compared with.
type Settings<'a> = &'a [(&'a str, &'a [&'a str])];

/// What the log is told.
const LOGGING: Settings<'_> = &[
    ("warn", &["--log-level", "warn"]),
    ("off", &["--log-level", "off"]),
    ("info", &["--log-level", "info"]),
    ("debug, wait", &["--log-level", "debug", "--log-when-full", "wait"]),
    ("debug, drop", &["--log-level", "debug", "--log-when-full", "drop"]),
];

/// What is durable when.
const DURABILITY: Settings<'_> = &[
    ("none", &["--durability", "none"]),
    ("os", &["--durability", "os"]),
    ("sync", &["--durability", "sync"]),
];

pub(super) fn logging(bench: &mut Bench<'_>) -> io::Result<()> {
    let points = bench.either(vec![(1, 16)], vec![(1, 1), (1, 16), (1, 128), (16, 16)]);
    measure(bench, LOGGING, &points)
}

pub(super) fn durability(bench: &mut Bench<'_>) -> io::Result<()> {
    let all = [1, 16, 64].iter().flat_map(|depth| [1, 16, 128].map(|connections| (*depth, connections)));
    let points = bench.either(vec![(1, 16)], all.collect());
    measure(bench, DURABILITY, &points)?;
    let Some(threads) = bench.variant("threads") else { return Ok(()) };
    recovery_cost::recovery(bench, &threads)?;
    recovery_cost::pauses(bench, &threads)
}

fn measure(bench: &mut Bench<'_>, settings: Settings<'_>, points: &[(u32, u32)]) -> io::Result<()> {
    let Some(threads) = bench.variant("threads") else {
        return bench.skip("its settings", "the threaded server is not there");
    };
    for &(depth, connections) in points {
        let load = Options { depth, ..load_of(connections, bench.window()) };
        let at = point(&[("depth", &depth), ("connections", &connections)]);
        let told = settings.iter().map(|(name, words)| Candidate::told(&threads, name, words));
        // An earlier server is shown with the setting that is the default, beside the same of today.
        let before = bench.variant(BEFORE).filter(|_| settings == DURABILITY);
        let before = before.map(|it| Candidate::told(&it, "os, before", &["--durability", "os"]));
        PairedRun::new(bench, at, (1, 5), load).candidates(bench, told.chain(before).collect())?;
    }
    Ok(())
}
