//! Where a result comes from: machine, kernel, compiler, version, date. And the file that results are kept in.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::clock;

/// What a result was measured on, and what was measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// When, in UTC.
    pub date: String,
    /// Processors that can be used.
    pub cpus: usize,
    /// Their model.
    pub model: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// `git describe` of the source, with `-dirty` if it has been changed since.
    pub version: String,
    /// The commit in full.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
}

impl Provenance {
    /// Here and now.
    pub fn here() -> Provenance {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let after_colon = |line: &str| line.split_once(':').map_or("", |(_, value)| value).trim().to_owned();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name")).map(after_colon);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = memory.lines().find(|line| line.starts_with("MemTotal:")).map(after_colon);
        let kib: u64 = total.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
        Provenance {
            date: clock::date(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            model: model.unwrap_or_default(),
            memory_mib: kib / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            version: version(),
            commit: said_by("git", &["rev-parse", "HEAD"]),
            rustc: said_by("rustc", &["--version"]),
        }
    }
}

/// Adds `value` to the file at `path` as one line of JSON, in one write. A line that was cut off when its
/// writer was killed is ended first, so that it spoils only itself.
pub fn append(path: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let mut line = Vec::new();
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            line.push(b'\n');
        }
    }
    serde_json::to_writer(&mut line, value)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// `git describe`, with `-dirty` if anything but results has been changed since: a run that goes on where it was
/// stopped has added to them itself.
fn version() -> String {
    let commit = said_by("git", &["describe", "--always", "--tags"]);
    let but_results = ["--", ":(top)", ":(top,exclude)bench/results"];
    let changed = ["status", "--porcelain", "--untracked-files=no"].into_iter().chain(but_results);
    match said_by("git", &changed.collect::<Vec<_>>()).is_empty() {
        true => commit,
        false => format!("{commit}-dirty"),
    }
}

/// The first line that a program prints; empty if there is no such program or it fails.
pub(crate) fn said_by<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = Command::new(program).args(arguments).output();
    let said = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    String::from_utf8_lossy(&said.unwrap_or_default()).lines().next().unwrap_or_default().to_owned()
}
