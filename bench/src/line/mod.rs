//! What one report of a client costs between a read and a write, in instructions and in time; and one line that a
//! neighbour tells.
//!
//! | module | what lives there |
//! |---|---|
//! | [`stream`] | the reports: who, where and when |
//! | [`turn`] | a server without its sockets: what happens between a read and a write |
//! | [`instructions`] | this program under callgrind, which counts while a turn runs and at no other time |
//! | [`time`] | the same turns by the clock |

pub mod instructions;
pub mod stream;
pub mod time;
pub mod turn;

use proxyherd::proto::model::time::Moment;

use crate::process::Failure;
use stream::{Pass, Reports, Shape, received_second};
use turn::Server;

/// Passes over all clients before reports of known ones are measured: the order of change is then as long as it gets,
/// and sweeping out what was overtaken is part of every pass.
const WARM_UP_PASSES: u64 = 3;

/// Passes in which reports of known clients are measured.
const KNOWN_PASSES: u64 = 5;

/// Gives a fresh server a stream. `measured` takes the passes that count. Returns how many lines these have.
///
/// # Errors
/// If a line was no report, or no news: then what was measured is something else.
pub fn run(shape: Shape, mut measured: impl FnMut(&mut Server, &Pass, Moment)) -> Result<u64, Failure> {
    let mut server = Server::new(shape.speaker)?;
    let (warm_up, counted) = match shape.reports {
        Reports::Known => (WARM_UP_PASSES, KNOWN_PASSES),
        Reports::New => (0, 1),
    };
    let (mut lines, mut counted_lines) = (0, 0);
    for number in 0..warm_up + counted {
        let pass = Pass::new(shape, number);
        let received = Moment { seconds: received_second(number), nanos: 0 };
        if number < warm_up {
            server.take(&pass, received, Server::turn);
        } else {
            measured(&mut server, &pass, received);
            counted_lines += pass.lines();
        }
        lines += pass.lines();
    }
    server.check(lines)?;
    Ok(counted_lines)
}
