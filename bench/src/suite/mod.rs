//! What is measured. `README.md` of this crate says what each suite means and how to read it.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | the command line |
//! | `variant` | every server that can be measured, and how it is started |
//! | `address`, `server` | free addresses, herds of any shape, processes that never remain |
//! | `contest` | variants taking turns at one point |
//! | `results`, `spread` | the file of results, what need not be measured again, medians of paired ratios |
//! | `compare` | which ratios two runs agree on |
//! | `bench` | what all suites are given |
//! | `limits` | whether this machine has room, asked before anything starts |
//! | `columns` | rows of cells as Markdown |
//! | `crowd_table` | what the suite `crowds` shows at the end |
//! | `aims` | how fast the server is to be, and whether it is |
//! | one file for each suite | its points |

pub mod compare;
pub mod options;
pub mod results;
pub mod spread;

pub(crate) mod address;
mod aims;
mod bench;
mod churn;
mod columns;
mod contest;
mod crowd_table;
mod crowds;
mod durability;
mod grid;
mod herd;
mod idle;
mod keeping;
mod limits;
mod logging;
mod memory;
mod open;
mod places;
pub(crate) mod propagation;
mod scale;
pub(crate) mod server;
mod slow_places;
mod sockets;
mod turns;
mod variant;

use std::io;

use bench::Bench;
use options::{Name, Options};

/// Runs what is asked for; `said` is where people read how it goes. Returns what went wrong, a sentence each.
///
/// # Errors
/// If nothing can be measured: no room, no file for the results.
pub fn run(options: &Options, said: &mut dyn io::Write) -> io::Result<Vec<String>> {
    let mut bench = Bench::new(options, said)?;
    limits::check(&options.suites(), bench.scale()).map_err(io::Error::other)?;
    bench.name_missing()?;
    for name in options.suites() {
        bench.begin(name)?;
        match name {
            Name::Grid => grid::run(&mut bench)?,
            Name::Idle => idle::run(&mut bench)?,
            Name::Open => open::run(&mut bench)?,
            Name::Churn => churn::run(&mut bench)?,
            Name::Memory => memory::run(&mut bench)?,
            Name::Herd => herd::run(&mut bench)?,
            Name::Places => places::run(&mut bench)?,
            Name::Scale => scale::run(&mut bench)?,
            Name::Logging => logging::run(&mut bench)?,
            Name::Crowds => crowds::run(&mut bench)?,
            Name::Durability => durability::run(&mut bench)?,
            Name::Aims => aims::run(&mut bench)?,
        }
    }
    bench.end()
}
