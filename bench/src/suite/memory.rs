//! `memory`: what an idle connection costs, in the server's own memory and in the kernel's.

use std::io;

use super::bench::Bench;
use super::contest::{Contest, Entrant, load_of};
use super::limits::connections_max;
use super::options::Name;
use super::results::{Record, point};
use crate::load::Options;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let open = connections_max(Name::Memory, bench.scale());
    let contest = Contest {
        point: point(&[("open", open.to_string())]),
        rounds: bench.rounds(1, 3),
        load: Options { active: Some(1), ..load_of(open, bench.window()) },
        pinned: false,
        fresh: true,
    };
    let variants = bench.field(|able| able.idlers && (able.crowds || able.herd));
    for record in contest.hold(bench, variants.into_iter().map(Entrant::plain).collect())? {
        bench.say(&row(&record))?;
    }
    Ok(())
}

fn row(record: &Record) -> String {
    let kib = |name| record.spread(name).map_or("-".to_owned(), |it| format!("{:.1}", it.median / 1024.0));
    let (user, kernel) = (kib("rss_bytes_per_connection"), kib("kernel_bytes_per_connection"));
    format!("{:<16} {user:>6} KiB of its own, {kernel:>6} KiB of the kernel's (both ends)", record.variant)
}
