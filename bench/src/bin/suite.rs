//! Measures all variants of the server, suite by suite, and draws the results.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proxyherd_bench::crowds::swarm;
use proxyherd_bench::plot;
use proxyherd_bench::suite::compare::compare;
use proxyherd_bench::suite::{self, options::Options};

/// Measures all variants of the server, suite by suite, and draws the results.
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
    /// Be a crowd of hostile clients: the suite `crowds` starts this.
    #[command(hide = true)]
    Crowd(swarm::Options),
    /// Draw SVG figures of a file of results.
    Plot {
        /// The file.
        #[arg(default_value = "bench/results/full.jsonl")]
        file: PathBuf,
        /// The folder for the figures [default: figures, beside the file].
        #[arg(long)]
        out: Option<PathBuf>,
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
        Job::Crowd(options) => {
            swarm::run(&options, &mut said)?;
            Ok(ExitCode::SUCCESS)
        }
        Job::Compare { first, second } => {
            write!(said, "{}", compare(&first, &second)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Job::Plot { file, out } => {
            let beside = file.parent().map_or_else(|| "figures".into(), |folder| folder.join("figures"));
            for figure in plot::draw(&file, &out.unwrap_or(beside))? {
                writeln!(said, "{}", figure.display())?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
