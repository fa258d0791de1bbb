//! Aim 7: five servers one after the other, and beside them five that only pass on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, scope};
use std::time::Duration;

use super::super::address::CHAIN;
use super::super::bench::{Bench, how};
use super::super::herd::{Flood, flood};
use super::super::propagation::{Talk, propagate_while};
use super::super::results::{Figures, Record, point};
use super::super::server::{Servers, Start};
use super::super::turns::take_turns;
use super::super::variant::{Variant, relay};
use super::card::{Card, Finding};
use super::paired::{figure, ratio};
use super::verdict::{Aim, Seen};
use crate::load::{self, Options};

/// No client reports twice: each update has to come through the whole chain.
const FLOOD: Flood =
    Flood { name: "flood", connections: 4, depth: 64, clients_per_second: 400_000, may_overtake: false };

/// A hundred clients that report again and again.
const OVERLOAD: Flood =
    Flood { name: "overload", connections: 4, depth: 64, clients_per_second: 25, may_overtake: true };

/// Updates a second at moderate load.
const MODERATE: f64 = 10_000.0;

/// How long the load is there before anything is measured beside it.
const SETTLING: Duration = Duration::from_millis(100);

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    let (rounds, window) = (bench.rounds(1, 5), bench.window());
    let variants: Vec<Variant> =
        bench.variant("threads").into_iter().chain([relay(&bench.programs)]).collect();
    let to = point(&[("kind", "chain".to_owned()), ("graph", CHAIN.name.to_owned())]);
    let records = take_turns(bench, &to, &how(rounds, window), rounds, &variants, |bench, variant| {
        measure(bench, variant).map_err(|error| error.to_string())
    })?;
    for finding in findings(&records) {
        card.add(finding);
    }
    Ok(())
}

fn findings(records: &[Record]) -> Vec<Finding> {
    let finding = |what, place: &str, aim, unit, seen| Finding {
        number: 7,
        what,
        place: place.to_owned(),
        aim,
        unit,
        seen,
    };
    let ours = |name| figure(records, "threads", name);
    let in_ms = |seen| match seen {
        Seen::Figure(spread) => Seen::Figure(spread.times(1e-3)),
        Seen::Nothing(why) => Seen::Nothing(why),
    };
    vec![
        finding("updates a second", "P=64 C=4", Aim::AtLeast(500_000.0), "/s", ours("per_second")),
        finding("the same, by conflation", "P=64 C=4", Aim::Stated, "/s", ours("conflated_per_second")),
        finding("p99 at the far end", "overload", Aim::AtMost(2.0), "ms", in_ms(ours("overload_p99_us"))),
        finding(
            "p99 at the far end, of the bare relay's",
            "10000/s",
            Aim::AtMost(3.0),
            "",
            ratio(records, "threads", "relay", "moderate_p99_us"),
        ),
    ]
}

fn measure(bench: &Bench<'_>, variant: &Variant) -> io::Result<Figures> {
    let servers =
        bench.start(variant, Start { shape: CHAIN, extra: &[], cpu: None }).map_err(io::Error::other)?;
    let (first, last) = ends(&servers);
    Talk::with(first)?.report("linked")?;
    Talk::with(last)?.wait_for("linked")?;
    let common = Options { warm_up: Duration::ZERO, duration: bench.window(), ..servers.options(0, variant) };
    let mut figures = Figures::new();
    let name = "moderate".to_owned();
    let moderate = Options { rate: Some(MODERATE), connections: 10, clients: 100, name, ..common.clone() };
    beside(&servers, &moderate, &mut figures)?;
    // One that only passes on has neither a bound on what is on its way nor anything to overtake it with.
    if variant.able.herd {
        let Flood { name, connections, depth, clients_per_second: clients, .. } = OVERLOAD;
        beside(
            &servers,
            &Options { connections, depth, clients, name: name.to_owned(), ..common },
            &mut figures,
        )?;
        for (one, figure) in [(OVERLOAD, "conflated_per_second"), (FLOOD, "per_second")] {
            let flooded = flood(&servers, variant, bench.window(), one)?;
            figures.extend(flooded.get("per_second").map(|rate| (figure.to_owned(), *rate)));
        }
    }
    servers.stop().map_err(io::Error::other)?;
    Ok(figures)
}

/// How long updates take from one end to the other beside a load, for as long as it lasts. The far end is asked again
/// and again, with a relay as with servers, so a figure has a question and the pause after it as its grain.
fn beside(servers: &Servers, load: &Options, figures: &mut Figures) -> io::Result<()> {
    let (first, last) = ends(servers);
    let over = AtomicBool::new(false);
    let times = scope(|scope| {
        let loading = Builder::new().spawn_scoped(scope, || {
            let outcome = load::run(load);
            over.store(true, Ordering::Relaxed);
            outcome
        })?;
        std::thread::sleep(SETTLING);
        let marker = format!("{}-beside", load.name);
        let times = propagate_while(first, last, &marker, |_| !over.load(Ordering::Relaxed));
        loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(io::Error::other)?;
        times
    })?;
    figures.insert(format!("{}_samples", load.name), times.len() as f64);
    for (quantile, end) in [(0.5, "p50_us"), (0.99, "p99_us")] {
        figures.insert(format!("{}_{end}", load.name), times.value_at_quantile(quantile) as f64 / 1e3);
    }
    Ok(())
}

fn ends(servers: &Servers) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let members = servers.herd.members();
    (members[0].client, members[members.len() - 1].client)
}
