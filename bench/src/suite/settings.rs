//! `logging`, `durability` and `scheduling`: what each setting costs the threaded server.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, scope};

use super::bench::Bench;
use super::paired_run::{Candidate, PairedRun, load_of};
use super::recovery_cost;
use super::results::point;
use super::variant::BEFORE;
use crate::load::Options;

/// Settings and the options that make them; the first is what the others are compared with.
type Settings<'a> = &'a [(&'a str, &'a [&'a str])];

/// What the log is told.
const LOGGING: Settings<'_> = &[
    ("warn", &["--log-level", "warn"]),
    ("off", &["--log-level", "off"]),
    ("info", &["--log-level", "info"]),
    ("debug, wait", &["--log-level", "debug", "--log-when-full", "wait"]),
    ("debug, drop", &["--log-level", "debug", "--log-when-full", "drop"]),
];

/// What is durable when.
const DURABILITY: Settings<'_> = &[
    ("none", &["--durability", "none"]),
    ("os", &["--durability", "os"]),
    ("sync", &["--durability", "sync"]),
];

/// How threads that serve clients share the processors, where nothing is kept, and where each commit is flushed.
const SCHEDULING: Settings<'_> = &[
    ("normal", &["--scheduling", "normal"]),
    ("batch", &["--scheduling", "batch"]),
    ("normal, sync", &["--scheduling", "normal", "--durability", "sync"]),
    ("batch, sync", &["--scheduling", "batch", "--durability", "sync"]),
];

/// Bytes that another program writes and flushes again and again, and the size that its file has at most.
const BUSY_WRITE_BYTES: usize = 1 << 20;
const BUSY_FILE_BYTES_MAX: usize = 256 << 20;

pub(super) fn logging(bench: &mut Bench<'_>) -> io::Result<()> {
    let points = bench.either(vec![(1, 16)], vec![(1, 1), (1, 16), (1, 128), (16, 16)]);
    measure(bench, LOGGING, &points, false)
}

pub(super) fn scheduling(bench: &mut Bench<'_>) -> io::Result<()> {
    let points = bench.either(vec![(1, 16)], vec![(1, 16), (1, 128), (16, 16), (16, 128), (64, 128)]);
    measure(bench, SCHEDULING, &points, false)
}

pub(super) fn durability(bench: &mut Bench<'_>) -> io::Result<()> {
    let all = [1, 16, 64].iter().flat_map(|depth| [1, 16, 128].map(|connections| (*depth, connections)));
    let points = bench.either(vec![(1, 16)], all.collect());
    measure(bench, DURABILITY, &points, false)?;
    on_a_busy_disk(bench)?;
    let Some(threads) = bench.variant("threads") else { return Ok(()) };
    recovery_cost::recovery(bench, &threads)?;
    recovery_cost::pauses(bench, &threads)
}

/// The same while another program writes to the disk all the time, and waits for that.
fn on_a_busy_disk(bench: &mut Bench<'_>) -> io::Result<()> {
    let path = bench.scratch().join("busy");
    let is_over = AtomicBool::new(false);
    let points = bench.either(Vec::new(), vec![(1, 16), (16, 16), (64, 16)]);
    let measured = scope(|scope| {
        let busy = Builder::new().spawn_scoped(scope, || keep_busy(&path, &is_over))?;
        let measured = measure(bench, DURABILITY, &points, true);
        is_over.store(true, Ordering::Relaxed);
        busy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(measured)
    });
    measured.and(std::fs::remove_file(&path))
}

fn keep_busy(path: &Path, is_over: &AtomicBool) -> io::Result<()> {
    let (bytes, mut file, mut written) = (vec![1; BUSY_WRITE_BYTES], File::create(path)?, 0);
    while !is_over.load(Ordering::Relaxed) {
        if written >= BUSY_FILE_BYTES_MAX {
            (file, written) = (File::create(path)?, 0);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        written += BUSY_WRITE_BYTES;
    }
    Ok(())
}

fn measure(
    bench: &mut Bench<'_>,
    settings: Settings<'_>,
    points: &[(u32, u32)],
    is_busy: bool,
) -> io::Result<()> {
    let Some(threads) = bench.variant("threads") else {
        return bench.skip("its settings", "the threaded server is not there");
    };
    for &(depth, connections) in points {
        let load = Options { depth, ..load_of(connections, bench.window()) };
        let mut at = point(&[("depth", &depth), ("connections", &connections)]);
        if is_busy {
            at.extend(point(&[("disk", &"busy")]));
        }
        let told = settings.iter().map(|(name, words)| Candidate::told(&threads, name, words));
        // An earlier server is shown with the setting that is the default, beside the same of today.
        let before = bench.variant(BEFORE).filter(|_| settings == DURABILITY);
        let before = before.map(|it| Candidate::told(&it, "os, before", &["--durability", "os"]));
        PairedRun::new(bench, at, (1, 5), load).candidates(bench, told.chain(before).collect())?;
    }
    Ok(())
}
