//! `places`: a provider of places that takes 100 ms. How many questions are answered, and what others notice.

use std::io;
use std::thread::{Builder, scope};
use std::time::Duration;

use super::address::ALONE;
use super::bench::{Bench, how};
use super::results::{Figures, point};
use super::server::Start;
use super::slow_places::{SlowPlaces, State};
use super::turns::take_turns;
use super::variant::Variant;
use crate::load::{self, Latency, Options};

/// How long the provider takes.
const DELAY: Duration = Duration::from_millis(100);

/// As many questions at once as a server lets through to its provider: one more is refused, rather than queued
/// behind a slow provider.
const ASKERS_MAX: u32 = 32;

/// What the others report, a second, over so many connections.
const REPORTS: (f64, u32) = (500.0, 10);

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let variants = bench.variants(|able| able.places);
    for askers in bench.either(vec![ASKERS_MAX], vec![8, ASKERS_MAX]) {
        let (rounds, window) = (bench.rounds(1, 3), bench.window());
        let at = point(&[("askers", askers.to_string()), ("delay_ms", DELAY.as_millis().to_string())]);
        let records = take_turns(bench, &at, &how(rounds, window), rounds, &variants, |bench, variant| {
            let state = State::default();
            scope(|scope| {
                let places = SlowPlaces::start(scope, &state, DELAY).map_err(|error| error.to_string())?;
                measure(bench, variant, askers, &places)
            })
        })?;
        for record in records {
            let figure = |name| record.spread(name).map_or("-".to_owned(), |it| format!("{:.0}", it.median));
            bench.say(&format!(
                "{askers} askers: {:<16} {} answers/s of {} possible; \
                 others' reports p50 {} us, p99 {} us (alone {} us)",
                record.variant,
                figure("per_second"),
                u128::from(askers) * 1_000 / DELAY.as_millis(),
                figure("iamat_p50_us"),
                figure("iamat_p99_us"),
                figure("iamat_alone_p99_us"),
            ))?;
        }
    }
    Ok(())
}

fn measure(
    bench: &Bench<'_>,
    variant: &Variant,
    askers: u32,
    places: &SlowPlaces<'_>,
) -> Result<Figures, String> {
    let extra = ["--places", "google-legacy", "--places-url", &places.url()].map(str::to_owned);
    let servers = bench.start(variant, Start { shape: ALONE, extra: &extra, cpu: None })?;
    let common = Options {
        warm_up: Duration::from_millis(500),
        duration: bench.window(),
        ..servers.options(0, variant)
    };
    let asks = Options {
        connections: askers,
        mix: "iamat=0,whatsat=100,stale=0".parse()?,
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
