//! The instructions of a known phone's report, from its bytes in the kernel to those of the answer: all that the thread
//! of its connection does, counted by callgrind. What two runs of different lengths have in common drops out, so that
//! the beginning of a connection is not part of it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use proxyherd::config::TokenHash;
use proxyherd::os::clock;
use proxyherd::proto::http::form;

use super::running::Running;
use crate::load::owntracks::{Phone, push_report};
use crate::process::Failure;

/// What only the thread of the connection calls, whose counts are those that are wanted.
const OF_THE_THREAD: &str = "frontend::http::Connection::request";

/// Reports until all is as it goes on, and those that count.
const WARM_UP: u64 = 200;
const COUNTED_REPORTS: u64 = 1_000;

/// How long ago the first report was made: each is a second later than the one before.
const BEGAN_S: u64 = 100_000;

/// The token of the user.
const TOKEN: &str = "KRGv3sm0FsvKvFkOaUQmN1zAx0wu8Lke";

/// What phones show, and what the server asks of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// There is no access file.
    None,
    /// There is one, and the phone shows the token of its user as a password.
    Basic,
}

/// The instructions of one report.
///
/// # Errors
/// If callgrind is not there or did not count.
pub fn instructions(login: Login) -> Result<f64, Failure> {
    let (few, many) = (collected(login, WARM_UP)?, collected(login, WARM_UP + COUNTED_REPORTS)?);
    Ok(many.saturating_sub(few) as f64 / COUNTED_REPORTS as f64)
}

/// Sends so many reports on one connection: this is what callgrind watches.
///
/// # Errors
/// If one of them was not taken as news: then what was measured is something else.
pub fn once(login: Login, reports: u64) -> Result<(), Failure> {
    let file = std::env::temp_dir().join(format!("proxyherd-access-{}.toml", std::process::id()));
    let access = (login == Login::Basic).then(|| write_access(&file)).transpose()?;
    let server = Running::start(access)?;
    let mut talk = server.talk()?;
    let shown = format!("Basic {}", form::to_base64(format!("jane:{TOKEN}").as_bytes()));
    let login = access.map(|_| shown.as_str());
    let (begins_s, mut request) = (clock::now().seconds - BEGAN_S, Vec::new());
    for number in 0..reports {
        let time = (begins_s + number).to_string();
        request.clear();
        let phone = Phone { user: b"jane", device: b"phone", login };
        push_report(phone, ("52.000123", "4.300765"), time.as_bytes(), &mut request);
        let (status, body) = talk.ask(&request)?;
        if status != 200 || !body.starts_with(b"[") {
            return Err(format!("{status}: {}", String::from_utf8_lossy(body)).into());
        }
    }
    let applied = server.member.metrics.applied.get();
    drop(talk);
    server.stop()?;
    if access.is_some() {
        fs::remove_file(file)?;
    }
    if applied == reports { Ok(()) } else { Err(format!("{applied} of {reports} reports were news").into()) }
}

/// A file with one user, as `proxyherd token new` has one add it.
fn write_access(file: &Path) -> io::Result<&Path> {
    fs::write(file, format!("[users.jane]\ntokens = [\"{}\"]\n", TokenHash::of(TOKEN.as_bytes())))?;
    Ok(file)
}

fn collected(login: Login, reports: u64) -> Result<u64, Failure> {
    let folder = std::env::temp_dir().join(format!("proxyherd-callgrind-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--separate-threads=yes"]);
    command.arg(format!("--callgrind-out-file={}", folder.join("out").display()));
    command.arg(std::env::current_exe()?);
    command.args(["report", "--once", &reports.to_string()]);
    command.args((login == Login::Basic).then_some("--login"));
    let done = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "valgrind, which counts, is not installed".into(),
        _ => Failure::from(error),
    })?;
    let collected = of_the_thread(&folder);
    fs::remove_dir_all(&folder)?;
    match collected? {
        Some(instructions) if done.status.success() => Ok(instructions),
        _ => Err(format!("valgrind did not count:\n{}", String::from_utf8_lossy(&done.stderr)).into()),
    }
}

/// What the thread of the connection has taken: callgrind writes a file for each thread.
fn of_the_thread(folder: &Path) -> io::Result<Option<u64>> {
    for file in fs::read_dir(folder)? {
        let text = fs::read_to_string(file?.path())?;
        if text.contains(OF_THE_THREAD) {
            return Ok(text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok()));
        }
    }
    Ok(None)
}
