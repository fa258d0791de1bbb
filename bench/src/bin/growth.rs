//! What merging costs a store that grows: the longest merge of a batch while new clients come, the processor time of a
//! report of a random client once all are known, and the memory of each.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use proxyherd::proto::model::epoch::Epoch;
use proxyherd::proto::model::era::Era;
use proxyherd::proto::model::name::ServerName;
use proxyherd::proto::model::time::Moment;
use proxyherd::proto::node::{Identity, Node};
use proxyherd::proto::store::update::{MergeRule, Meta, Reject, Source, Span, Update, Updates};
use proxyherd_bench::process::Failure;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The reports of a batch: as many as one read of a busy connection has.
const BATCH_REPORTS: u64 = 64;

/// Reports of random clients, for each client, before they are timed: the log of changes is as long as it gets then.
const WARM_UP_PASSES: u64 = 3;

/// What merging costs a store that grows, as a line of JSON.
#[derive(Parser)]
#[command(name = "growth", version)]
struct Options {
    /// How many clients come.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    clients: u64,
    /// How many reports of random ones are timed then.
    #[arg(long, default_value_t = 2_000_000)]
    reports: u64,
}

/// What stands before the client's name in every line.
const PREFIX: &str = "AT Alford +0.263873386 ";

/// The bytes of every name.
const NAME_BYTES: usize = "client-00000000.example.net".len();

/// One batch.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    /// Where each line ends, and when its report was made.
    lines: Vec<(usize, Moment)>,
}

impl Updates for Batch {
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let &(end, moment) = self.lines.get(i)?;
        let start = i.checked_sub(1).map_or(0, |before| self.lines[before].0);
        let client = Span::new(PREFIX.len(), PREFIX.len() + NAME_BYTES);
        let meta = Meta { client, moment, source: Source::CLIENT };
        Some(Update { line: &self.text[start..end], meta, era: Era::FIRST, rule: MergeRule::LaterTime })
    }

    fn reject(&mut self, _: usize, _: Reject) {}

    fn applied(&mut self) {
        self.text.clear();
        self.lines.clear();
    }
}

fn main() -> ExitCode {
    match work(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "growth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(&Options { clients, reports }: &Options) -> Result<(), Failure> {
    let me = Arc::new(Identity::new(ServerName::parse("Alford")?, Vec::new(), Epoch(1)));
    let mut node = Node::new(me).bounded(clients as usize, u64::MAX);
    let mut random = fastrand::Rng::with_seed(1);
    let (mut batch, mut second) = (Batch::default(), 1_700_000_000);
    let mut merge = |node: &mut Node, client: &mut dyn FnMut() -> u64, reports: u64| {
        let (mut all_ns, mut longest_ns) = (0, 0);
        for _ in 0..reports.div_ceil(BATCH_REPORTS) {
            for _ in 0..BATCH_REPORTS {
                second += 1;
                let name = format!("client-{:08}.example.net", client());
                batch
                    .text
                    .extend_from_slice(format!("{PREFIX}{name} +34.068930-118.445127 {second}\n").as_bytes());
                batch.lines.push((batch.text.len(), Moment { seconds: second, nanos: 0 }));
            }
            let began = processor_ns();
            let applied = node.apply(&mut batch, None);
            let took = processor_ns() - began;
            assert_eq!(applied.applied as u64, BATCH_REPORTS, "every report is news");
            (all_ns, longest_ns) = (all_ns + took, longest_ns.max(took));
        }
        (all_ns as f64 / reports as f64, longest_ns as f64 / 1e6)
    };
    let empty = resident_bytes()?;
    let mut next = 0;
    let mut newcomer = || {
        next += 1;
        (next - 1) % clients
    };
    let (new_ns, longest_merge_ms) = merge(&mut node, &mut newcomer, clients);
    let mut anyone = || random.u64(..clients);
    merge(&mut node, &mut anyone, WARM_UP_PASSES * clients);
    let (random_ns, longest_random_ms) = merge(&mut node, &mut anyone, reports);
    let bytes_per_client = (resident_bytes()? - empty) / clients as f64;
    let figures = json!({
        "new_ns": new_ns,
        "random_ns": random_ns,
        "longest_merge_ms": longest_merge_ms.max(longest_random_ms),
        "bytes_per_client": bytes_per_client,
    });
    Ok(writeln!(io::stdout(), "{figures}")?)
}

/// The processor time of this thread: what others do meanwhile is no part of it.
fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn resident_bytes() -> Result<f64, Failure> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).ok_or("statm has no second field")?.parse::<f64>()?;
    Ok(resident * rustix::param::page_size() as f64)
}
