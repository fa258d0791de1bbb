//! What a journal costs beside the rate, as points of `durability`: how long a start with a million clients takes, and
//! what clients notice while the journal is made smaller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::address::ALONE;
use super::bench::{Bench, how};
use super::paired_run::{figures, take_turns};
use super::results::{Figures, point};
use super::server::Start;
use super::variant::Variant;
use crate::load::{self, Options, Outcome, clock};

/// Connections, and the clients that each reports for in turn: a million together.
const CROWD: (u32, u32) = (100, 10_000);

/// Reports of each client that are on the way at once while they become known.
const CROWD_DEPTH: u32 = 64;

/// How long it takes at most until a million clients are known.
const CROWD_TIME: Duration = Duration::from_secs(6);

/// Reports a second that make the journal grow so that it is made smaller every few seconds, well below what the server
/// could take, and over how many connections they come.
const GROWTH: (f64, u32) = (150_000.0, 16);

/// Clients of each of these connections.
const GROWTH_CLIENTS: u32 = 5_000;

/// Reports a second of those whose waiting is measured, and their connections.
const PROBES: (f64, u32) = (1_000.0, 10);

/// What the log says behind the number of clients that were known at a start.
const RECOVERED: &str = " clients recovered";

/// How long it is measured, in the small and in the full form: the journal is made smaller three times in the longer
/// time.
const GROWTH_TIME: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(12)];

/// How often. The longest of 12,000 waits differs by a factor of two from round to round, and three rounds have shown
/// differences that were none.
const PAUSE_ROUNDS: u32 = 8;

/// The server under the name of a setting.
fn called(threads: &Variant, name: &str) -> Variant {
    let mut variant = threads.clone();
    name.clone_into(&mut variant.name);
    variant
}

/// How long a server with a million clients takes from its start to its first answer, after it was killed.
pub(super) fn recovery(bench: &mut Bench<'_>, threads: &Variant) -> io::Result<()> {
    let clients = u64::from(CROWD.0) * u64::from(CROWD.1);
    let (at, rounds) = (point(&[("recovered_clients", &clients)]), bench.rounds(1, 3));
    let variants = [called(threads, "os")];
    let records =
        take_turns(bench, &at, &how(rounds, CROWD_TIME), rounds, &variants, |bench, variant, _| {
            let folder = bench.scratch().join(format!("recovery-{}", std::process::id()));
            let figures = killed_and_started(bench, variant, &folder);
            // Whatever came of it.
            let _ = fs::remove_dir_all(&folder);
            figures
        })?;
    bench.show(&records, &[("killed and started, s", "start_seconds", 1.0, 2)])
}

fn killed_and_started(bench: &Bench<'_>, variant: &Variant, folder: &Path) -> Result<Figures, String> {
    let folder_name = folder.display().to_string();
    let extra = ["--durability", "os", "--log-level", "info", "--data-dir", &folder_name].map(str::to_owned);
    let start = Start { shape: ALONE, extra: &extra, cpu: None };
    let servers = bench.start(variant, start)?;
    let crowd = Options {
        connections: CROWD.0,
        clients: CROWD.1,
        depth: CROWD_DEPTH,
        duration: CROWD_TIME,
        ..servers.options(0, variant)
    };
    load::run(&crowd).map_err(|error| error.to_string())?;
    // It is killed.
    drop(servers);
    let bytes = bytes(folder);
    let began_ns = clock::monotonic_ns();
    let servers = bench.start(variant, start)?;
    let took = (clock::monotonic_ns() - began_ns) as f64 / clock::NS_PER_SECOND as f64;
    let line = servers.logged(RECOVERED).into_iter().next().unwrap_or_default();
    let before = line.split(RECOVERED).next().unwrap_or_default();
    let known: f64 = before.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    if known < f64::from(CROWD.0) * f64::from(CROWD.1) {
        return Err(format!("not all clients were recovered: {line}"));
    }
    servers.stop()?;
    let figures = [("start_seconds", took), ("recovered", known), ("journal_mib", bytes as f64 / 1048576.0)];
    Ok(figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect())
}

/// What clients notice while others let the journal grow, so that it is made smaller again and again.
pub(super) fn pauses(bench: &mut Bench<'_>, threads: &Variant) -> io::Result<()> {
    let at = point(&[("growth_per_second", &GROWTH.0)]);
    let (rounds, time) = (bench.rounds(1, PAUSE_ROUNDS), bench.either(GROWTH_TIME[0], GROWTH_TIME[1]));
    let variants = ["none", "os"].map(|name| called(threads, name));
    let records = take_turns(bench, &at, &how(rounds, time), rounds, &variants, |bench, variant, _| {
        let folder = bench.scratch().join(format!("pauses-{}", std::process::id()));
        let figures = probed(bench, variant, &folder, time);
        // Whatever came of it.
        let _ = fs::remove_dir_all(&folder);
        figures
    })?;
    let columns = [
        ("p50, us", "p50_us", 1.0, 0),
        ("p99, us", "p99_us", 1.0, 0),
        ("p99.9, us", "p999_us", 1.0, 0),
        ("longest, us", "max_us", 1.0, 0),
        ("made smaller", "made_smaller", 1.0, 0),
        ("files at most, MiB", "journal_mib_max", 1.0, 0),
    ];
    bench.show(&records, &columns)
}

fn probed(
    bench: &Bench<'_>,
    variant: &Variant,
    folder: &Path,
    duration: Duration,
) -> Result<Figures, String> {
    let folder_name = folder.display().to_string();
    let extra = ["--durability", &variant.name, "--data-dir", &folder_name].map(str::to_owned);
    let servers = bench.start(variant, Start { shape: ALONE, extra: &extra, cpu: None })?;
    let options = |(rate, connections): (f64, u32)| Options {
        rate: Some(rate),
        connections,
        duration,
        ..servers.options(0, variant)
    };
    let growth = Options { clients: GROWTH_CLIENTS, ..options(GROWTH) };
    let probes = Options { name: "probe".to_owned(), pid: Vec::new(), ..options(PROBES) };
    let (probed, largest) = thread::scope(|scope| {
        let growth = scope.spawn(|| load::run(&growth));
        let probes = scope.spawn(|| load::run(&probes));
        let mut largest = 0;
        while !probes.is_finished() {
            largest = largest.max(bytes(folder));
            thread::sleep(LOOK);
        }
        let grown: Result<Outcome, String> = finished(growth.join());
        (grown.and_then(|_| finished(probes.join())), largest)
    });
    // Its files have the number of the rewriting that began them, from 1 on.
    let numbers = files(folder).into_iter().filter_map(|path| number(&path));
    let made_smaller = numbers.max().unwrap_or(1).saturating_sub(1);
    let probed = probed?;
    servers.stop()?;
    let mut figures = figures(&probed);
    figures.insert("made_smaller".to_owned(), made_smaller as f64);
    figures.insert("journal_mib_max".to_owned(), largest as f64 / 1048576.0);
    Ok(figures)
}

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(20);

fn finished(run: thread::Result<Result<Outcome, load::LoadError>>) -> Result<Outcome, String> {
    run.map_err(|_| "the generator has a bug".to_owned())?.map_err(|error| error.to_string())
}

/// The files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The bytes of all of them.
fn bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// The number in the name of a file of the journal.
fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.rsplit_once('-')?.1.parse().ok()
}
