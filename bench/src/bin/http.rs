//! Counts the instructions of a phone's report over HTTP, and takes the processor time of a question for a hundred of a
//! million clients.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proxyherd_bench::http::question::{self, Attributes};
use proxyherd_bench::http::report::{self, Login};
use proxyherd_bench::process::Failure;
use serde_json::{Value, json};

/// The friends of a phone, where what one of them costs is counted.
const FRIENDS: u64 = 5;

/// Counts the instructions of a phone's report over HTTP, and takes the processor time of a question for a hundred of a
/// million clients.
#[derive(Parser)]
#[command(name = "http", version)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Instructions of a report, without and with a login, by callgrind.
    Report {
        /// Print the figures as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Microseconds of a question by place.
    Box {
        /// Print the figures of each round as JSON.
        #[arg(long)]
        json: bool,
        /// Rounds of 4,000 questions.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=999))]
        rounds: u32,
        /// Clients with all attributes of phones, and not those of the line protocol.
        #[arg(long)]
        attributes: bool,
    },
}

fn main() -> ExitCode {
    match work(&Options::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(what: &What) -> Result<(), Failure> {
    let rounds = match *what {
        What::Report { .. } => {
            let (plain, basic) =
                (report::instructions(Login::None, 0)?, report::instructions(Login::Basic, 0)?);
            let friends = report::instructions(Login::None, FRIENDS)?;
            vec![json!({
                "instructions": plain.round(),
                "instructions_with_login": basic.round(),
                "instructions_of_a_friend": ((friends - plain) / FRIENDS as f64).round(),
            })]
        }
        What::Box { rounds, attributes, .. } => {
            let attributes = if attributes { Attributes::All } else { Attributes::None };
            question::boxes(rounds, attributes)?.iter().map(in_json).collect()
        }
    };
    let (What::Report { json, .. } | What::Box { json, .. }) = *what;
    if json {
        return Ok(writeln!(io::stdout(), "{}", Value::from(rounds))?);
    }
    Ok(rounds.iter().try_for_each(|round| writeln!(io::stdout(), "{round}"))?)
}

fn in_json(cost: &question::Cost) -> Value {
    let tenths = |figure: f64| (figure * 10.0).round() / 10.0;
    json!({ "cpu_us": tenths(cost.cpu_us), "clients": tenths(cost.clients), "bytes": cost.bytes.round() })
}
