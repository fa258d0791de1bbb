//! `durability`: what it costs the threaded server to keep what it acknowledges.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::keeping;
use super::results::point;
use crate::load::Options;

/// What the server is told; the first is what the others are compared with. A flush is fast on the disks of
/// data centres, and takes milliseconds on others: the last says what would be there.
const SETTINGS: [(&str, &[&str]); 4] = [
    ("none", &["--durability", "none"]),
    ("os", &["--durability", "os"]),
    ("sync", &["--durability", "sync"]),
    ("sync, 5 ms more", &["--durability", "sync", "--flush-delay", "5ms"]),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let Some(threads) = bench.variants(|able| able.threads && able.herd).into_iter().next() else {
        return bench.skip("durability", "the threaded server is not there");
    };
    let all = [1, 16, 64].iter().flat_map(|depth| [1, 16, 128].map(|connections| (*depth, connections)));
    for (depth, connections) in bench.either(vec![(1, 16)], all.collect()) {
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
    keeping::recovery(bench, &threads)?;
    keeping::pauses(bench, &threads)
}
