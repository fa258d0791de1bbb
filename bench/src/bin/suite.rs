//! Measures all variants of the server, suite by suite, and says what the results come to.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proxyherd_bench::abusive_clients::fleet;
use proxyherd_bench::suite::compare::compare;
use proxyherd_bench::suite::options::Options;
use proxyherd_bench::suite::results::Results;
use proxyherd_bench::suite::{self, targets};

/// Measures all variants of the server, suite by suite, and says what the results come to.
#[derive(Parser)]
#[command(name = "suite", version)]
struct Raw {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Run a suite, or several.
    Run(Options),
    /// Be a fleet of abusive clients: the suite `crowds` starts this.
    #[command(hide = true)]
    Fleet(fleet::Options),
    /// Show what a file of results says of every target.
    Targets {
        /// The file.
        #[arg(default_value = "bench/results/full.jsonl")]
        file: PathBuf,
    },
    /// Say which ratios two files of results agree on.
    Compare {
        /// One run.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
}

fn main() -> ExitCode {
    match work(Raw::parse().job) {
        Ok(code) => code,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(job: Job) -> Result<ExitCode, Box<dyn Error>> {
    let mut said = io::stdout();
    match job {
        Job::Run(options) => {
            let wrong = suite::run(&options, &mut said)?;
            for sentence in &wrong {
                writeln!(io::stderr(), "bench: failed: {sentence}")?;
            }
            Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Job::Fleet(options) => {
            fleet::run(&options, &mut said)?;
            Ok(ExitCode::SUCCESS)
        }
        Job::Compare { first, second } => {
            write!(said, "{}", compare(&first, &second)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Job::Targets { file } => {
            write!(said, "{}", targets::scoreboard(&Results::open(&file)?, None)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
