//! Which faults are tried, how often, under which load.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// A short list, each fault once, in under 90 seconds.
    Quick,
    /// Every fault, in about twenty minutes.
    Full,
}

/// The options of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How much.
    #[arg(value_enum, default_value_t = Asked::Full)]
    pub asked: Asked,
    /// How often each fault is tried [default: 3, or 1 for quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Only these faults, such as kill-hub,loss-20; --list names them all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// The server to try [default: proxyherd in the folder of this program].
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Reports a second, at all servers together. A run counts if 1000 of them were acknowledged a second.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Distinct clients; a fifth of them report only once.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub clients: u32,
    /// The seed of what is left to chance: the order of cuts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Set the kernel for the servers, such as net.ipv4.tcp_rto_max_ms=1000, to see what that would change; may be
    /// given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// The file that results are added to [default: target/bench/faults-quick.jsonl for quick or --only, else
    /// bench/results/faults.jsonl].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the logs of the servers in this folder, a folder for each round.
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
}

impl Options {
    /// Rounds of each fault.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(match self.asked {
            Asked::Quick => 1,
            Asked::Full => 3,
        })
    }

    /// Where the results go.
    pub fn out(&self) -> PathBuf {
        let whole = self.asked == Asked::Full && self.only.is_empty();
        let usual = if whole { "bench/results/faults.jsonl" } else { "target/bench/faults-quick.jsonl" };
        self.out.clone().unwrap_or_else(|| usual.into())
    }
}
