//! `herd`: five processes. Updates a second until all have them, propagation by distance, messages and bytes.

use std::collections::BTreeMap;
use std::io;
use std::thread::scope;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::address::{CHAIN, MESH, SEED, STAR, Shape};
use super::bench::{Bench, how};
use super::far_end;
use super::paired_run::take_turns;
use super::propagation::{Conversation, histogram, propagate, wait_until_linked};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::sockets::traffic;
use super::variant::Variant;
use crate::load::process::{Process, Switches};
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

/// How often servers log what they have counted.
const STATUS_EVERY: [&str; 2] = ["--status-every", "1s"];

/// Until each has done so after the last update.
const STATUS_WAIT: Duration = Duration::from_millis(1_300);

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
    let variants = bench.variants(|able| able.herd);
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
        paced(&servers, variant, bench.window(), rate, &mut figures)?;
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
    if let Some(before) = told_before {
        sent(figures, "messages_per_update", before, told(servers)?);
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
    let far = shape.distances().iter().copied().zip(0..).max().map_or(0, |(_, at)| at);
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

/// What an update costs all servers when so many come a second, each of another client.
fn paced(
    servers: &Servers,
    variant: &Variant,
    window: Duration,
    rate: f64,
    figures: &mut Figures,
) -> io::Result<()> {
    let options = Options {
        rate: Some(rate),
        connections: 10,
        clients: 1_000,
        name: format!("paced{rate}"),
        warm_up: Duration::ZERO,
        duration: window,
        ..servers.options(0, variant)
    };
    let switches = || servers.pids().into_iter().map(|pid| Switches::look(pid).all()).sum::<u64>();
    let (cpu, switched) = (cpu_seconds(servers)?, switches());
    let outcome = load::run(&options).map_err(io::Error::other)?;
    let (cpu, switched) = (cpu_seconds(servers)? - cpu, switches() - switched);
    let updates = (outcome.replies as f64).max(1.0);
    figures.insert(format!("paced{rate}_cpu_us_per_update"), cpu * 1e6 / updates);
    figures.insert(format!("paced{rate}_switches_per_update"), switched as f64 / updates);
    Ok(())
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

/// The processor time that all servers have used so far.
fn cpu_seconds(servers: &Servers) -> io::Result<f64> {
    let look = |pid: &u32| Process::look(*pid).map(|process| process.cpu_seconds);
    let sum = servers.pids().iter().map(look).sum::<Option<f64>>();
    sum.ok_or_else(|| io::Error::other("one of the servers has ended"))
}

/// The `AT` lines that servers have told each other so far, once nothing is under way any more.
fn told(servers: &Servers) -> io::Result<u64> {
    std::thread::sleep(STATUS_WAIT);
    let lines = servers.logged("status: clients=");
    let told = lines.iter().map(|line| counters(line).get("linklines").copied());
    told.sum::<Option<u64>>().ok_or_else(|| io::Error::other("a server has not logged what it has counted"))
}

/// The servers' own counts, from the last line of each log, where they keep one: an update is what was news at
/// the first server, wherever it was reported.
fn count_lines(logs: &[String], figures: &mut Figures) {
    let counts: Vec<BTreeMap<String, u64>> = logs.iter().map(|line| counters(line)).collect();
    let Some(updates) = counts.first().and_then(|first| first.get("news").copied()) else { return };
    let sum = |name: &str| counts.iter().map(|counts| counts.get(name).copied()).sum::<Option<u64>>();
    for (name, figure) in [("peerlines", "lines_per_update"), ("linkbytes", "own_bytes_per_update")] {
        if let Some(sum) = sum(name) {
            figures.insert(figure.to_owned(), sum as f64 / updates.max(1) as f64);
        }
    }
}

/// `stopped: name=number ...`, whatever the style of the names.
fn counters(line: &str) -> BTreeMap<String, u64> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs
        .filter_map(|(name, count)| Some((name.replace('_', "").to_lowercase(), count.parse().ok()?)))
        .collect()
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
    fn counters_are_found_in_either_style() {
        let ours = counters("Alford: stopped: client_lines=7 peer_lines=3 link_bytes=250");
        let theirs = counters("stopped: ClientLines=7 PeerLines=3 LinkBytes=250");
        assert_eq!(ours, theirs);
        assert_eq!(ours["peerlines"], 3);
        let mut figures = Figures::new();
        count_lines(&["news=5 peer_lines=6".to_owned(), "news=5 peer_lines=4".to_owned()], &mut figures);
        assert_eq!(figures, Figures::from([("lines_per_update".to_owned(), 2.0)]));
    }
}
