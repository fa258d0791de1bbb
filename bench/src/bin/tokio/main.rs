//! The herd's server on tokio: a task for each connection and for each link, over the same rules.

mod accept;
mod herd;
mod link;
mod sockets;
mod textbook;
mod tuned;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use proxyherd::config::Config;
use proxyherd_bench::driver::Driver;
use proxyherd_bench::options::Common;
use proxyherd_bench::process::{self, Failure};
use tokio::runtime::{Builder, Runtime};

use accept::Style;
use herd::Herd;

/// A server of the herd on tokio.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// The runtime: its work-stealing one, or one that stays in its thread.
    #[arg(long, default_value = "multi")]
    flavor: Flavor,
    /// The conversation: as the tutorials have it, or as fast as measuring made it.
    #[arg(long, default_value = "tuned")]
    style: Style,
    /// Threads that serve clients [default: a thread for each processor for multi, 1 for current].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Flavor {
    Multi,
    Current,
}

fn main() -> ExitCode {
    process::run(|args: &Args| args.common.clone(), serve)
}

fn serve(args: Args, config: &Config) -> Result<(), Failure> {
    let calls_max = config.limits.connections_max as usize;
    let herd: &Herd = Box::leak(Box::new(Herd::new(Driver::new(config)?, args.style)));
    process::on_signal(|| herd.stop())?;
    let peers = herd::open_peers(herd)?;
    match args.flavor {
        Flavor::Multi => {
            let mut builder = Builder::new_multi_thread();
            if let Some(threads) = args.threads {
                builder.worker_threads(threads.into());
            }
            let runtime = finished(builder, args.style, calls_max)?;
            // On a worker, where accepting shares the reactor with serving.
            runtime.block_on(async { runtime.spawn(herd::serve(herd, peers, 1)).await })??;
        }
        Flavor::Current => {
            let threads = args.threads.unwrap_or(1);
            let others = (1..threads)
                .map(|_| finished(Builder::new_current_thread(), args.style, calls_max))
                .collect::<Result<Vec<_>, _>>()?;
            let first = finished(Builder::new_current_thread(), args.style, calls_max)?;
            std::thread::scope(|scope| {
                for runtime in others {
                    std::thread::Builder::new()
                        .spawn_scoped(scope, move || runtime.block_on(herd::serve_more_clients(herd)))?;
                }
                first.block_on(herd::serve(herd, peers, threads))
            })?;
        }
    }
    Ok(())
}

/// The textbook takes the runtime as it comes; tuned, as many questions may wait as there may be clients.
fn finished(mut builder: Builder, style: Style, calls_max: usize) -> std::io::Result<Runtime> {
    if style == Style::Tuned {
        builder.max_blocking_threads(calls_max);
    }
    builder.enable_all().build()
}
