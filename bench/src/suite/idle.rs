//! `idle`: thousands of connections open, a hundred of them active, which is how mobile clients behave.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::limits::connections_max;
use super::options::Name;
use super::results::point;
use crate::load::Options;

/// Connections that send.
const ACTIVE: u32 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let open = connections_max(Name::Idle, bench.scale());
    for depth in bench.either(vec![1], vec![1, 16]) {
        let contest = Contest {
            point: point(&[
                ("open", open.to_string()),
                ("active", ACTIVE.to_string()),
                ("depth", depth.to_string()),
            ]),
            rounds: bench.rounds(1, 5),
            load: Options { active: Some(ACTIVE), depth, ..load_of(open, bench.window()) },
            pinned: false,
            fresh: false,
        };
        let variants = bench.field(|able| able.idlers);
        contest.hold(bench, variants.into_iter().map(Entrant::plain).collect())?;
    }
    Ok(())
}
