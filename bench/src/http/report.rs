//! The instructions of a known phone's report, from its bytes in the kernel to those of the answer: all that the thread
//! of its connection does, counted by callgrind. What two runs of different lengths have in common drops out, so that
//! the beginning of a connection is not part of it.

use std::fs;
use std::io;
use std::path::Path;

use proxyherd::config::TokenHash;
use proxyherd::os::clock;
use proxyherd::proto::http::form;

use super::running::Running;
use crate::load::owntracks::{Phone, push_report};
use crate::process::Failure;

/// What counts: callgrind writes a file for each thread.
const CALLGRIND: [&str; 4] =
    ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file={}/callgrind"];

/// What only the thread of the connection calls, whose counts are those that are wanted.
const OF_THE_THREAD: &str = "frontend::http::Connection::request";

/// Reports until all is as it goes on, and those that count.
const WARM_UP: u64 = 200;
const COUNTED: u64 = 1_000;

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

/// The instructions of one report, whose answer tells of so many friends.
///
/// # Errors
/// If callgrind is not there or did not count, or a report was not taken as news: then something else was measured.
pub fn instructions(login: Login, friends: u64) -> Result<f64, Failure> {
    let [few, many] = [WARM_UP, WARM_UP + COUNTED].map(|reports| collected(login, friends, reports));
    Ok(many?.saturating_sub(few?) as f64 / COUNTED as f64)
}

/// Those of so many reports on one connection, and of its beginning and its end.
fn collected(login: Login, friends: u64, reports: u64) -> Result<u64, Failure> {
    // As `proxyherd token new` has one write it.
    let hash = TokenHash::of(TOKEN.as_bytes());
    let access = format!("[users.jane]\ntokens = [\"{hash}\"]\nadmin = true\n");
    let shown = format!("Basic {}", form::to_base64(format!("jane:{TOKEN}").as_bytes()));
    let (access, login) = match login {
        Login::None => (None, None),
        Login::Basic => (Some(access.as_str()), Some(shown.as_str())),
    };
    let mut server = Running::start(&CALLGRIND, access)?;
    let mut talk = server.talk()?;
    let (begins_s, mut request) = (clock::now().seconds - BEGAN_S, Vec::new());
    let friends = (0..friends).map(|friend| format!("friend{friend}"));
    let devices: Vec<String> = friends.chain((0..reports).map(|_| "phone".to_owned())).collect();
    for (second, device) in (begins_s..).zip(&devices) {
        let time = second.to_string();
        request.clear();
        let phone = Phone { user: b"jane", device: device.as_bytes(), login };
        push_report(phone, ("52.000123", "4.300765"), time.as_bytes(), &mut request);
        let (status, body) = talk.ask(&request)?;
        if status != 200 || !body.starts_with(b"[") {
            return Err(format!("{status}: {}", String::from_utf8_lossy(body)).into());
        }
    }
    let field = login.map_or(String::new(), |login| format!("Authorization: {login}\r\n"));
    let applied = talk.status(&field, "counters", "applied")?;
    drop(talk);
    let collected = of_the_thread(server.stop()?)?;
    match collected {
        _ if applied != devices.len() as u64 => {
            Err(format!("{applied} reports were news, and not all").into())
        }
        Some(instructions) => Ok(instructions),
        None => Err("valgrind did not count".into()),
    }
}

/// What the thread of the connection has taken.
fn of_the_thread(folder: &Path) -> io::Result<Option<u64>> {
    for file in fs::read_dir(folder)? {
        let text = fs::read_to_string(file?.path())?;
        if text.contains(OF_THE_THREAD) {
            return Ok(text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok()));
        }
    }
    Ok(None)
}
