//! A whole run: open, warm up, measure, and look at the server's processes at the right moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{Builder, ScopedJoinHandle, scope};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::clock;
use super::counters::{Counters, Latency, Shares, Window};
use super::engine::{Engine, Shared};
use super::error::LoadError;
use super::options::{Mode, Options};
use super::outcome::Outcome;
use super::pacing::{DRAIN_MAX, Span};
use super::process::{Kernel, Process};
use super::progress;
use super::request::Script;
use super::sharding::Shard;
use super::target;
use super::tls::Trust;
use super::watch::Watched;

/// Connections that may wait for their first reply at once while all are being opened. Less than the shortest
/// queue that a server gives the kernel, or a lost SYN would cost a second.
const OPENING_AT_ONCE: usize = 64;

/// How often the progress bar moves.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long a server that has hung up may take to be gone.
const DYING_MAX: Duration = Duration::from_millis(300);

/// Drives a server as `options` say.
///
/// # Errors
/// If it does not answer, answers wrongly, hangs up or dies, and before it is driven if there is no room for
/// the load or the target is on another machine.
pub fn run(options: &Options) -> Result<Outcome, LoadError> {
    options.check()?;
    let address = target::resolve(options)?;
    target::make_room(options.connections)?;
    let shared = Shared {
        target: address,
        sources: target::sources(options, address)?,
        trust: Trust::of(options)?,
        replies: AtomicU64::new(0),
        opened: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    Runner { options, shared: &shared }.run().map_err(|error| explain(options, error))
}

/// Runs one load.
pub(super) struct Runner<'a> {
    pub(super) options: &'a Options,
    pub(super) shared: &'a Shared,
}

impl Runner<'_> {
    fn run(&self) -> Result<Outcome, LoadError> {
        let Options { connections, threads, .. } = *self.options;
        let (before, kernel_before) = (self.look()?, Kernel::look());
        let script = Arc::new(Script::new(self.options, clock::wall_ns()));
        scope(|scope| {
            let (opened, openings) = channel();
            let mut spans = Vec::new();
            let mut engines: Vec<ScopedJoinHandle<'_, Result<Counters, LoadError>>> = Vec::new();
            for part in 0..threads {
                let (span, spans_of_part) = sync_channel(1);
                spans.push(span);
                let (script, opened) = (Arc::clone(&script), opened.clone());
                let share = Shard::of(part, threads, connections, self.options.active());
                let engine = Builder::new().name(format!("load-{part}")).spawn_scoped(scope, move || {
                    let done = self.engine(&script, share, opened, &spans_of_part);
                    if done.is_err() {
                        self.shared.failed.store(true, Ordering::Relaxed);
                    }
                    done
                });
                engines.push(engine.map_err(LoadError::system("starting a thread"))?);
            }
            drop(opened);
            let began_ns = clock::monotonic_ns();
            let all_open = self.wait_until_open(&openings);
            let open_seconds = seconds(clock::monotonic_ns() - began_ns);
            let (open, kernel_open) = (self.look(), Kernel::look());
            let watched = if all_open { Some(self.measure(&spans)) } else { None };
            if matches!(watched, Some(Err(_))) {
                self.shared.failed.store(true, Ordering::Relaxed);
            }
            drop(spans);
            let mut counters: Option<Counters> = None;
            for engine in engines {
                let part = engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                match &mut counters {
                    Some(counters) => counters.add(&part),
                    None => counters = Some(part),
                }
            }
            let counters = counters.unwrap_or_else(|| Counters::new(Window { from_ns: 0, to_ns: 0 }, false));
            let Watched { window, generator_cpu_ns, servers } =
                watched.unwrap_or_else(|| Err(LoadError::Usage("a thread has ended early".to_owned())))?;
            let mut outcome = Outcome {
                open_seconds,
                generator_cpu_seconds: seconds(generator_cpu_ns),
                servers,
                kernel_before,
                kernel_open,
                ..Outcome::default()
            };
            self.fill(&mut outcome, &counters, window, &before, &open?)?;
            Ok(outcome)
        })
    }

    /// The work of one thread.
    fn engine(
        &self,
        script: &Arc<Script>,
        share: Shard,
        opened: Sender<()>,
        spans: &Receiver<(Span, Window)>,
    ) -> Result<Counters, LoadError> {
        if let Some(cpu) = self.options.cpu {
            let mut only = CpuSet::new();
            only.set(cpu);
            let pinned = sched_setaffinity(None, &only);
            pinned.map_err(|error| LoadError::system("staying on one processor")(error.into()))?;
        }
        let mode = self.options.mode();
        let always = Counters::new(Window { from_ns: 0, to_ns: u64::MAX }, false);
        let Shard { first, count, active } = share;
        let mut engine = Engine::new(self.shared, script, first, count, self.options.clients, always)?;
        match mode {
            Mode::Closed(_) | Mode::Open(_) => engine.open(OPENING_AT_ONCE, |_, _, _| {})?,
            Mode::Storm => engine.open(usize::MAX, Counters::conversed)?,
            Mode::Churn => {}
        }
        // The runner sees either this or that the thread has ended.
        let _ = opened.send(());
        drop(opened);
        let Ok((span, window)) = spans.recv() else { return Ok(engine.counters) };
        match mode {
            Mode::Closed(depth) => {
                engine.counters = Counters::new(window, false);
                engine.closed(span, depth, active)?;
            }
            Mode::Open(rate) => {
                engine.counters = Counters::new(window, true);
                let share = rate * active as f64 / f64::from(self.options.active());
                engine.paced(span, share, active)?;
            }
            Mode::Churn => {
                engine.counters = Counters::new(window, false);
                engine.churn(span)?;
            }
            Mode::Storm => {}
        }
        if matches!(mode, Mode::Closed(_) | Mode::Open(_)) {
            engine.counters.shares = Shares::of(engine.connections[..active].iter().map(|it| it.counted));
        }
        Ok(engine.counters)
    }

    /// Waits until every thread has opened its share; `false` if one has failed.
    fn wait_until_open(&self, openings: &Receiver<()>) -> bool {
        let bar = progress::bar(self.options.connections.into(), Duration::from_secs(1)).with_message("open");
        let mut done = 0;
        loop {
            match openings.recv_timeout(TICK) {
                Ok(()) => done += 1,
                Err(RecvTimeoutError::Timeout) => {
                    bar.set_position(self.shared.opened.load(Ordering::Relaxed))
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        bar.finish_and_clear();
        done == self.options.threads
    }

    /// Puts together what was counted inside and seen from outside.
    fn fill(
        &self,
        outcome: &mut Outcome,
        counters: &Counters,
        window: Window,
        before: &[Process],
        open: &[Process],
    ) -> Result<(), LoadError> {
        let mode = self.options.mode();
        if counters.unanswered > 0 && !matches!(mode, Mode::Open(_)) {
            let (address, seconds) = (self.shared.target, DRAIN_MAX.as_secs());
            return Err(LoadError::Silent { address, seconds, waiting: counters.unanswered });
        }
        outcome.replies = counters.replies;
        outcome.seconds = match mode {
            Mode::Storm => outcome.open_seconds,
            Mode::Closed(_) | Mode::Open(_) | Mode::Churn => seconds(window.to_ns - window.from_ns),
        };
        outcome.per_second = counters.replies as f64 / outcome.seconds;
        outcome.latency = Latency::of(&counters.latency);
        outcome.uncorrected = matches!(mode, Mode::Open(_)).then(|| Latency::of(&counters.service));
        outcome.unanswered = counters.unanswered;
        outcome.late_us_max = (counters.late_ns_max / 1_000) as f64;
        outcome.late = counters.late;
        outcome.shares = counters.shares;
        outcome.opened = self.shared.opened.load(Ordering::Relaxed);
        let opened = outcome.opened.max(1) as f64;
        let kernel_kib = outcome.kernel_open.sum_kib() as f64 - outcome.kernel_before.sum_kib() as f64;
        if outcome.opened > 0 {
            outcome.kernel_bytes_per_connection = kernel_kib * 1024.0 / opened;
        }
        for ((server, before), open) in outcome.servers.iter_mut().zip(before).zip(open) {
            (server.before, server.open) = (*before, *open);
            server.rss_bytes_per_connection = (open.rss_kib as f64 - before.rss_kib as f64) * 1024.0 / opened;
            server.cpu_us_per_reply = server.cpu_seconds * 1e6 / counters.replies.max(1) as f64;
        }
        Ok(())
    }
}

/// A server that hangs up because it is gone has died, which says more.
fn explain(options: &Options, error: LoadError) -> LoadError {
    if !matches!(error, LoadError::HungUp { .. } | LoadError::Connect { .. }) || options.pid.is_empty() {
        return error;
    }
    std::thread::sleep(DYING_MAX);
    let gone = options.pid.iter().find(|pid| Process::look(**pid).is_none());
    gone.map_or(error, |&pid| LoadError::Died(pid))
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
