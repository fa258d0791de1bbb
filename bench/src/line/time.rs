//! The time that a turn takes.

use std::time::Duration;

use proxyherd::os::clock::ticks;

use super::run;
use super::stream::Shape;
use super::turn::Server;
use crate::process::Failure;

/// The nanoseconds of one line of a stream: those of all its passes, divided by its lines. Copying the bytes to where a
/// read would put them is part of it.
///
/// # Errors
/// If the stream was not what it should be.
pub fn per_line(shape: Shape) -> Result<f64, Failure> {
    let mut took = Duration::ZERO;
    let lines = run(shape, |server, pass, received| {
        let began = ticks();
        server.take(pass, received, Server::turn);
        took += ticks() - began;
    })?;
    Ok(took.as_nanos() as f64 / lines as f64)
}
