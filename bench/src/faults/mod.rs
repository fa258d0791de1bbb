//! Real faults: five real servers in a network of their own, load on all of them, and what it takes until they agree.
//! `README.md` of this crate says what each fault does and how to read the table.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | the command line |
//! | `fault` | every fault, how long it lasts, and what is aimed at |
//! | `namespace` | namespaces that nothing has to remove, and whether they are permitted |
//! | `network` | five namespaces on a switch, and what the switch drops |
//! | `delay` | packets held back by a reader of the kernel's packet queue |
//! | `herd` | the five processes: started, killed, frozen |
//! | `reporters`, `history` | the load, and what was acknowledged by whom |
//! | `agreement` | what all servers answer, and whether it is the same |
//! | `trial` | one fault, one time |
//! | `table` | what people read |

pub mod namespace;
pub mod options;
pub mod table;

mod agreement;
mod delay;
mod fault;
mod herd;
mod history;
mod network;
mod reporters;
mod trial;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fault::{Fault, What};
use network::Network;
use options::Options;
use trial::{CONVERGE_WAIT_MAX, Setting, Trial};

use crate::load::machine::Provenance;
use crate::suite::results::{Figures, Point, Record, Results, point};

/// What a run has come to.
#[derive(Debug)]
pub struct Outcome {
    /// A record for each fault, in the order in which they were tried.
    pub records: Vec<Record>,
    /// Faults that this machine cannot do, a sentence each.
    pub skipped: Vec<String>,
}

/// The names of all faults with what they do, a line each.
pub fn list() -> String {
    fault::FAULTS.iter().map(|fault| format!("{:<16} {}\n", fault.name, fault.text)).collect()
}

/// The records of one file that belong together: those of the version that was measured last.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Record>> {
    let results = Results::open(path)?;
    let all: Vec<&Record> = results.latest().into_iter().filter(|it| it.suite == SUITE).collect();
    let version = all.last().map(|last| last.provenance.version.clone());
    let of = |fault: &Fault| {
        let is_it = |it: &&&Record| {
            Some(&it.provenance.version) == version.as_ref()
                && it.point.get(FAULT).is_some_and(|name| name == fault.name)
        };
        all.iter().rfind(is_it).map(|it| (*it).clone())
    };
    Ok(fault::FAULTS.iter().filter_map(of).collect())
}

/// Tries every fault that was asked for, within namespaces of our own; `said` is where people read how it goes.
///
/// # Errors
/// If nothing can be tried. What goes wrong in a trial is in its record.
pub fn run(options: &Options, said: &mut dyn Write) -> Result<Outcome, Stop> {
    let faults = fault::asked(options).map_err(Stop::Failed)?;
    let program = program(options).map_err(Stop::Failed)?;
    let network = Network::build(&options.sysctl).map_err(Stop::NotPermitted)?;
    let mut results = Results::open(&options.out()).map_err(failed)?;
    let provenance = Provenance::here();
    let mut outcome = Outcome { records: Vec::new(), skipped: Vec::new() };
    for fault in faults {
        if let (What::Delay(_), Err(why)) = (fault.what, delay::probe(&network)) {
            outcome.skipped.push(format!("{}: skipped, {why}", fault.name));
            continue;
        }
        let setting = Setting { options, program: &program, network: &network, fault };
        let record = rounds(&setting, said).map_err(failed)?;
        let provenance = Provenance { date: crate::load::clock::date(), ..provenance.clone() };
        let record = Record { provenance, ..record };
        results.add(record.clone()).map_err(failed)?;
        outcome.records.push(record);
    }
    Ok(outcome)
}

/// Why nothing was tried.
#[derive(Debug)]
pub enum Stop {
    /// This machine does not allow it, or lacks something.
    NotPermitted(String),
    /// It should have worked.
    Failed(String),
}

/// What the records of faults are called in a file of results.
const SUITE: &str = "faults";

/// The key of a fault's name in its point.
const FAULT: &str = "fault";

/// The server that is tried.
fn program(options: &Options) -> Result<PathBuf, String> {
    let own =
        std::env::current_exe().map_err(|error| format!("cannot tell which program this is: {error}"))?;
    let program = options.server.clone().unwrap_or_else(|| own.with_file_name("proxyherd"));
    program.canonicalize().map_err(|error| {
        format!("{}: {error}; build it with `cargo build --release`, or give --server", program.display())
    })
}

/// All rounds of one fault.
fn rounds(setting: &Setting<'_>, said: &mut dyn Write) -> io::Result<Record> {
    let (fault, options) = (setting.fault, setting.options);
    let mut rounds = Vec::new();
    let mut wrong = Vec::new();
    for round in 0..options.rounds() * fault.rounds_factor {
        let tried = setting.trial(round);
        let text = match &tried {
            Ok(trial) => trial.to_string(),
            Err(why) => format!("FAILED {why}"),
        };
        writeln!(said, "{:<16} round {}: {text}", fault.name, round + 1)?;
        said.flush()?;
        match tried {
            Ok(trial) if trial.counts() => rounds.push(figures(&trial)),
            Ok(trial) => wrong.push(format!("round {} does not count: {}", round + 1, trial.too_slow())),
            Err(why) => wrong.push(format!("round {}: {why}", round + 1)),
        }
    }
    Ok(Record {
        suite: SUITE.to_owned(),
        point: point(&[(FAULT, &fault.name)]),
        variant: "threads".to_owned(),
        options: how(fault, options),
        rounds,
        failed: (!wrong.is_empty()).then(|| wrong.join("; ")),
        ..Record::default()
    })
}

fn figures(trial: &Trial) -> Figures {
    let mut figures = Figures::from([
        (table::ACKNOWLEDGED.to_owned(), trial.acknowledged as f64),
        (table::PER_SECOND.to_owned(), trial.per_second_before),
        (table::LOST.to_owned(), trial.lost as f64),
        (table::WARNINGS.to_owned(), trial.warnings as f64),
    ]);
    if let Some(seconds) = trial.converge_seconds {
        figures.insert(table::CONVERGE_SECONDS.to_owned(), seconds);
    }
    figures
}

fn how(fault: &Fault, options: &Options) -> Point {
    let mut how = point(&[
        ("clients", &options.clients),
        ("rate", &options.rate),
        ("fault_seconds", &fault.lasts.as_secs_f64()),
        ("deadline_seconds", &CONVERGE_WAIT_MAX.as_secs()),
    ]);
    if !options.sysctl.is_empty() {
        how.insert("sysctl".to_owned(), options.sysctl.join(" "));
    }
    if let Some(aim) = fault.aim {
        how.insert(table::AIM_SECONDS.to_owned(), aim.as_secs_f64().to_string());
    }
    how
}

fn failed(error: io::Error) -> Stop {
    Stop::Failed(error.to_string())
}
