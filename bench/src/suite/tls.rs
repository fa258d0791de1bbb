//! `tls`: the door of HTTP in TLS 1.3 against the same in plain text. Requests a second over connections that stay,
//! whole conversations with full and with resumed handshakes, and the memory of idle connections.

use std::io;

use super::bench::Bench;
use super::limits::connections_max;
use super::options::Name;
use super::paired_run::{Candidate, PairedRun, load_of};
use super::results::point;
use super::variant;
use crate::load::Options;
use crate::table::Column;

/// Connections that are always busy.
const CONNECTIONS: [u32; 2] = [16, 128];

/// Connections that are made again and again, each for one report.
const CHURNING: u32 = 8;

const COSTS: [Column<'_>; 3] = [
    ("us of server CPU", "server_cpu_us", 1.0, 1),
    ("us of generator CPU", "generator_cpu_us", 1.0, 1),
    ("p99, us", "p99_us", 1.0, 0),
];

const MEMORY: [Column<'_>; 2] = [
    ("its own, KiB", "rss_bytes_per_connection", 1.0 / 1024.0, 1),
    ("the kernel's (both ends), KiB", "kernel_bytes_per_connection", 1.0 / 1024.0, 1),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let (variants, _) = variant::of_http(&bench.programs);
    let Some(threads) = variants.into_iter().find(|variant| variant.name == "threads") else {
        return bench.skip("TLS", "the threaded server is not there");
    };
    let variants = [threads.clone().named("plain"), threads.in_tls().named("tls")];
    for &connections in bench.either(&CONNECTIONS[..1], &CONNECTIONS[..]) {
        let at = point(&[("connections", &connections)]);
        let run = PairedRun::new(bench, at, (1, 5), load_of(connections, bench.window()));
        let records = run.variants(bench, variants.to_vec())?;
        bench.show(&records, &COSTS)?;
    }
    let at = point(&[("churn", &CHURNING)]);
    let load = Options { churn: true, ..load_of(CHURNING, bench.window()) };
    let [plain, tls] = variants.clone().map(Candidate::plain);
    let candidates = vec![plain, tls.clone(), tls.resumed("tls resumed")];
    let records = PairedRun::new(bench, at, (1, 5), load).candidates(bench, candidates)?;
    bench.show(&records, &COSTS)?;
    let open = connections_max(Name::Tls, bench.scale());
    let load = Options { active: Some(1), ..load_of(open, bench.window()) };
    let run = PairedRun::new(bench, point(&[("open", &open)]), (1, 3), load);
    let records = PairedRun { fresh: true, ..run }.variants(bench, variants.to_vec())?;
    bench.show(&records, &MEMORY)
}
