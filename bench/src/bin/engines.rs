//! Measures what the journal costs beside embedded storage engines, and prints it as Markdown.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use proxyherd_bench::engines::rounds::{Kept, die, flush, kept, round};
use proxyherd_bench::engines::table::{Commits, of_commits, of_kept};
use proxyherd_bench::engines::{ALL, Candidate, Failure};
use proxyherd_bench::load::machine::Provenance;
use serde_json::{Value, json};

/// Reports in a commit, and how many commits of them make a round, if they take less than a second.
const SIZES: [(u64, u64); 4] = [(1, 4000), (16, 2000), (128, 1000), (1000, 300)];

/// Measures what the journal costs beside embedded storage engines, and prints it as Markdown.
#[derive(Parser)]
#[command(name = "engines", version)]
struct Options {
    /// Rounds of each candidate; those of all candidates take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// The folder that is written to, and removed; the file system that it is on is measured.
    #[arg(long, default_value = "target/engines")]
    folder: PathBuf,
    /// The file for the results, which is replaced.
    #[arg(long, default_value = "bench/results/engines.jsonl")]
    out: PathBuf,
    /// Commit to this one until killed: the program starts itself so.
    #[arg(long, hide = true)]
    die: Option<Candidate>,
}

fn main() -> ExitCode {
    match work(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "engines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(options: &Options) -> Result<(), Failure> {
    if let Some(candidate) = options.die {
        return die(candidate, &options.folder);
    }
    if options.folder.exists() {
        return Err(
            format!("{} is there already: name a folder that is not", options.folder.display()).into()
        );
    }
    fs::create_dir_all(&options.folder)?;
    // One below it, so that it can be removed again and again.
    let done = measure(options, &options.folder.join("candidate"));
    fs::remove_dir_all(&options.folder)?;
    done
}

fn measure(options: &Options, folder: &Path) -> Result<(), Failure> {
    let mut said = io::stdout();
    let mut out = File::create(&options.out)?;
    let (system, flush_us) = (file_system(&options.folder)?, flush(folder)?.as_secs_f64() * 1e6);
    writeln!(said, "File system: {system}. A flush of 100 appended bytes takes {flush_us:.0} us.\n")?;
    let machine = Provenance::here();
    line(&mut out, &json!({ "file_system": system, "flush_us": flush_us, "machine": machine }))?;

    let mut all: Vec<Commits> = Vec::new();
    for (reports, commits) in SIZES {
        let mut those = ALL.map(|candidate| Commits { candidate, reports, rounds: Vec::new() });
        for _ in 0..options.rounds {
            for one in &mut those {
                one.rounds.push(round(one.candidate, folder, commits, reports)?);
            }
        }
        for Commits { candidate, reports, rounds } in &those {
            let found =
                json!({ "engine": candidate.to_string(), "reports_per_commit": reports, "rounds": rounds });
            line(&mut out, &found)?;
        }
        all.extend(those);
        let flush_us = flush(folder)?.as_secs_f64() * 1e6;
        writeln!(said, "After the rounds of {reports} a flush takes {flush_us:.0} us.")?;
        line(&mut out, &json!({ "flush_us": flush_us, "after_reports_per_commit": reports }))?;
    }
    writeln!(said, "\n{}", of_commits(&all))?;

    let mut left: Vec<(Candidate, Kept)> = Vec::new();
    for candidate in ALL {
        let kept = kept(candidate, folder)?;
        line(&mut out, &json!({ "engine": candidate.to_string(), "kept": kept }))?;
        left.push((candidate, kept));
    }
    Ok(write!(said, "{}", of_kept(&left))?)
}

/// The kind of file system that a folder is on.
fn file_system(folder: &Path) -> Result<String, Failure> {
    let said = Command::new("df").arg("--output=fstype").arg(folder).output()?;
    let said = String::from_utf8(said.stdout)?;
    Ok(said.lines().nth(1).ok_or("`df --output=fstype` names no file system")?.trim().to_owned())
}

fn line(out: &mut File, found: &Value) -> io::Result<()> {
    writeln!(out, "{found}")
}
