//! `logging`: what each setting of the log costs the threaded server.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::results::point;
use crate::load::Options;

/// What the log is told; the first is what the others are compared with.
const SETTINGS: [(&str, &[&str]); 5] = [
    ("warn", &["--log-level", "warn"]),
    ("off", &["--log-level", "off"]),
    ("info", &["--log-level", "info"]),
    ("debug, wait", &["--log-level", "debug", "--log-when-full", "wait"]),
    ("debug, drop", &["--log-level", "debug", "--log-when-full", "drop"]),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let Some(threads) = bench.variants(|able| able.threads && able.herd).into_iter().next() else {
        return bench.skip("logging", "the threaded server is not there");
    };
    for (depth, connections) in bench.either(vec![(1, 16)], vec![(1, 1), (1, 128), (16, 16)]) {
        let contest = Contest {
            point: point(&[("depth", depth.to_string()), ("connections", connections.to_string())]),
            rounds: bench.rounds(1, 5),
            load: Options { depth, ..load_of(connections, bench.window()) },
            pinned: false,
            fresh: false,
        };
        let entrant = |(name, words): (&str, &[&str])| Entrant::told(&threads, name, words);
        contest.hold(bench, SETTINGS.into_iter().map(entrant).collect())?;
    }
    Ok(())
}
