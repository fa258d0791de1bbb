//! What a run has found out, as values for files and as a table for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::counters::{Latency, Shares};
use super::process::{Kernel, Process, Switches};

/// The result of one run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// Replies in the measured time, all of them right; for churn and storm, whole conversations.
    pub replies: u64,
    /// The measured time.
    pub seconds: f64,
    /// Replies in a second.
    pub per_second: f64,
    /// From when a request was due (open loop), sent (closed loop) or its connection begun (churn, storm).
    pub latency: Latency,
    /// Open loop only: from when the request was really sent, as a generator that waits for its server
    /// would see it.
    pub uncorrected: Option<Latency>,
    /// Requests that were due but never answered; they count in `latency` with the time they had waited.
    pub unanswered: u64,
    /// Open loop only: the longest that the generator itself was behind, and requests sent over 1 ms late.
    pub late_us_max: f64,
    /// See `late_us_max`.
    pub late: u64,
    /// Closed and open loop: how the replies are shared among the connections that send.
    #[serde(default)]
    pub shares: Option<Shares>,
    /// Connections opened, and how long that took.
    pub opened: u64,
    /// See `opened`.
    pub open_seconds: f64,
    /// Processor time of the generator in the measured time.
    pub generator_cpu_seconds: f64,
    /// Each process that was watched.
    pub servers: Vec<Server>,
    /// What opening the connections has added to the kernel's memory, in bytes per connection, both ends
    /// together.
    pub kernel_bytes_per_connection: f64,
    /// The kernel's memory before connections were opened.
    pub kernel_before: Kernel,
    /// And when all were open.
    pub kernel_open: Kernel,
}

/// One process of the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Server {
    /// Its number.
    pub pid: u32,
    /// Processor time in the measured time.
    pub cpu_seconds: f64,
    /// Per reply.
    pub cpu_us_per_reply: f64,
    /// From the end of the ramp to the end of the run; not for churn, whose threads come and go.
    pub switches: Option<Switches>,
    /// Of both kinds, per reply in that time.
    pub switches_per_reply: Option<f64>,
    /// Resident memory that one connection has added when all were open and idle, in bytes.
    pub rss_bytes_per_connection: f64,
    /// Before connections were opened.
    pub before: Process,
    /// When all were open.
    pub open: Process,
    /// At the end of the measured time.
    pub end: Process,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, what: &str, value: String| writeln!(f, "{what:<26}{value}");
        row(f, "replies, all right", format!("{} in {:.2} s", self.replies, self.seconds))?;
        row(f, "rate", format!("{:.0} /s", self.per_second))?;
        let quantiles = |latency: &Latency| {
            format!(
                "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
                time(latency.p50_us),
                time(latency.p90_us),
                time(latency.p99_us),
                time(latency.p999_us),
                time(latency.max_us)
            )
        };
        row(f, "latency", quantiles(&self.latency))?;
        if let Some(uncorrected) = &self.uncorrected {
            row(f, "  without correction", quantiles(uncorrected))?;
            let late = format!("{} sent over 1 ms late, at most {}", self.late, time(self.late_us_max));
            row(f, "  generator behind", late)?;
        }
        if self.unanswered > 0 {
            row(f, "never answered", self.unanswered.to_string())?;
        }
        if let Some(Shares { least, mean, .. }) = self.shares {
            row(f, "a connection", format!("{mean:.1} replies, the slowest {least}"))?;
        }
        row(f, "connections", format!("{} opened in {:.3} s", self.opened, self.open_seconds))?;
        let cpu = self.generator_cpu_seconds;
        row(f, "generator", format!("{cpu:.2} CPU s ({})", per_reply(cpu, self.replies)))?;
        for server in &self.servers {
            let cpu = server.cpu_seconds;
            row(
                f,
                &format!("server {}", server.pid),
                format!("{cpu:.2} CPU s ({})", per_reply(cpu, self.replies)),
            )?;
            if let (Some(switches), Some(per)) = (server.switches, server.switches_per_reply) {
                let Switches { voluntary, involuntary } = switches;
                row(
                    f,
                    "  context switches",
                    format!("{voluntary} + {involuntary} forced ({per:.2} a reply)"),
                )?;
            }
            row(
                f,
                "  threads",
                format!("{} when open, {} at the end", server.open.threads, server.end.threads),
            )?;
            let (rss, each) = (server.end.rss_kib / 1024, server.rss_bytes_per_connection / 1024.0);
            row(f, "  resident", format!("{rss} MiB, {each:.1} KiB a connection"))?;
        }
        if self.opened == 0 {
            return Ok(());
        }
        let each = self.kernel_bytes_per_connection / 1024.0;
        row(f, "kernel, both ends", format!("{each:.1} KiB a connection (slab, stacks, page tables, TCP)"))
    }
}

fn per_reply(cpu_seconds: f64, replies: u64) -> String {
    format!("{:.2} us a reply", cpu_seconds * 1e6 / replies.max(1) as f64)
}

/// Microseconds in the unit that reads best.
fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0}us"),
        us if us < 1_000_000.0 => format!("{:.2}ms", us / 1e3),
        us => format!("{:.2}s", us / 1e6),
    }
}
