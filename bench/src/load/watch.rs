//! The run as seen from outside: the order to begin, and looks at the server's processes at the right moments.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use indicatif::ProgressBar;

use super::clock;
use super::counters::Window;
use super::error::LoadError;
use super::options::{Mode, Options};
use super::outcome::Server;
use super::pacing::Span;
use super::process::{Process, Switches};
use super::progress;
use super::runner::{Runner, TICK};

/// Between the order to begin and the beginning, so that all threads have read it.
const LEAD: Duration = Duration::from_millis(5);

/// What is seen from outside while the load runs.
pub(super) struct Watched {
    pub(super) window: Window,
    pub(super) generator_cpu_ns: u64,
    pub(super) servers: Vec<Server>,
}

impl Runner<'_> {
    /// Gives the order to begin, and looks at the processes when measuring begins and ends.
    pub(super) fn measure(&self, spans: &[SyncSender<(Span, Window)>]) -> Result<Watched, LoadError> {
        let Options { ramp, warm_up, duration, ref pid, .. } = *self.options;
        let storm = self.options.mode() == Mode::Storm;
        let begin_ns = clock::monotonic_ns() + clock::ns(LEAD);
        let from_ns = begin_ns + clock::ns(ramp + warm_up);
        let window = Window { from_ns, to_ns: from_ns + if storm { 0 } else { clock::ns(duration) } };
        let span = Span { from_ns: begin_ns, to_ns: window.to_ns, ramp_ns: clock::ns(ramp) };
        for part in spans {
            // A thread that has ended says why when it is joined.
            let _ = part.send((span, window));
        }
        if storm {
            return Ok(Watched { window, generator_cpu_ns: 0, servers: self.servers(&self.look()?) });
        }
        let total = ramp + warm_up + duration;
        let bar = progress::bar(total.as_millis() as u64, total).with_message("ms");
        self.wait_until(begin_ns + clock::ns(ramp), begin_ns, &bar);
        let switches: Vec<Switches> = pid.iter().map(|pid| Switches::look(*pid)).collect();
        let replies = self.shared.replies.load(Ordering::Relaxed);
        self.wait_until(window.from_ns, begin_ns, &bar);
        let (cpu_ns, at_first) = (clock::own_cpu_ns(), self.look()?);
        self.wait_until(window.to_ns, begin_ns, &bar);
        let (generator_cpu_ns, at_last) = (clock::own_cpu_ns() - cpu_ns, self.look()?);
        let replies = self.shared.replies.load(Ordering::Relaxed) - replies;
        bar.finish_and_clear();
        let mut servers = self.servers(&at_last);
        for (server, first) in servers.iter_mut().zip(&at_first) {
            server.cpu_seconds = server.end.cpu_seconds - first.cpu_seconds;
        }
        // With a thread for each connection, those that have ended took their counts with them.
        if self.options.mode() != Mode::Churn {
            for (server, first) in servers.iter_mut().zip(&switches) {
                let last = Switches::look(server.pid);
                let since = Switches {
                    voluntary: last.voluntary.saturating_sub(first.voluntary),
                    involuntary: last.involuntary.saturating_sub(first.involuntary),
                };
                server.switches = Some(since);
                let sum = (since.voluntary + since.involuntary) as f64;
                server.switches_per_reply = Some(sum / replies.max(1) as f64);
            }
        }
        Ok(Watched { window, generator_cpu_ns, servers })
    }

    fn wait_until(&self, until_ns: u64, begin_ns: u64, bar: &ProgressBar) {
        loop {
            let now_ns = clock::monotonic_ns();
            if now_ns >= until_ns || self.shared.failed.load(Ordering::Relaxed) {
                return;
            }
            bar.set_position(now_ns.saturating_sub(begin_ns) / 1_000_000);
            std::thread::sleep(Duration::from_nanos(until_ns - now_ns).min(TICK));
        }
    }

    pub(super) fn look(&self) -> Result<Vec<Process>, LoadError> {
        self.options.pid.iter().map(|&pid| Process::look(pid).ok_or(LoadError::Died(pid))).collect()
    }

    fn servers(&self, at_last: &[Process]) -> Vec<Server> {
        let seen = self.options.pid.iter().zip(at_last);
        seen.map(|(&pid, &end)| Server { pid, end, ..Server::default() }).collect()
    }
}
