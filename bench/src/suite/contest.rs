//! Variants taking turns at one point: all are started, then every round drives each of them once, so that
//! whatever the machine does meanwhile it does to all.

use std::io;
use std::time::Duration;

use super::address::ALONE;
use super::bench::{Bench, how, label};
use super::results::{Figures, Point, Record};
use super::server::{Servers, Start};
use super::spread::Spread;
use super::variant::Variant;
use crate::crowds::watch::Dropped;
use crate::load::{self, Mix, Options, Outcome, Shares};

/// How long the kernel may take to free what the server before has left: it would be missing from the memory that
/// the next one adds.
const KERNEL_REST: Duration = Duration::from_millis(300);

/// One that takes part.
#[derive(Clone, Debug)]
pub(super) struct Entrant {
    /// What it is called at this point.
    pub(super) name: String,
    pub(super) variant: Variant,
    /// Options for its server.
    pub(super) extra: Vec<String>,
    /// What it is asked, if that is not what the others are.
    pub(super) mix: Option<Mix>,
}

/// A point at which variants are compared.
#[derive(Clone, Debug)]
pub(super) struct Contest {
    pub(super) point: Point,
    pub(super) rounds: u32,
    /// How each is driven; target, protocol and process are filled in.
    pub(super) load: Options,
    /// Whether the servers share one processor and the generator has another.
    pub(super) pinned: bool,
    /// Whether each round has a server of its own, started for it: where memory is measured, what an earlier
    /// round has left behind would count.
    pub(super) fresh: bool,
}

impl Entrant {
    /// A variant as it is.
    pub(super) fn plain(variant: Variant) -> Entrant {
        Entrant { name: variant.name.clone(), variant, extra: Vec::new(), mix: None }
    }

    /// A variant with options for its server, under another name.
    pub(super) fn told(variant: &Variant, name: &str, words: &[&str]) -> Entrant {
        let extra = words.iter().map(ToString::to_string).collect();
        Entrant { name: name.to_owned(), extra, ..Entrant::plain(variant.clone()) }
    }
}

/// What an entrant has shown so far.
struct Showing {
    entrant: Entrant,
    servers: Option<Servers>,
    rounds: Vec<Figures>,
    failed: Option<String>,
}

impl Contest {
    /// Holds the contest unless its results are there already, and keeps them. Ratios are to the first entrant.
    pub(super) fn hold(&self, bench: &mut Bench<'_>, entrants: Vec<Entrant>) -> io::Result<Vec<Record>> {
        let options = how(self.rounds, self.load.duration);
        let done = bench.done(&self.point, &options);
        if entrants.iter().all(|entrant| done.iter().any(|record| record.variant == entrant.name)) {
            bench.say(&format!("{}: done before", label(&self.point)))?;
            return Ok(done);
        }
        let start = |entrant| Showing { entrant, servers: None, rounds: Vec::new(), failed: None };
        let mut showings: Vec<Showing> = entrants.into_iter().map(start).collect();
        if !self.fresh {
            for showing in &mut showings {
                self.start(bench, showing);
            }
        }
        for round in 0..self.rounds as usize {
            // Nobody is always the first: the processor's clock and the kernel's queues remember.
            let count = showings.len();
            for at in 0..count {
                self.play(bench, &mut showings[(at + round) % count]);
            }
        }
        let mut records = Vec::new();
        let base: Vec<f64> = showings.first().map_or(Vec::new(), |first| rates(&first.rounds));
        for mut showing in showings {
            self.stop(&mut showing);
            let Showing { entrant, rounds, failed, .. } = showing;
            if let Some(why) = &failed {
                bench.fail(&format!("{} at {}", entrant.name, label(&self.point)), why)?;
            }
            let ratio = Spread::of_ratios(&rates(&rounds), &base);
            let (point, variant, options) = (self.point.clone(), entrant.name, options.clone());
            let record = Record { point, variant, options, rounds, ratio, failed, ..Record::default() };
            bench.keep(record.clone())?;
            records.push(record);
        }
        bench.say(&format!("{}: {}", label(&self.point), summary(&records)))?;
        Ok(records)
    }

    fn start(&self, bench: &Bench<'_>, showing: &mut Showing) {
        let start = Start { shape: ALONE, extra: &showing.entrant.extra, cpu: self.pinned.then_some(0) };
        match bench.start(&showing.entrant.variant, start) {
            Ok(servers) => showing.servers = Some(servers),
            Err(why) => showing.failed = Some(why),
        }
    }

    fn play(&self, bench: &Bench<'_>, showing: &mut Showing) {
        if showing.failed.is_some() {
            return;
        }
        if self.fresh {
            self.start(bench, showing);
            std::thread::sleep(KERNEL_REST);
        }
        let Some(servers) = &showing.servers else { return };
        let Options { target, protocol, pid, .. } = servers.options(0, &showing.entrant.variant);
        let cpu = self.pinned.then_some(1);
        let mix = showing.entrant.mix.unwrap_or(self.load.mix);
        let dropped = Dropped::look();
        match load::run(&Options { target, protocol, pid, cpu, mix, ..self.load.clone() }) {
            Ok(outcome) => {
                let mut figures = figures(&outcome);
                let Dropped { overflows, drops } = Dropped::look().since(dropped);
                figures.insert("listen_overflows".to_owned(), overflows as f64);
                figures.insert("listen_drops".to_owned(), drops as f64);
                showing.rounds.push(figures);
            }
            Err(error) => {
                showing.failed = Some(error.to_string());
                showing.servers = None;
            }
        }
        if self.fresh {
            self.stop(showing);
        }
    }

    fn stop(&self, showing: &mut Showing) {
        if let Some(Err(why)) = showing.servers.take().map(Servers::stop) {
            showing.failed.get_or_insert(why);
        }
    }
}

/// A load with this many connections, and what all suites have in common.
pub(super) fn load_of(connections: u32, window: Duration) -> Options {
    Options { connections, warm_up: Duration::from_millis(300), duration: window, ..Options::default() }
}

/// The figures of a run that are worth keeping.
pub(super) fn figures(outcome: &Outcome) -> Figures {
    let latency = outcome.latency;
    let mut figures: Vec<(&str, f64)> = vec![
        ("per_second", outcome.per_second),
        ("p50_us", latency.p50_us),
        ("p90_us", latency.p90_us),
        ("p99_us", latency.p99_us),
        ("p999_us", latency.p999_us),
        ("max_us", latency.max_us),
        ("unanswered", outcome.unanswered as f64),
        ("open_seconds", outcome.open_seconds),
        ("generator_cpu_us", outcome.generator_cpu_seconds * 1e6 / outcome.replies.max(1) as f64),
        ("kernel_bytes_per_connection", outcome.kernel_bytes_per_connection),
    ];
    if outcome.uncorrected.is_some() {
        figures.push(("late", outcome.late as f64));
    }
    if let Some(Shares { least, mean, answered, .. }) = outcome.shares {
        figures.extend([
            ("least_per_connection", least as f64),
            ("mean_per_connection", mean),
            ("connections_answered", answered as f64),
        ]);
    }
    if let Some(server) = outcome.servers.first() {
        figures.extend([
            ("server_cpu_us", outcome.servers.iter().map(|server| server.cpu_us_per_reply).sum()),
            ("server_cpu_seconds_per_second", server.cpu_seconds / outcome.seconds),
            ("rss_kib", server.end.rss_kib as f64),
            ("rss_bytes_per_connection", server.rss_bytes_per_connection),
            ("threads", server.open.threads as f64),
        ]);
        figures.extend(server.switches_per_reply.map(|switches| ("switches", switches)));
    }
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

fn rates(rounds: &[Figures]) -> Vec<f64> {
    rounds.iter().map(|round| round.get("per_second").copied().unwrap_or(f64::NAN)).collect()
}

/// The rates, and behind each its ratio to the first, for people. A question mark says that the rounds do not
/// agree on who is faster.
fn summary(records: &[Record]) -> String {
    let first = records.first().map(|record| record.variant.clone());
    let one = |record: &Record| {
        let rate =
            record.spread("per_second").map_or("-".to_owned(), |spread| format!("{:.0}", spread.median));
        let ratio = record.ratio.filter(|_| first.as_deref() != Some(&record.variant)).map_or(
            String::new(),
            |ratio| {
                let doubt = if ratio.agrees_about(1.0) || record.rounds.len() < 2 { "" } else { "?" };
                format!(" ({:.2}{doubt}, {:.2}..{:.2})", ratio.median, ratio.min, ratio.max)
            },
        );
        format!("{} {rate}/s{ratio}", record.variant)
    };
    records.iter().map(one).collect::<Vec<_>>().join("  ")
}
