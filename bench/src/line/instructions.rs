//! This program under callgrind, which counts while a turn runs and at no other time.

use std::io;
use std::process::Command;

use clap::ValueEnum;

use super::run;
use super::stream::Shape;
use super::turn::Server;
use crate::process::Failure;

/// The function during which callgrind counts, everything that it calls included.
const COUNTED: &str = "*Server*counted_turn*";

/// The instructions of one line of a stream: those of all its turns, divided by its lines.
///
/// # Errors
/// If callgrind is not there or did not count.
pub fn per_line(shape: Shape) -> Result<f64, Failure> {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(std::env::current_exe()?)
        .args(["--once", "--speaker", &word(shape.speaker)])
        .args(["--reports", &word(shape.reports)])
        .args(["--places", &word(shape.places)])
        .args(["--lines-per-buffer", &shape.lines_per_buffer.to_string()])
        .output()
        .map_err(not_started)?;
    let said = String::from_utf8_lossy(&done.stderr);
    let collected =
        said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    let lines = String::from_utf8_lossy(&done.stdout).trim().parse::<u64>();
    match (done.status.success(), collected, lines) {
        (true, Some(instructions), Ok(lines)) if instructions > 0 => Ok(instructions as f64 / lines as f64),
        _ => Err(format!("valgrind did not count:\n{said}").into()),
    }
}

/// What callgrind is to watch. Returns how many lines were counted.
///
/// # Errors
/// If the stream was not what it should be.
pub fn once(shape: Shape) -> Result<u64, Failure> {
    run(shape, |server, pass, received| server.take(pass, received, Server::counted_turn))
}

/// A value as it is called on the command line.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn not_started(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        "valgrind, which counts, is not installed: install it, or measure the time alone with --time".into()
    } else {
        error.into()
    }
}
