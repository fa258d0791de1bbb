//! The herd's server on bare epoll: a hand-driven loop for each thread, over the same rules.

mod accept;
mod conversation;
mod event_loop;
mod links;
mod peer;
mod shared;
mod timers;
mod unsent;
mod waits;

use std::process::ExitCode;

use clap::Parser;
use proxyherd::config::Config;
use proxyherd_bench::driver::Driver;
use proxyherd_bench::options::Common;
use proxyherd_bench::process::{self, Failure};

use event_loop::EventLoop;
use shared::Loops;

/// A server of the herd on bare epoll.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Threads, each with a loop of its own. The first accepts, and hands connections out in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

fn main() -> ExitCode {
    process::run(|args: &Args| args.common.clone(), serve)
}

fn serve(args: Args, config: &Config) -> Result<(), Failure> {
    let polls = (0..args.threads).map(|_| mio::Poll::new()).collect::<Result<Vec<_>, _>>()?;
    let loops: &Loops = Box::leak(Box::new(Loops::new(Driver::new(config)?, &polls)?));
    let mut event_loops = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        event_loops.push(EventLoop::new(poll, index, loops)?);
    }
    process::on_signal(|| loops.stop())?;
    let first = event_loops.remove(0);
    loops.driver.log_serving();
    std::thread::scope(|scope| {
        for other in event_loops {
            std::thread::Builder::new().spawn_scoped(scope, move || other.run())?;
        }
        first.run()
    })?;
    loops.driver.log_stopped();
    Ok(())
}
