//! `places`: a provider of places that takes 100 ms. How many questions are answered, and what others notice.

use std::io;
use std::thread::{Builder, scope};
use std::time::Duration;

use proxyherd::config::PLACES_BUDGET_MAX;

use super::address::ALONE;
use super::bench::{Bench, how};
use super::paired_run::{Candidate, PairedRun, load_of, take_turns};
use super::results::{Figures, point};
use super::server::Start;
use super::slow_places::{SlowPlaces, State};
use super::variant::Variant;
use crate::load::{self, Latency, Mix, Options};
use crate::table::Column;

/// How long the provider takes.
const DELAY: Duration = Duration::from_millis(100);

/// As many questions at once as a server lets through to its provider: one more is refused, rather than queued
/// behind a slow provider.
const ASKERS_MAX: u32 = 32;

/// What the others report, a second, and over how many connections.
const REPORTS: (f64, u32) = (500.0, 10);

/// What would bound the answers before the provider does.
const BUDGETS: [&str; 3] =
    ["--places-budget-per-minute", "--places-budget-per-day", "--places-calls-per-address"];

const COLUMNS: [Column<'_>; 4] = [
    ("answers/s", "per_second", 1.0, 0),
    ("others' reports p50, us", "iamat_p50_us", 1.0, 0),
    ("p99, us", "iamat_p99_us", 1.0, 0),
    ("p99 alone, us", "iamat_alone_p99_us", 1.0, 0),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let variants = bench.variants(|able| able.places);
    for askers in bench.either(vec![ASKERS_MAX], vec![8, ASKERS_MAX]) {
        let (rounds, window) = (bench.rounds(1, 3), bench.window());
        let at = point(&[("askers", &askers), ("delay_ms", &DELAY.as_millis())]);
        let records =
            take_turns(bench, &at, &how(rounds, window), rounds, &variants, |bench, variant, _| {
                let state = State::default();
                scope(|scope| {
                    let places =
                        SlowPlaces::start(scope, &state, DELAY).map_err(|error| error.to_string())?;
                    measure(bench, variant, askers, &places)
                })
            })?;
        bench.show(&records, &COLUMNS)?;
    }
    let Some(threads) = bench.variant("threads") else { return Ok(()) };
    for connections in bench.either(vec![16], vec![1, 16, 128]) {
        catalogue(bench, &threads, connections)?;
    }
    Ok(())
}

/// Questions that the built-in catalogue answers, beside reports.
fn catalogue(bench: &mut Bench<'_>, threads: &Variant, connections: u32) -> io::Result<()> {
    let at = point(&[("catalogue", &"yes"), ("connections", &connections)]);
    let report = Candidate::told(threads, "IAMAT", &[]);
    let mix = Mix { iamat: 0, whatsat: 100, stale: 0 };
    let question = Candidate::told(threads, "WHATSAT", &[]).asked(mix);
    let run = PairedRun::new(bench, at, (1, 5), load_of(connections, bench.window()));
    run.candidates(bench, vec![report, question])?;
    Ok(())
}

fn measure(
    bench: &Bench<'_>,
    variant: &Variant,
    askers: u32,
    places: &SlowPlaces<'_>,
) -> Result<Figures, String> {
    let mut extra = ["--places", "google-legacy", "--places-url", &places.url()].map(str::to_owned).to_vec();
    for budget in BUDGETS {
        extra.extend([budget.to_owned(), PLACES_BUDGET_MAX.to_string()]);
    }
    let servers = bench.start(variant, Start { shape: ALONE, extra: &extra, cpu: None })?;
    let common = Options {
        warm_up: Duration::from_millis(500),
        duration: bench.window(),
        ..servers.options(0, variant)
    };
    let asks = Options {
        connections: askers,
        mix: Mix { iamat: 0, whatsat: 100, stale: 0 },
        name: "asker".to_owned(),
        ..common.clone()
    };
    let (rate, connections) = REPORTS;
    let reports = Options { connections, rate: Some(rate), name: "reporter".to_owned(), ..common };
    let run = |options: &Options| load::run(options).map_err(|error| error.to_string());
    let alone = run(&reports)?;
    let (asked, reported) = scope(|scope| {
        let asking = Builder::new().spawn_scoped(scope, || run(&asks)).map_err(|error| error.to_string())?;
        let reported = run(&reports);
        let asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, String>((asked?, reported?))
    })?;
    servers.stop()?;
    if places.answers() < asked.replies {
        let (answers, replies) = (places.answers(), asked.replies);
        return Err(format!("{replies} answers with places, but the provider was asked {answers} times"));
    }
    let mut figures = Figures::from([("per_second".to_owned(), asked.per_second)]);
    for (name, Latency { p50_us, p99_us, max_us, .. }) in
        [("ask", asked.latency), ("iamat", reported.latency), ("iamat_alone", alone.latency)]
    {
        for (end, figure) in [("p50_us", p50_us), ("p99_us", p99_us), ("max_us", max_us)] {
            figures.insert(format!("{name}_{end}"), figure);
        }
    }
    Ok(figures)
}
