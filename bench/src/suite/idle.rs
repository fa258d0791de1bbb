//! `idle`: thousands of connections open, a hundred of them active, which is how mobile clients behave.

use std::io;

use super::bench::Bench;
use super::limits::connections_max;
use super::options::Name;
use super::paired_run::{PairedRun, load_of};
use super::results::point;
use crate::load::Options;

/// Connections that send.
const ACTIVE: u32 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let open = connections_max(Name::Idle, bench.scale());
    for depth in bench.either(vec![1], vec![1, 16, 64]) {
        let at = point(&[("open", &open), ("active", &ACTIVE), ("depth", &depth)]);
        let load = Options { active: Some(ACTIVE), depth, ..load_of(open, bench.window()) };
        PairedRun::new(bench, at, (1, 5), load).variants(bench, bench.field(|able| able.idlers))?;
    }
    Ok(())
}
