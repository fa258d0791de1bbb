//! What is measured of each candidate.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::{Signal, getpid, kill_process};
use serde::Serialize;

use super::{Candidate, Failure, Report, disk_bytes};
use crate::clock::ticks;
use crate::load::clock::own_cpu_ns;

/// Clients that report in a round: as many keys as a busy server has.
const CLIENTS: u64 = 10_000;
/// Reports of them after which the bytes on disk are counted.
const DISK_REPORTS: u64 = 200_000;
/// Clients of the largest server that has to start again soon.
const RECOVERED_CLIENTS: u64 = 1_000_000;
/// Reports in a commit where only what it leaves behind is measured.
const FILL_REPORTS: u64 = 1000;
/// A round ends when it has taken this long: where a flush takes milliseconds, it need not make all commits.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// Commits before a kill.
const KILLED_COMMITS: u64 = 1000;

/// One round of one candidate with commits of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Round {
    /// How long all commits took.
    pub wall_seconds: f64,
    /// The processor time of them, that of the engine's own threads included.
    pub cpu_seconds: f64,
    /// How many commits there were.
    pub commits: u64,
}

/// What a candidate leaves on disk, and how soon it is there again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Kept {
    /// Bytes after 200,000 reports of 10,000 clients, while the engine is still open.
    pub open_bytes: u64,
    /// The same after it was closed.
    pub closed_bytes: u64,
    /// Time to open it and read the records of 1,000,000 clients.
    pub read_seconds: f64,
    /// Time to open it and make of them the memory that a server starts with.
    pub recover_seconds: f64,
    /// How many of 1000 commits were there after the process had killed itself with SIGKILL.
    pub kept_commits: usize,
}

/// At most so many commits of so many reports, in a fresh folder in which every client is known already.
///
/// # Errors
/// What the engine or the system says.
pub fn round(candidate: Candidate, folder: &Path, commits: u64, reports: u64) -> Result<Round, Failure> {
    let folder = fresh(folder)?;
    let mut engine = candidate.open(folder)?;
    for first in (0..CLIENTS).step_by(FILL_REPORTS as usize) {
        engine.commit(&all(first..first + FILL_REPORTS))?;
    }
    let mut random = fastrand::Rng::with_seed(reports);
    let all: Vec<Report> =
        (0..commits * reports).map(|at| Report::new(CLIENTS + at + 1, random.u64(..CLIENTS))).collect();
    let (wall, cpu_ns) = (ticks(), own_cpu_ns());
    let mut done = 0;
    for some in all.chunks(reports as usize) {
        engine.commit(some)?;
        done += 1;
        if ticks() - wall > ROUND_MAX {
            break;
        }
    }
    let wall_seconds = (ticks() - wall).as_secs_f64();
    let cpu_seconds = (own_cpu_ns() - cpu_ns) as f64 / 1e9;
    drop(engine);
    fs::remove_dir_all(folder)?;
    Ok(Round { wall_seconds, cpu_seconds, commits: done })
}

/// What is left on disk.
///
/// # Errors
/// What the engine or the system says, or that something is missing.
pub fn kept(candidate: Candidate, folder: &Path) -> Result<Kept, Failure> {
    fresh(folder)?;
    let mut engine = candidate.open(folder)?;
    let mut random = fastrand::Rng::with_seed(1);
    for first in (0..DISK_REPORTS).step_by(FILL_REPORTS as usize) {
        let some: Vec<Report> =
            (first..first + FILL_REPORTS).map(|at| Report::new(at + 1, random.u64(..CLIENTS))).collect();
        engine.commit(&some)?;
    }
    let open_bytes = disk_bytes(folder)?;
    drop(engine);
    let closed_bytes = disk_bytes(folder)?;

    fresh(folder)?;
    let mut engine = candidate.open(folder)?;
    for first in (0..RECOVERED_CLIENTS).step_by(FILL_REPORTS as usize) {
        engine.commit(&all(first..first + FILL_REPORTS))?;
    }
    drop(engine);
    let began = ticks();
    let mut bytes = 0;
    candidate.read_all(folder, &mut |payload| {
        bytes += payload.len();
        Ok(())
    })?;
    let read_seconds = (ticks() - began).as_secs_f64();
    if bytes < RECOVERED_CLIENTS as usize * Report::new(1, 0).record.len() {
        return Err(format!("{candidate} gave back only {bytes} bytes").into());
    }
    let began = ticks();
    let clients = candidate.recover(folder)?;
    let recover_seconds = (ticks() - began).as_secs_f64();
    if clients as u64 != RECOVERED_CLIENTS {
        return Err(format!("{candidate} gave back only {clients} clients").into());
    }

    fresh(folder)?;
    let name = candidate.to_possible_value().ok_or("a candidate has no name")?;
    let child = Command::new(std::env::current_exe()?)
        .args(["--die", name.get_name(), "--folder"])
        .arg(folder)
        .output()?;
    if !child.stderr.is_empty() {
        return Err(String::from_utf8_lossy(&child.stderr).into());
    }
    let kept_commits = candidate.recover(folder)?;
    fs::remove_dir_all(folder)?;
    Ok(Kept { open_bytes, closed_bytes, read_seconds, recover_seconds, kept_commits })
}

/// Commits a report of each of 1000 clients, and is killed.
///
/// # Errors
/// What the engine says.
pub fn die(candidate: Candidate, folder: &Path) -> Result<(), Failure> {
    let mut engine = candidate.open(folder)?;
    for client in 0..KILLED_COMMITS {
        engine.commit(&all(client..client + 1))?;
    }
    Ok(kill_process(getpid(), Signal::KILL)?)
}

/// The time of a flush after a hundred bytes were appended, the median of a hundred.
///
/// # Errors
/// What the system says.
pub fn flush(folder: &Path) -> Result<Duration, Failure> {
    let folder = fresh(folder)?;
    let mut file = fs::File::create(folder.join("flushed"))?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.write_all(&[b'a'; 100])?;
        let began = ticks();
        file.sync_data()?;
        times.push(ticks() - began);
    }
    times.sort_unstable();
    fs::remove_dir_all(folder)?;
    Ok(times[50])
}

/// The first report of each of these clients.
fn all(clients: std::ops::Range<u64>) -> Vec<Report> {
    clients.map(|client| Report::new(client + 1, client)).collect()
}

fn fresh(folder: &Path) -> Result<&Path, Failure> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder)
}
