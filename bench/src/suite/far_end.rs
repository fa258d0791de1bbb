//! How long updates take to the far end of a chain of five servers under load, and of five relays that only pass on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, scope};
use std::time::Duration;

use super::address::CHAIN;
use super::bench::{Bench, how};
use super::paired_run::take_turns;
use super::propagation::{Conversation, propagate_while};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::variant::{Variant, relay};
use crate::load::{self, Options};
use crate::table::Column;

/// Updates a second at moderate load.
const MODERATE: f64 = 10_000.0;

/// How long the load is there before anything is measured beside it.
const SETTLING: Duration = Duration::from_millis(100);

const COLUMNS: [Column<'_>; 2] = [
    ("p99 beside 10,000/s, us", "moderate_p99_us", 1.0, 0),
    ("p99 in overload, us", "overload_p99_us", 1.0, 0),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let (rounds, window) = (bench.rounds(1, 5), bench.window());
    let Some(threads) = bench.variant("threads") else { return Ok(()) };
    let (at, variants) = (point(&[("far_end", &CHAIN.name)]), [threads, relay(&bench.programs)]);
    let records = take_turns(bench, &at, &how(rounds, window), rounds, &variants, |bench, variant, _| {
        measure(bench, variant).map_err(|error| error.to_string())
    })?;
    bench.show(&records, &COLUMNS)
}

fn measure(bench: &Bench<'_>, variant: &Variant) -> io::Result<Figures> {
    let servers =
        bench.start(variant, Start { shape: CHAIN, extra: &[], cpu: None }).map_err(io::Error::other)?;
    let members = servers.herd.members();
    Conversation::with(members[0].client.resolve()?)?.report("linked")?;
    Conversation::with(members[members.len() - 1].client.resolve()?)?.wait_for("linked")?;
    let common = Options { warm_up: Duration::ZERO, duration: bench.window(), ..servers.options(0, variant) };
    let mut figures = Figures::new();
    let name = "moderate".to_owned();
    let moderate = Options { rate: Some(MODERATE), connections: 10, clients: 100, name, ..common.clone() };
    let far = members.len() - 1;
    beside(&servers, far, &moderate, &mut figures)?;
    // One that only passes on has neither a bound on what is on its way nor anything to overtake it with.
    if variant.able.herd {
        // A hundred clients that report again and again, as fast as they are taken.
        let name = "overload".to_owned();
        let overload = Options { connections: 4, depth: 64, clients: 25, name, ..common };
        beside(&servers, far, &overload, &mut figures)?;
    }
    servers.stop().map_err(io::Error::other)?;
    Ok(figures)
}

/// How long updates take from the first server to another beside a load, for as long as it lasts. The far end is asked
/// again and again, with a relay as with servers, so a figure has a question and the pause after it as its grain.
pub(super) fn beside(servers: &Servers, far: usize, load: &Options, figures: &mut Figures) -> io::Result<()> {
    let members = servers.herd.members();
    let over = AtomicBool::new(false);
    let times = scope(|scope| {
        let loading = Builder::new().spawn_scoped(scope, || {
            let outcome = load::run(load);
            over.store(true, Ordering::Relaxed);
            outcome
        })?;
        std::thread::sleep(SETTLING);
        let (first, last) = (members[0].client.resolve()?, members[far].client.resolve()?);
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
