//! Tries real faults on five real servers in a network of their own, and prints the table of what came of it.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use proxyherd_bench::faults::options::Options;
use proxyherd_bench::faults::table::{broken, table};
use proxyherd_bench::faults::{self, Stop, namespace};

/// Reports were lost, servers did not agree, or a trial failed.
const BROKEN: u8 = 1;

/// Nothing was tried, and that is an error.
const FAILED: u8 = 2;

/// Nothing was tried, for this machine does not permit it: what test harnesses know as "skipped".
const SKIPPED: u8 = 77;

/// Tries real faults on five real servers in a network of their own.
///
/// Exit codes: 0 if nothing was lost and the servers always agreed in time, 1 if not, 2 if nothing could be tried,
/// 77 if this machine does not permit it.
#[derive(Parser)]
#[command(name = "faults", version)]
struct Raw {
    #[command(flatten)]
    options: Options,
    /// Say what the faults are called and what they do.
    #[arg(long)]
    list: bool,
    /// Print the table of a file of results, and try nothing.
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,
    /// The program's own: the namespaces that it was started from.
    #[arg(long, hide = true, value_name = "NAMESPACES")]
    started_from: Option<String>,
}

fn main() -> ExitCode {
    match work(&Raw::parse()) {
        Ok(code) => code,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "faults: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn work(raw: &Raw) -> Result<ExitCode, Box<dyn Error>> {
    let mut said = io::stdout();
    if raw.list {
        write!(said, "{}", faults::list())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &raw.show {
        write!(said, "{}", table(&faults::read(path)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let tried = match &raw.started_from {
        None => Err(namespace::enter()),
        // What is printed while it runs must not stand within the table.
        Some(outside) => {
            namespace::settle(outside).and_then(|()| faults::run(&raw.options, &mut io::stderr()))
        }
    };
    let outcome = match tried {
        Ok(outcome) => outcome,
        Err(Stop::NotPermitted(why)) => {
            writeln!(io::stderr(), "faults: skipped, nothing was tried: {why}")?;
            return Ok(ExitCode::from(SKIPPED));
        }
        Err(Stop::Failed(why)) => return Err(why.into()),
    };
    if !outcome.records.is_empty() {
        write!(said, "{}", table(&outcome.records))?;
    }
    for sentence in &outcome.skipped {
        writeln!(io::stderr(), "faults: {sentence}")?;
    }
    let broken = broken(&outcome.records);
    for sentence in &broken {
        writeln!(io::stderr(), "faults: FAILED {sentence}")?;
    }
    Ok(match (broken.is_empty(), outcome.records.is_empty()) {
        (false, _) => ExitCode::from(BROKEN),
        (true, true) => ExitCode::from(SKIPPED),
        (true, false) => ExitCode::SUCCESS,
    })
}
