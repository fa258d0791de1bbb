//! What is to be measured, how thoroughly, and where the results go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::abusive_clients::behaviour::Behaviour;

/// A suite, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Name {
    /// Throughput by connections and pipeline depth.
    Grid,
    /// Thousands of connections, a hundred of them active.
    Idle,
    /// Latency at fixed rates up to saturation.
    Open,
    /// Connections that come and go, and storms of them.
    Churn,
    /// Memory of an idle connection.
    Memory,
    /// Five servers: updates a second, propagation, messages and bytes.
    Herd,
    /// A provider of places that takes 100 ms, and what that does to others; questions beside reports.
    Places,
    /// The simulator with 5 to 10,000 servers.
    Scale,
    /// The price of each log level.
    Logging,
    /// The price of each durability.
    Durability,
    /// How threads share the processors.
    Scheduling,
    /// Instructions of one report.
    Line,
    /// What merging costs a store of more and more clients.
    Growth,
    /// The door of HTTP against hyper: requests a second, instructions of one, and a question by place.
    Http,
    /// The door of MQTT against mosquitto: messages a second, fan-out, and memory.
    Mqtt,
    /// Streams of events over HTTP: how late, what reports beside them wait for, and what idle ones cost.
    Events,
    /// A core database: what it costs, how fast it is written and read, and what clients notice of its faults.
    Database,
    /// Five servers with trees over their links, against all links eager: what an update costs, and what a cut does.
    Trees,
    /// HTTP in TLS against plain: requests a second, handshakes, and memory.
    Tls,
    /// Abusive clients, and what a probe notices of them.
    Crowds,
    /// All suites but the crowds, the instructions and the growth in a small form, under four minutes.
    Quick,
    /// All suites but the crowds as they are meant, in about an hour.
    Full,
}

/// How thorough a suite is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Does everything work? The figures are real but few.
    Quick,
    /// What can be quoted.
    Full,
}

/// The options of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to measure.
    #[arg(value_enum, value_name = "SUITE")]
    pub asked: Name,
    /// The small form of a single suite.
    #[arg(long)]
    pub quick: bool,
    /// The file that results are added to; what it has already is not measured again
    /// [default: target/bench/quick.jsonl, or bench/results/full.jsonl].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Measure what the file has already, too.
    #[arg(long)]
    pub again: bool,
    /// Only these variants, such as threads,tokio,epoll.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub variants: Vec<String>,
    /// Only these crowds, such as drip,storm.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub crowds: Vec<Behaviour>,
    /// Rounds in which the variants of a point take turns.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// How long one round of one variant is measured; at least 1s for figures to be quoted.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub window: Option<Duration>,
    /// The folder of this project's programs [default: that of this one].
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
}

impl Options {
    /// How thorough.
    pub fn scale(&self) -> Scale {
        match self.asked == Name::Quick || self.quick {
            true => Scale::Quick,
            false => Scale::Full,
        }
    }

    /// The suites, in the order in which they run.
    pub fn suites(&self) -> Vec<Name> {
        let mut all = Name::value_variants().to_vec();
        // Crowds judge one server; all others compare several, or count.
        all.retain(|name| match (self.asked == Name::Full, self.asked == Name::Quick) {
            (true, _) => *name < Name::Crowds,
            // To count instructions or to fill a store takes longer than all else.
            (_, true) => *name < Name::Crowds && !matches!(name, Name::Line | Name::Growth),
            (false, false) => *name == self.asked,
        });
        all
    }

    /// Where the results go.
    pub fn out(&self) -> PathBuf {
        let usual = match self.scale() {
            Scale::Quick => "target/bench/quick.jsonl",
            Scale::Full => "bench/results/full.jsonl",
        };
        self.out.clone().unwrap_or_else(|| usual.into())
    }
}
