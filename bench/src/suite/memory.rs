//! `memory`: what an idle connection costs, in the server's own memory and in the kernel's; and whether as many as
//! there can be are all alive.

use std::io;

use super::bench::Bench;
use super::limits::connections_max;
use super::options::Name;
use super::paired_run::{Candidate, PairedRun, load_of};
use super::results::point;
use crate::load::Options;
use crate::table::Column;

/// Connections that are all kept busy.
const LIVE: u32 = 16_000;

/// What the servers are told to allow: the one that asked whether it is there may not have gone yet.
const ALLOWED: [&str; 2] = ["--connections-max", "16050"];

/// Addresses that they come from. Each closed connection keeps its port for a minute, and from few addresses a free one
/// would be long to find in the later rounds.
const SOURCES: u32 = 32;

const COLUMNS: [Column<'_>; 2] = [
    ("its own, KiB", "rss_bytes_per_connection", 1.0 / 1024.0, 1),
    ("the kernel's (both ends), KiB", "kernel_bytes_per_connection", 1.0 / 1024.0, 1),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let open = connections_max(Name::Memory, bench.scale());
    let load = Options { active: Some(1), ..load_of(open, bench.window()) };
    let run = PairedRun::new(bench, point(&[("open", &open)]), (1, 3), load);
    let variants = bench.field(|able| able.idlers && (able.crowds || able.herd));
    let records = PairedRun { fresh: true, ..run }.variants(bench, variants)?;
    bench.show(&records, &COLUMNS)?;
    for live in bench.either(vec![], vec![LIVE]) {
        let load = Options { sources: Some(SOURCES), ..load_of(live, 2 * bench.window()) };
        let run = PairedRun::new(bench, point(&[("live", &live)]), (1, 5), load);
        let variants = bench.named(&["threads", "echo-epoll"]);
        let candidates = variants.iter().map(|it| Candidate::told(it, &it.name, &ALLOWED)).collect();
        let records = PairedRun { fresh: true, ..run }.candidates(bench, candidates)?;
        bench.show(&records, &COLUMNS)?;
    }
    Ok(())
}
