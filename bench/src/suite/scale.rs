//! `scale`: the simulator with 5 to 10,000 servers.

use std::io;

use super::bench::Bench;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    bench.skip("scale", "the simulator is not part of this build")
}
