//! What is measured. `README.md` of this crate says what each suite means and how to read it.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | the command line |
//! | `variant` | every server that can be measured, and how it is started |
//! | `address`, `server` | free addresses, herds of any shape, processes that never remain |
//! | `paired_run` | variants taking turns at one point |
//! | `results`, `stats` | the file of results, what need not be measured again, medians of paired ratios |
//! | `targets` | what is aimed at, and the scoreboard |
//! | `compare` | which ratios two runs agree on |
//! | `bench` | what all suites are given |
//! | `limits` | whether this machine has room, asked before anything starts |
//! | `per_update` | what an update costs all servers of a herd |
//! | `redis` | a Redis that a suite starts for itself |
//! | one file for each suite | its points |

pub mod compare;
pub mod options;
pub mod results;
pub mod stats;
pub mod targets;

pub(crate) mod address;
mod bench;
mod churn;
mod crowd_bound;
mod crowds;
mod database;
mod events;
mod far_end;
mod grid;
mod growth;
mod herd;
mod http;
mod idle;
mod limits;
mod line;
mod memory;
mod mqtt;
mod open;
mod paired_run;
mod per_update;
mod places;
pub(crate) mod propagation;
mod recovery_cost;
mod redis;
mod scale;
pub(crate) mod server;
mod settings;
mod slow_places;
mod sockets;
mod tls;
mod trees;
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
            Name::Logging => settings::logging(&mut bench)?,
            Name::Durability => settings::durability(&mut bench)?,
            Name::Scheduling => settings::scheduling(&mut bench)?,
            Name::Line => line::run(&mut bench)?,
            Name::Growth => growth::run(&mut bench)?,
            Name::Http => http::run(&mut bench)?,
            Name::Mqtt => mqtt::run(&mut bench)?,
            Name::Events => events::run(&mut bench)?,
            Name::Database => database::run(&mut bench)?,
            Name::Trees => trees::run(&mut bench)?,
            Name::Tls => tls::run(&mut bench)?,
            Name::Crowds => crowds::run(&mut bench)?,
            // They stand for several.
            Name::Quick | Name::Full => {}
        }
        bench.check_targets()?;
    }
    bench.end()
}
