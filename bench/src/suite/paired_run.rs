//! Variants that take turns at one point: every round measures each of them once, so that whatever the machine does
//! meanwhile it does to all.

use std::io;
use std::time::Duration;

use super::address::ALONE;
use super::bench::{Bench, how};
use super::results::{Figures, Point, Record, label};
use super::server::{Servers, Start};
use super::stats::Stats;
use super::variant::Variant;
use crate::abusive_clients::watch::Dropped;
use crate::load::{self, Mix, Options, Outcome, Shares};

/// How long the kernel may take to free what the server before has left: it would be missing from the memory that
/// the next one adds.
const KERNEL_REST: Duration = Duration::from_millis(300);

/// With fewer replies of a connection in the mean, one that has waited a little longer counts for too much.
const FAIRNESS_REPLIES_MIN: f64 = 100.0;

/// One that takes part.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its name at this point.
    name: String,
    variant: Variant,
    /// Options for its server.
    extra: Vec<String>,
    /// What it is asked, if that is not what the others are.
    mix: Option<Mix>,
    /// Whether its TLS sessions are resumed.
    resumes: bool,
}

/// A point at which candidates are compared under load.
#[derive(Clone, Debug)]
pub(super) struct PairedRun {
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

/// The rounds of one candidate so far.
#[derive(Debug, Default)]
struct Samples {
    rounds: Vec<Figures>,
    failed: Option<String>,
}

impl Candidate {
    /// A variant as it is.
    pub(super) fn plain(variant: Variant) -> Candidate {
        Candidate { name: variant.name.clone(), variant, extra: Vec::new(), mix: None, resumes: false }
    }

    /// This candidate, asked something else than the others.
    pub(super) fn asked(self, mix: Mix) -> Candidate {
        Candidate { mix: Some(mix), ..self }
    }

    /// This candidate, whose TLS sessions are resumed, under another name.
    pub(super) fn resumed(self, name: &str) -> Candidate {
        Candidate { name: name.to_owned(), resumes: true, ..self }
    }

    /// A variant with options for its server, under another name.
    pub(super) fn told(variant: &Variant, name: &str, words: &[&str]) -> Candidate {
        let extra = words.iter().map(ToString::to_string).collect();
        Candidate { name: name.to_owned(), extra, ..Candidate::plain(variant.clone()) }
    }
}

impl PairedRun {
    /// A run with these numbers of rounds in the small and in the full form, unless the user has said otherwise.
    pub(super) fn new(bench: &Bench<'_>, point: Point, rounds: (u32, u32), load: Options) -> PairedRun {
        let rounds = bench.rounds(rounds.0, rounds.1);
        PairedRun { point, rounds, load, pinned: false, fresh: false }
    }

    /// Compares variants as they are. Ratios are to the first.
    pub(super) fn variants(&self, bench: &mut Bench<'_>, variants: Vec<Variant>) -> io::Result<Vec<Record>> {
        self.candidates(bench, variants.into_iter().map(Candidate::plain).collect())
    }

    /// Compares candidates unless their results are there already, and keeps them. Ratios are to the first.
    pub(super) fn candidates(
        &self,
        bench: &mut Bench<'_>,
        candidates: Vec<Candidate>,
    ) -> io::Result<Vec<Record>> {
        let options = how(self.rounds, self.load.duration);
        let names: Vec<&str> = candidates.iter().map(|it| it.name.as_str()).collect();
        if let Some(done) = done_before(bench, &self.point, &options, &names)? {
            return Ok(done);
        }
        let mut samples: Vec<Samples> = names.iter().map(|_| Samples::default()).collect();
        let mut servers: Vec<Option<Servers>> = Vec::new();
        for (one, samples) in candidates.iter().zip(&mut samples) {
            let started = if self.fresh { Ok(None) } else { self.start(bench, one).map(Some) };
            servers.push(samples.take(started).flatten());
        }
        for (_, at) in turns(self.rounds, candidates.len()) {
            let (one, samples) = (&candidates[at], &mut samples[at]);
            if samples.failed.is_some() {
                continue;
            }
            if self.fresh {
                servers[at] = samples.take(self.start(bench, one));
                std::thread::sleep(KERNEL_REST);
            }
            let Some(running) = &servers[at] else { continue };
            match samples.take(self.measure(one, running)) {
                Some(figures) => samples.rounds.push(figures),
                None => servers[at] = None,
            }
            if self.fresh {
                samples.take(servers[at].take().map_or(Ok(Vec::new()), Servers::stop));
            }
        }
        for (servers, samples) in servers.into_iter().zip(&mut samples) {
            samples.take(servers.map_or(Ok(Vec::new()), Servers::stop));
        }
        let records = keep(bench, &self.point, &options, &names, samples)?;
        bench.say(&format!("{}: {}", label(&self.point), summary(&records)))?;
        Ok(records)
    }

    fn start(&self, bench: &Bench<'_>, one: &Candidate) -> Result<Servers, String> {
        bench.start(&one.variant, Start { shape: ALONE, extra: &one.extra, cpu: self.pinned.then_some(0) })
    }

    fn measure(&self, one: &Candidate, servers: &Servers) -> Result<Figures, String> {
        let Options { target, protocol, pid, ca, .. } = servers.options(0, &one.variant);
        let (cpu, mix) = (self.pinned.then_some(1), one.mix.unwrap_or(self.load.mix));
        let dropped = Dropped::look();
        let load = Options { target, protocol, pid, ca, cpu, mix, resume: one.resumes, ..self.load.clone() };
        let mut figures = figures(&load::run(&load).map_err(|error| error.to_string())?);
        let Dropped { overflows, drops } = Dropped::look().since(dropped);
        figures.insert("listen_overflows".to_owned(), overflows as f64);
        figures.insert("listen_drops".to_owned(), drops as f64);
        Ok(figures)
    }
}

impl Samples {
    /// What came of a step; the first that fails is the last.
    fn take<T>(&mut self, step: Result<T, String>) -> Option<T> {
        match step {
            Ok(value) => Some(value),
            Err(why) => {
                self.failed.get_or_insert(why);
                None
            }
        }
    }
}

/// What has a name in results.
pub(super) trait Named {
    fn name(&self) -> &str;
}

impl Named for Variant {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Measures `rounds` times each of `variants` at a point, in turn, unless its results are there already, and keeps
/// them. `measure` starts and stops what it needs itself, and is told the round. Ratios are of `per_second`, to the
/// first variant.
pub(super) fn take_turns<V: Named>(
    bench: &mut Bench<'_>,
    point: &Point,
    options: &Point,
    rounds: u32,
    variants: &[V],
    mut measure: impl FnMut(&mut Bench<'_>, &V, u32) -> Result<Figures, String>,
) -> io::Result<Vec<Record>> {
    let names: Vec<&str> = variants.iter().map(Named::name).collect();
    if let Some(done) = done_before(bench, point, options, &names)? {
        return Ok(done);
    }
    let mut samples: Vec<Samples> = names.iter().map(|_| Samples::default()).collect();
    for (round, at) in turns(rounds, variants.len()) {
        let samples = &mut samples[at];
        if samples.failed.is_none() {
            let round = samples.take(measure(bench, &variants[at], round));
            samples.rounds.extend(round);
        }
    }
    keep(bench, point, options, &names, samples)
}

/// The order of all rounds. No variant is always the first: the processor's clock and the kernel's queues remember.
fn turns(rounds: u32, count: usize) -> impl Iterator<Item = (u32, usize)> {
    (0..rounds).flat_map(move |round| (0..count).map(move |at| (round, (at + round as usize) % count)))
}

fn done_before(
    bench: &mut Bench<'_>,
    point: &Point,
    options: &Point,
    names: &[&str],
) -> io::Result<Option<Vec<Record>>> {
    let done = bench.done(point, options);
    if !names.iter().all(|name| done.iter().any(|record| record.variant == *name)) {
        return Ok(None);
    }
    bench.say(&format!("{}: done before", label(point)))?;
    Ok(Some(done))
}

fn keep(
    bench: &mut Bench<'_>,
    point: &Point,
    options: &Point,
    names: &[&str],
    samples: Vec<Samples>,
) -> io::Result<Vec<Record>> {
    let base = samples.first().map_or(Vec::new(), |first| rates(&first.rounds));
    let mut records = Vec::new();
    for (name, Samples { rounds, failed }) in names.iter().zip(samples) {
        if let Some(why) = &failed {
            bench.fail(&format!("{name} at {}", label(point)), why)?;
        }
        let ratio = Stats::of_ratios(&rates(&rounds), &base);
        let (point, variant, options) = (point.clone(), (*name).to_owned(), options.clone());
        let record = Record { point, variant, options, rounds, ratio, failed, ..Record::default() };
        bench.keep(record.clone())?;
        records.push(record);
    }
    Ok(records)
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
        figures.extend((mean >= FAIRNESS_REPLIES_MIN).then(|| ("slowest_of_mean", least as f64 / mean)));
    }
    if let Some(server) = outcome.servers.first() {
        let (rss, kernel) = (server.rss_bytes_per_connection, outcome.kernel_bytes_per_connection);
        figures.extend([
            ("server_cpu_us", outcome.servers.iter().map(|server| server.cpu_us_per_reply).sum()),
            ("server_cpu_seconds_per_second", server.cpu_seconds / outcome.seconds),
            ("rss_kib", server.end.rss_kib as f64),
            ("rss_bytes_per_connection", rss),
            ("kib_per_connection", (rss + kernel) / 1024.0),
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
    let one = |(at, record): (usize, &Record)| {
        let rate = record.stats("per_second").map_or("-".to_owned(), |stats| format!("{:.0}", stats.median));
        let ratio = record.ratio.filter(|_| at > 0).map_or(String::new(), |ratio| {
            let is_sure = ratio.agrees_about(1.0) || record.rounds.len() < 2;
            format!(" {ratio:.2}{}", if is_sure { "" } else { "?" })
        });
        format!("{} {rate}/s{ratio}", record.variant)
    };
    records.iter().enumerate().map(one).collect::<Vec<_>>().join("  ")
}
