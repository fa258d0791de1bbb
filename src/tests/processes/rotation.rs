//! The log beside the real logrotate.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::real::{RealHerd, ask, eventually, note};

/// Lines between two rotations by logrotate: with their replies, more than a file of ours holds.
const LINES: usize = 400;

/// Rotations by logrotate, fewer than the files that it keeps.
const ROTATIONS: usize = 4;

/// Runs logrotate on the log, as a daily timer would; false if this machine has none.
fn logrotate(herd: &RealHerd, options: &str) -> bool {
    let text = format!("\"{}\" {{\n  rotate 9\n  {options}\n}}\n", herd.path("*.log").display());
    fs::write(herd.path("rotate.conf"), text).unwrap();
    let mut command = Command::new("logrotate");
    // Debian has it where only administrators look.
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    let ran =
        command.arg("--force").arg("--state").args([herd.path("state"), herd.path("rotate.conf")]).output();
    match ran {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            note(format_args!("skipped, this needs logrotate (Debian: apt-get install logrotate)"));
            false
        }
        ran => {
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            true
        }
    }
}

fn text(path: &Path) -> String {
    if path.extension().is_none_or(|end| end != "gz") {
        return fs::read_to_string(path).unwrap();
    }
    let unpacked = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(unpacked.status.success());
    String::from_utf8(unpacked.stdout).unwrap()
}

/// How often each request stands in each file of the log.
fn requests(herd: &RealHerd) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(herd.path(".")).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with("Alford.log") {
            continue;
        }
        for line in text(&path).lines().filter_map(|line| line.split_once(" <- x-")) {
            *found.entry(line.1.split('-').next().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    found
}

#[test]
fn no_line_is_lost_beside_logrotate_and_neither_takes_the_files_of_the_other() {
    let options = ["--log-level", "debug", "--log-file-bytes-max", "256KiB", "--log-files-max", "100"];
    let mut herd = RealHerd::start(&["Alford"], &[], &options);
    let pad = "y".repeat(400);
    let sent = AtomicUsize::new(0);
    let is_there = thread::scope(|scope| {
        let (herd, sent) = (&herd, &sent);
        scope.spawn(move || {
            let mut talk = herd.client("Alford");
            while sent.load(Ordering::Relaxed) < (ROTATIONS + 1) * LINES {
                ask(&mut talk, &format!("x-{}-{pad}", sent.load(Ordering::Relaxed)));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        (1..=ROTATIONS).all(|rotation| {
            eventually("lines come", || (sent.load(Ordering::Relaxed) >= rotation * LINES).then_some(()));
            logrotate(herd, "create\n  compress")
        })
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    if is_there {
        assert!(herd.path(&format!("Alford.log.{ROTATIONS}.gz")).exists(), "it has rotated each time");
        assert!(herd.path("Alford.log.old-1").exists(), "and so have we");
    }
    let all: BTreeMap<usize, usize> = (0..sent.into_inner()).map(|request| (request, 1)).collect();
    assert_eq!(requests(&herd), all);
}

#[test]
fn a_log_that_was_removed_is_there_again_although_nothing_is_logged() {
    let herd = RealHerd::start(&["Alford"], &[], &["--log-level", "error"]);
    fs::remove_file(herd.path("Alford.log")).unwrap();
    eventually("it is there again", || herd.path("Alford.log").exists().then_some(()));
}

#[test]
fn a_log_goes_on_however_it_is_moved() {
    for (options, hangup) in
        [("nocreate", false), ("create", true), ("copytruncate", false), ("create\n dateext", false)]
    {
        let mut herd = RealHerd::start(&["Alford"], &[], &["--log-level", "debug"]);
        ask(&mut herd.client("Alford"), "x-1-");
        eventually("it is logged", || herd.log("Alford").contains("<- x-1-").then_some(()));
        if !logrotate(&herd, options) {
            return;
        }
        if hangup {
            herd.signal("Alford", Signal::HUP);
            eventually("it says so", || herd.log("Alford").contains("SIGHUP").then_some(()));
        }
        ask(&mut herd.client("Alford"), "x-2-");
        assert_eq!(herd.terminate("Alford").0.code(), Some(0));
        let log = herd.log("Alford");
        assert!(log.contains("<- x-2-") && !log.contains("<- x-1-"), "{options}: {log}");
        assert_eq!(requests(&herd), BTreeMap::from([(1, 1), (2, 1)]), "{options}");
    }
}
