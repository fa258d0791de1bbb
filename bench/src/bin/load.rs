//! Drives a server, checks every reply, and says how fast and at what price.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use proxyherd_bench::load::machine::{self, Provenance};
use proxyherd_bench::load::{self, Options, Outcome};
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  load --target 127.0.0.1:12550 -N 128 -P 16
  load --target 127.0.0.1:12550 -N 10000 -C 100 --duration 10s
  load --target 127.0.0.1:12550 -N 100 --rate 20000 --pid $(pgrep proxyherd)
  load --target 127.0.0.1:12550 -N 16 --mix iamat=80,whatsat=15,stale=5
  load --target 127.0.0.1:12550 -N 64 --churn
  load --target 127.0.0.1:6379 --protocol redis -N 16 -P 16

Exit code: 0 if every reply was right, 1 if not or if there was none;
a sentence on standard error says what went wrong.";

/// Drives a server of the herd, or another, and checks every reply.
#[derive(Parser)]
#[command(name = "load", version, after_help = EXAMPLES)]
struct Raw {
    #[command(flatten)]
    options: Options,
}

/// One line of the file of results.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    provenance: Provenance,
    options: &'a Options,
    outcome: &'a Outcome,
}

fn main() -> ExitCode {
    let Raw { options } = Raw::parse();
    match drive(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drive(options: &Options) -> Result<(), Box<dyn Error>> {
    let outcome = load::run(options)?;
    write!(io::stdout(), "{outcome}")?;
    if let Some(out) = &options.out {
        let line = Line { kind: "load", provenance: Provenance::here(), options, outcome: &outcome };
        machine::append(out, &line).map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    }
    Ok(())
}
