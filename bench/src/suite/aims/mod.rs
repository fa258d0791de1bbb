//! `aims`: how fast the server is to be, and whether it is.
//!
//! | aim | file | what it is about |
//! |---|---|---|
//! | 1, 3 | `rates` | replies a second beside the raw echo and beside tokio |
//! | 2 | `instructions` | instructions for a report |
//! | 3 | `tails` | p99 of pipelines on one processor beside tokio |
//! | 4, 5 | `others` | herds in other languages, and Redis |
//! | 6 | `crowd` | many connections: alive, their memory, their coming and going |
//! | 7 | `chain`, `messages` | five servers one after the other; messages for an update |
//! | 8, 9 | `settings` | what logging and durability cost; `WHATSAT` beside `IAMAT` |
//! | 10 | `fairness` | the slowest connection beside the mean |
//!
//! | file | what lives there |
//! |---|---|
//! | `card` | what has been found, and what is shown of it |
//! | `verdict` | aims, and whether figures meet them |
//! | `paired` | figures from rounds that were measured side by side |
//! | `class` | the scheduling class that a server's threads are in |

mod card;
mod chain;
mod class;
mod crowd;
mod fairness;
mod instructions;
mod messages;
mod others;
mod paired;
mod rates;
mod settings;
mod tails;
mod verdict;

use std::io;

use super::bench::Bench;
use super::contest::Entrant;
use card::Card;

/// Measures for some aims.
type Job = fn(&mut Bench<'_>, &mut Card) -> io::Result<()>;

/// What is run, and which aims each is for.
const JOBS: [(&[u8], Job); 9] = [
    (&[1, 3], rates::run),
    (&[2], instructions::run),
    (&[3], tails::run),
    (&[4, 5], others::run),
    (&[6], crowd::run),
    (&[7], chain::run),
    (&[7], messages::run),
    (&[8, 9], settings::run),
    (&[10], fairness::run),
];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    if bench.variant("threads").is_none() {
        return bench.skip("aims", "the threaded server is not there");
    }
    let mut card = Card::default();
    for (aims, job) in JOBS {
        if bench.wants_aim(aims) {
            job(bench, &mut card)?;
        }
    }
    for record in card.records() {
        bench.keep(record)?;
    }
    for line in card.table() {
        bench.say(&line)?;
    }
    Ok(())
}

/// Those of the variants with these names that are there.
fn entrants(bench: &Bench<'_>, names: &[&str]) -> Vec<Entrant> {
    names.iter().filter_map(|name| bench.variant(name)).map(Entrant::plain).collect()
}

/// Where a figure was measured: pipeline depth and connections.
fn place(depth: u32, connections: u32) -> String {
    format!("P={depth} C={connections}")
}
