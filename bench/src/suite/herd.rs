//! `herd`: five processes. Updates a second until all have them, propagation by distance, messages and bytes.
//!
//! All links are eager: whether trees have formed by then would be left to chance, and herds of other makers have none.
//! What trees save is measured in `trees`.

use std::collections::BTreeMap;
use std::io;
use std::thread::scope;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::address::{CHAIN, MESH, SEED, STAR, Shape};
use super::bench::{Bench, how};
use super::far_end;
use super::paired_run::take_turns;
use super::per_update::{STATUS_EVERY, counters, cpu_seconds, paced, told};
use super::propagation::{Conversation, histogram, propagate, wait_until_linked};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::sockets::traffic;
use super::variant::Variant;
use crate::load::{self, Options, clock};
use crate::table::Column;

/// How the first server is flooded. There must be more clients than updates: then each has to reach every server, and
/// none is overtaken by a later one of the same client.
const FLOOD: Flood = Flood { name: "flood", connections: 4, depth: 64, clients_per_second: 400_000 };

/// Updates a second while propagation under load is measured: what the slowest herd can bear.
const BACKGROUND: f64 = 1_000.0;

/// Updates a second far below saturation, where herds live: there the cost is wake-ups between threads.
const PACED: [f64; 2] = [200.0, 2_000.0];

/// How a server is flooded.
#[derive(Clone, Copy, Debug)]
struct Flood {
    /// How the names of the clients begin; no two floods of one herd may share it.
    name: &'static str,
    connections: u32,
    depth: u32,
    /// Clients of each connection for every second of the window.
    clients_per_second: u32,
}

/// Fifty connections to one of five servers, as herds in other languages are compared; no client reports twice.
const FIFTY: [Flood; 2] = [
    Flood { name: "fifty1", connections: 50, depth: 1, clients_per_second: 20_000 },
    Flood { name: "fifty64", connections: 50, depth: 64, clients_per_second: 40_000 },
];

const COLUMNS: [Column<'_>; 8] = [
    ("updates/s until all have them", "per_second", 1.0, 0),
    ("us of CPU each", "cpu_us_per_update", 1.0, 1),
    ("farthest, us", "far_p50_us", 1.0, 1),
    ("beside load, us", "far_loaded_p50_us", 1.0, 1),
    ("us at 2,000/s", "paced2000_cpu_us_per_update", 1.0, 1),
    ("switches", "paced2000_switches_per_update", 1.0, 1),
    ("packets each", "packets_per_update", 1.0, 1),
    ("bytes each", "bytes_per_update", 1.0, 1),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let variants: Vec<Variant> =
        bench.variants(|able| able.herd).iter().map(Variant::with_eager_links).collect();
    for shape in bench.either(vec![SEED], vec![SEED, CHAIN, STAR, MESH]) {
        let (rounds, window) = (bench.rounds(1, 3), bench.window());
        let at = point(&[("graph", &shape.name)]);
        let records =
            take_turns(bench, &at, &how(rounds, window), rounds, &variants, |bench, variant, _| {
                measure(bench, variant, shape).map_err(|error| error.to_string())
            })?;
        bench.show(&records, &COLUMNS)?;
    }
    far_end::run(bench)
}

fn measure(bench: &Bench<'_>, variant: &Variant, shape: Shape) -> io::Result<Figures> {
    let mut figures = Figures::new();
    let mut info = ["--log-level", "info"].map(str::to_owned).to_vec();
    info.extend(STATUS_EVERY.iter().filter(|_| variant.able.threads).map(ToString::to_string));
    let start = Start { shape, extra: &info, cpu: None };
    let servers = bench.start(variant, start).map_err(io::Error::other)?;
    wait_until_linked(&servers, "first")?;
    quiet(&servers, shape, bench.either(40, 200), variant.able.threads, &mut figures)?;
    count_lines(&servers.stop().map_err(io::Error::other)?, &mut figures);

    let servers = bench.start(variant, Start { extra: &[], ..start }).map_err(io::Error::other)?;
    wait_until_linked(&servers, "first")?;
    loaded(&servers, variant, shape, bench.either(20, 100), &mut figures)?;
    for rate in PACED {
        figures.extend(paced(&servers, variant, bench.window(), rate)?);
    }
    figures.extend(flood(&servers, variant, bench.window(), FLOOD)?);
    servers.stop().map_err(io::Error::other)?;
    for one in FIFTY.into_iter().filter(|_| shape == SEED) {
        let servers = bench.start(variant, Start { extra: &[], ..start }).map_err(io::Error::other)?;
        wait_until_linked(&servers, "first")?;
        let flooded = flood(&servers, variant, bench.window(), one)?;
        figures.extend(flooded.into_iter().map(|(name, figure)| (format!("{}_{name}", one.name), figure)));
        servers.stop().map_err(io::Error::other)?;
    }
    Ok(figures)
}

/// One update at a time: propagation by distance, and what an update costs on the wire.
fn quiet(
    servers: &Servers,
    shape: Shape,
    count: usize,
    logs_status: bool,
    figures: &mut Figures,
) -> io::Result<()> {
    let members = servers.herd.members();
    let distances = shape.distances();
    // What is told while links come up is told in another way, so only what follows is counted.
    let told_before = logs_status.then(|| told(servers)).transpose()?;
    let before = traffic(&servers.pids());
    let mut updates = 1;
    for distance in 1..=distances.iter().copied().max().unwrap_or(0) {
        let Some(to) = distances.iter().position(|&it| it == distance) else { continue };
        let (first, last) = (members[0].client.resolve()?, members[to].client.resolve()?);
        let times = propagate(first, last, &format!("quiet-{distance}"), count)?;
        updates += count as u64;
        keep(figures, &format!("distance{distance}"), &times);
        // The last one is the farthest.
        keep(figures, "far", &times);
    }
    // Even the farthest server passes its news on, or back, before this is over.
    let last = format!("quiet-last-{updates}");
    wait_until_linked(servers, &last)?;
    let sent = |figures: &mut Figures, name: &str, before: u64, after: u64| {
        figures.insert(name.to_owned(), after.saturating_sub(before) as f64 / updates as f64);
    };
    if let (Some(before), Some(after)) = (before, traffic(&servers.pids())) {
        sent(figures, "packets_per_update", before.packets, after.packets);
        sent(figures, "bytes_per_update", before.bytes, after.bytes);
    }
    if let Some((before, _)) = told_before {
        sent(figures, "messages_per_update", before, told(servers)?.0);
    }
    let mut conversation = Conversation::with(members[members.len() - 1].client.resolve()?)?;
    let mut asked = histogram();
    for _ in 0..count {
        let from_ns = clock::monotonic_ns();
        conversation.knows("nobody")?;
        asked.saturating_record(clock::monotonic_ns() - from_ns);
    }
    keep(figures, "grain", &asked);
    Ok(())
}

/// Propagation to the farthest server while others report too.
fn loaded(
    servers: &Servers,
    variant: &Variant,
    shape: Shape,
    count: usize,
    figures: &mut Figures,
) -> io::Result<()> {
    let members = servers.herd.members();
    let far = shape.farthest();
    let background = Options {
        rate: Some(BACKGROUND),
        connections: 10,
        clients: 100,
        name: "background".to_owned(),
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(1),
        ..servers.options(0, variant)
    };
    let (first, last) = (members[0].client.resolve()?, members[far].client.resolve()?);
    scope(|scope| {
        let load = std::thread::Builder::new().spawn_scoped(scope, || load::run(&background))?;
        let times = propagate(first, last, "loaded", count);
        load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(io::Error::other)?;
        keep(figures, "far_loaded", &times?);
        Ok(())
    })
}

/// As many updates as one server takes, and how long it takes until all have the last.
fn flood(servers: &Servers, variant: &Variant, window: Duration, flood: Flood) -> io::Result<Figures> {
    let Flood { name, connections, depth, clients_per_second } = flood;
    let options = Options {
        connections,
        depth,
        clients: clients_per_second * window.as_secs().max(1) as u32,
        name: name.to_owned(),
        warm_up: Duration::ZERO,
        duration: window,
        pid: servers.pids(),
        ..servers.options(0, variant)
    };
    let (begin_ns, cpu) = (clock::monotonic_ns(), cpu_seconds(servers)?);
    let outcome = load::run(&options).map_err(io::Error::other)?;
    let end_ns = clock::monotonic_ns();
    // Reported after all others, so it comes after them at every server.
    wait_until_linked(servers, &format!("{name}-last"))?;
    let known_ns = clock::monotonic_ns();
    let cpu = cpu_seconds(servers)? - cpu;
    if outcome.replies > u64::from(options.clients) * u64::from(connections) {
        return Err(io::Error::other("there were more updates than clients: some overtook others"));
    }
    let replies = outcome.replies as f64;
    // What follows the window, such as joining threads, counts against the herd: it is a few milliseconds.
    let seconds = (known_ns - begin_ns) as f64 / 1e9 - outcome.open_seconds;
    Ok(Figures::from([
        ("acknowledged_per_second".to_owned(), outcome.per_second),
        ("catch_up_seconds".to_owned(), (known_ns - end_ns) as f64 / 1e9),
        ("per_second".to_owned(), replies / seconds),
        ("updates".to_owned(), replies),
        ("cpu_us_per_update".to_owned(), cpu * 1e6 / replies.max(1.0)),
    ]))
}

/// The servers' own counts, from the last line of each log, where they keep one: an update is what the first server has
/// applied, wherever it was reported.
fn count_lines(logs: &[String], figures: &mut Figures) {
    let counts: Vec<BTreeMap<String, u64>> = logs.iter().map(|line| counters(line)).collect();
    let Some(updates) = counts.first().and_then(|first| first.get("applied").copied()) else { return };
    let sum = |name: &str| counts.iter().map(|counts| counts.get(name).copied()).sum::<Option<u64>>();
    for (name, figure) in [("peerlines", "lines_per_update"), ("linkbytes", "own_bytes_per_update")] {
        if let Some(sum) = sum(name) {
            figures.insert(figure.to_owned(), sum as f64 / updates.max(1) as f64);
        }
    }
}

fn keep(figures: &mut Figures, name: &str, times: &Histogram<u64>) {
    for (quantile, end) in [(0.5, "p50_us"), (0.99, "p99_us")] {
        figures.insert(format!("{name}_{end}"), times.value_at_quantile(quantile) as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_for_each_update_of_the_first_server() {
        let mut figures = Figures::new();
        count_lines(
            &["applied=5 peer_lines=6".to_owned(), "applied=5 peer_lines=4".to_owned()],
            &mut figures,
        );
        assert_eq!(figures, Figures::from([("lines_per_update".to_owned(), 2.0)]));
    }
}
