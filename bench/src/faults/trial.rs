//! One fault, one time: a fresh herd under load, the fault, its end, and how long the servers take to agree.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use proxyherd::config::Member;

use super::agreement::{Found, Survey};
use super::delay;
use super::fault::{Fault, What, dropped, steps};
use super::herd::{Servers, wait_until_linked};
use super::history::History;
use super::namespace::OWN_FOLDER;
use super::network::Network;
use super::options::Options;
use super::reporters::Reporter;
use crate::load::clock;

/// How long the servers may take to agree. With half of all packets lost more than two minutes have been seen; one that
/// takes longer than this never would, as far as anybody waiting can tell.
pub(super) const CONVERGE_WAIT_MAX: Duration = Duration::from_secs(300);

/// A trial counts if this number of reports a second was acknowledged before the fault.
const PER_SECOND_MIN: f64 = 1_000.0;

/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Load over which the rate before the fault is taken.
const BEFORE: Duration = Duration::from_millis(1_500);

/// Between two surveys: the grain of the time to converge, beside the survey itself.
const LOOK: Duration = Duration::from_millis(20);

/// What all trials of a fault are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) options: &'a Options,
    /// The server.
    pub(super) program: &'a Path,
    pub(super) network: &'a Network,
    pub(super) fault: &'a Fault,
}

/// What a trial has shown.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Reports in all.
    pub(super) acknowledged: u64,
    /// Reports before the fault.
    pub(super) per_second_before: f64,
    /// Clients whose latest acknowledged report no server knows any more.
    pub(super) lost: usize,
    /// From the end of the fault, or of the load, until all servers were known to agree; `None` if they did not.
    pub(super) converge_seconds: Option<f64>,
    /// Warnings in the logs of all servers.
    pub(super) warnings: u64,
    /// Clients that not all servers said the same of, and servers that did not answer, in the last survey.
    differing: usize,
    silent: usize,
}

impl Trial {
    /// Whether there was enough load.
    pub(super) fn counts(&self) -> bool {
        self.per_second_before >= PER_SECOND_MIN
    }

    /// Why it does not count, if it does not.
    pub(super) fn too_slow(&self) -> String {
        format!("{:.0} reports/s before the fault, {PER_SECOND_MIN} are needed", self.per_second_before)
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged, {:.0}/s before, ", self.acknowledged, self.per_second_before)?;
        write!(f, "{} lost, {} warnings, ", self.lost, self.warnings)?;
        match self.converge_seconds {
            Some(seconds) => write!(f, "converged in {seconds:.2} s")?,
            None => {
                let wait_s = CONVERGE_WAIT_MAX.as_secs();
                let (differing, silent) = (self.differing, self.silent);
                write!(
                    f,
                    "NOT CONVERGED in {wait_s} s: {differing} clients differ, {silent} servers are silent"
                )?;
            }
        }
        if self.counts() { Ok(()) } else { write!(f, "; does not count: {}", self.too_slow()) }
    }
}

impl<'a> Setting<'a> {
    /// Tries the fault once.
    ///
    /// # Errors
    /// If it cannot be tried, or a server ends or lies; the sentence says how.
    pub(super) fn trial(&self, round: u32) -> Result<Trial, String> {
        let tried = self.try_once(round);
        // One that failed halfway must not spoil the next. After one that did not there is no delay left to end.
        if matches!(self.fault.what, What::Delay(_)) && tried.is_err() {
            let _ = delay::end(self.network);
        }
        let healed = self.network.heal();
        tried.and_then(|trial| healed.map(|()| trial))
    }

    fn try_once(&self, round: u32) -> Result<Trial, String> {
        let folder = self.options.logs.clone().unwrap_or_else(|| PathBuf::from(OWN_FOLDER).join("herd"));
        let folder = folder.join(format!("{}-{}", self.fault.name, round + 1));
        let herd = &self.network.herd;
        let mut servers = Servers::start(self.network, self.program, &folder)?;
        wait_until_linked(herd).map_err(|why| match servers.check() {
            Ok(()) => format!("the herd does not come up: {why}"),
            Err(ended) => ended,
        })?;
        let seconds = (WARM_UP + BEFORE + self.fault.lasts).as_secs();
        let history = History::new(self.options.clients as usize, seconds * u64::from(self.options.rate));
        let history = Mutex::new(history);
        let mut survey = Survey::new(herd, &history.lock().names());
        let (load_over, delay_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let (per_second_before, found, converge_seconds) = thread::scope(|scope| {
            let _ended = [Raised(&load_over), Raised(&delay_over)];
            let reporters = self.reporters(scope, &history, &load_over)?;
            thread::sleep(WARM_UP);
            let before = (history.lock().acknowledged(), clock::monotonic_ns());
            thread::sleep(BEFORE);
            let reports = history.lock().acknowledged() - before.0;
            let seconds = seconds_since(before.1);
            let mut chance = fastrand::Rng::with_seed(self.options.seed + u64::from(round));
            self.fault(scope, &mut servers, &delay_over, &mut chance)?;
            let healed_ns = clock::monotonic_ns();
            load_over.store(true, Ordering::Relaxed);
            let (found, converge_seconds) = converge(&mut servers, &mut survey, &reporters, healed_ns)?;
            for reporter in reporters {
                reporter.join().map_err(|_| "a reporter has panicked".to_owned())??;
            }
            Ok::<_, String>((reports as f64 / seconds, found, converge_seconds))
        })?;
        self.network.heal()?;
        let warnings = servers.stop()?;
        let history = history.into_inner();
        Ok(Trial {
            acknowledged: history.acknowledged(),
            per_second_before,
            lost: history.lost(&found.known_ns),
            converge_seconds,
            warnings,
            differing: found.differing,
            silent: found.silent,
        })
    }

    fn reporters<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        history: &'scope Mutex<History>,
        over: &'scope AtomicBool,
    ) -> Result<Vec<ScopedJoinHandle<'scope, Result<(), String>>>, String>
    where
        'a: 'scope,
    {
        let members = self.network.herd.members();
        let rate = f64::from(self.options.rate) / members.len() as f64;
        let spawn = |member: &'a Member| {
            let address = member.client.resolve().map_err(|error| error.to_string())?;
            let name = member.name.as_str();
            let reporter = Reporter { name, address, history, rate, over };
            let builder = Builder::new().name(format!("reports-{name}"));
            builder.spawn_scoped(scope, || reporter.run()).map_err(|error| format!("no thread: {error}"))
        };
        members.iter().map(spawn).collect()
    }

    /// Does what the fault does, for as long as it lasts, and undoes it unless it stays.
    fn fault<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        servers: &mut Servers<'_>,
        delay_over: &'scope AtomicBool,
        chance: &mut fastrand::Rng,
    ) -> Result<(), String>
    where
        'a: 'scope,
    {
        let Fault { what, lasts, .. } = *self.fault;
        match what {
            What::Nothing => thread::sleep(lasts),
            What::Kill(at) => {
                servers.kill(at)?;
                thread::sleep(lasts);
                servers.restart(at)?;
            }
            What::CutAndKill(at) => {
                self.network.cut(&dropped(what))?;
                thread::sleep(lasts);
                servers.kill(at)?;
                self.network.heal()?;
                servers.restart(at)?;
            }
            What::Freeze(at) => {
                servers.freeze(at);
                thread::sleep(lasts);
                servers.thaw(at);
            }
            What::Partition(_) | What::OneWay(..) | What::HalfOpen(..) => {
                self.network.cut(&dropped(what))?;
                thread::sleep(lasts);
            }
            What::Loss(percent) => {
                self.network.lose(percent)?;
                thread::sleep(lasts);
            }
            What::Delay(wait) => {
                delay::begin(scope, self.network, wait, delay_over)?;
                thread::sleep(lasts);
                delay::end(self.network)?;
                delay_over.store(true, Ordering::Relaxed);
            }
            What::Rolling | What::Swizzle => {
                let steps = steps(what, chance);
                for step in &steps {
                    self.network.cut(step)?;
                    thread::sleep(lasts / steps.len() as u32);
                }
            }
        }
        if what.stays() { Ok(()) } else { self.network.heal() }
    }
}

/// Asks until all servers agree, with no report on its way any more, or until it has taken too long.
fn converge(
    servers: &mut Servers<'_>,
    survey: &mut Survey,
    reporters: &[ScopedJoinHandle<'_, Result<(), String>>],
    healed_ns: u64,
) -> Result<(Found, Option<f64>), String> {
    loop {
        // Asked first: what is reported during a survey may be in no answer.
        let is_drained = reporters.iter().all(ScopedJoinHandle::is_finished);
        let found = survey.ask();
        let seconds = seconds_since(healed_ns);
        servers.check()?;
        if is_drained && found.agreed {
            return Ok((found, Some(seconds)));
        }
        if seconds > CONVERGE_WAIT_MAX.as_secs_f64() {
            return Ok((found, None));
        }
        thread::sleep(LOOK);
    }
}

fn seconds_since(start_ns: u64) -> f64 {
    (clock::monotonic_ns() - start_ns) as f64 / clock::NS_PER_SECOND as f64
}

/// A flag that is raised when this is dropped, so that threads end whichever way their scope is left.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
