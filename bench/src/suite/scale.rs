//! `scale`: what one update costs in simulated herds of 5 to 10,000 servers, in messages and in virtual time.
//!
//! Nothing here is a matter of this machine's speed, but for how long the simulation itself takes.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use proxyherd::proto::model::name::ServerName;
use proxyherd::sim::graph::{Graph, SERVERS_MAX};
use proxyherd::sim::{EPOCH_NS, Options, World};

use super::bench::Bench;
use super::paired_run::{Named, take_turns};
use super::results::{Figures, point};
use crate::load::clock;
use crate::table::Column;

/// Servers of a herd.
const SERVERS: [usize; 10] = [5, 10, 20, 50, 100, 200, 500, 1_000, 3_000, 10_000];

/// The small form.
const QUICK: [usize; 2] = [5, 50];

/// Updates of one world, one after the other.
const UPDATES: u64 = 20;

/// How long a world may take, in its own time, until it is at rest: ten thousand links of 20 ms, and more.
const REST_MAX: Duration = Duration::from_secs(3_600);

/// Who is linked to whom.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One after the other.
    Chain,
    /// And the last linked to the first.
    Ring,
    /// Each linked to one of two that came before it, so that it has two below it.
    Tree,
    /// A random tree and as many random links again.
    Random,
    /// Each linked to two that came before it, the likelier the more links they have.
    ScaleFree,
}

const KINDS: [(&str, Kind); 5] = [
    ("chain", Kind::Chain),
    ("ring", Kind::Ring),
    ("tree", Kind::Tree),
    ("random", Kind::Random),
    ("scale-free", Kind::ScaleFree),
];

const COLUMNS: [Column<'_>; 4] = [
    ("messages an update", "messages_per_update", 1.0, 1),
    ("2E-(N-1)", "messages_expected", 1.0, 1),
    ("until all is quiet, ms", "virtual_ms", 1.0, 1),
    ("simulated in, ms", "wall_ms", 1.0, 1),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let seeds = bench.rounds(1, 3);
    let options = point(&[("seeds", &seeds), ("updates", &UPDATES)]);
    for servers in bench.either(QUICK.to_vec(), SERVERS.to_vec()) {
        if servers > SERVERS_MAX {
            let why = format!("the simulator takes {SERVERS_MAX} servers at most");
            bench.skip(&format!("{servers} servers"), &why)?;
            continue;
        }
        let at = point(&[("servers", &servers)]);
        let records = take_turns(bench, &at, &options, seeds, &KINDS, |_, (_, kind), seed| {
            simulate(seed.into(), graph(*kind, servers, seed.into()))
        })?;
        bench.show(&records, &COLUMNS)?;
    }
    Ok(())
}

impl Named for (&'static str, Kind) {
    fn name(&self) -> &str {
        self.0
    }
}

fn simulate(seed: u64, graph: Graph) -> Result<Figures, String> {
    let expected = graph.messages_per_update() as f64;
    let servers = graph.names().len();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(seed, graph, Options { heartbeats: false, ..Options::default() });
    let rest = |world: &mut World| world.settle(REST_MAX).map_err(|error| error.to_string());
    let before = rest(&mut world)?;
    let (mut virtual_ns, mut last) = (0, before);
    let wall_ns = clock::monotonic_ns();
    for update in 0..UPDATES {
        let now_ns = world.now_ns();
        let time_ns = EPOCH_NS + now_ns;
        let (seconds, nanos) = (time_ns / clock::NS_PER_SECOND, time_ns % clock::NS_PER_SECOND);
        let line = format!("IAMAT client-{update} +34.068930-118.445127 {seconds}.{nanos:09}\n");
        world.report(random.usize(..servers), line.as_bytes());
        last = rest(&mut world)?;
        virtual_ns += last.at_ns - now_ns;
    }
    let each = |sum: f64| sum / UPDATES as f64;
    let figures = [
        ("messages_per_update", each((last.messages - before.messages) as f64)),
        ("messages_expected", expected),
        ("virtual_ms", each(virtual_ns as f64 / 1e6)),
        ("wall_ms", each((clock::monotonic_ns() - wall_ns) as f64 / 1e6)),
    ];
    Ok(figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect())
}

fn graph(kind: Kind, servers: usize, seed: u64) -> Graph {
    let mut random = fastrand::Rng::with_seed(seed);
    match kind {
        Kind::Chain => Graph::chain(servers),
        Kind::Ring => Graph::ring(servers),
        Kind::Tree => of_links(servers, (1..servers).map(|server| ((server - 1) / 2, server)).collect()),
        Kind::Random => Graph::connected(servers, servers, &mut random),
        Kind::ScaleFree => of_links(servers, scale_free(servers, &mut random)),
    }
}

/// Every end of every link so far is a lot in the draw, so who has many links gets more.
fn scale_free(servers: usize, random: &mut fastrand::Rng) -> BTreeSet<(usize, usize)> {
    let mut links = BTreeSet::from([(0, 1)]);
    let mut lots = vec![0, 1];
    for server in 2..servers {
        for _ in 0..2 {
            let other = lots[random.usize(..lots.len())];
            // The second draw may give the first one's server again, or this one.
            if other != server && links.insert((other, server)) {
                lots.extend([other, server]);
            }
        }
    }
    links
}

fn of_links(servers: usize, links: BTreeSet<(usize, usize)>) -> Graph {
    let name = |server| ServerName::parse(&format!("S{server:05}")).expect("a letter and digits are a name");
    Graph::new((0..servers).map(name).collect(), links.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_herd_spreads_an_update_at_the_known_price() {
        for (name, kind) in KINDS {
            let figures = simulate(1, graph(kind, 12, 1)).unwrap();
            assert!(figures["virtual_ms"] > 0.0, "{name}: {figures:?}");
            // Where two copies cross on a link, both count, so it may be a little less or exactly this.
            let (messages, expected) = (figures["messages_per_update"], figures["messages_expected"]);
            assert!(messages >= 11.0 && messages <= expected, "{name}: {figures:?}");
        }
    }

    #[test]
    fn scale_free_herds_have_few_servers_with_many_links() {
        let links = scale_free(200, &mut fastrand::Rng::with_seed(3));
        let degree = |server| links.iter().filter(|(a, b)| *a == server || *b == server).count();
        let most = (0..200).map(degree).max().unwrap();
        assert!(links.len() < 400 && most > 15, "{} links, at most {most}", links.len());
        assert!((1..200).all(|server| degree(server) >= 1));
    }
}
