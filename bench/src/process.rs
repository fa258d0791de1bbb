//! What every variant does as a process: read the command line, log, serve until a signal comes, exit.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use proxyherd::config::Config;
use proxyherd::logging;
use proxyherd::os::scheduling;
use proxyherd::os::signals::{Request, Signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Common;

/// The configuration is wrong, or the server could not start; a sentence on standard error says why.
const FAILED: u8 = 2;

/// A second signal asked to stop at once, without finishing anything.
const STOPPED_AT_ONCE: i32 = 130;

/// What can end a variant early.
pub type Failure = Box<dyn Error>;

/// A variant without options of its own, which the herd is measured against.
#[derive(Parser)]
struct Plain {
    #[command(flatten)]
    common: Common,
}

/// [`run`] for a variant without options of its own.
pub fn run_plain(serve: impl FnOnce(&Config) -> Result<(), Failure>) -> ExitCode {
    run(|args: &Plain| args.common.clone(), |_, config| serve(config))
}

/// Parses the command line, starts the log, and lets `serve` serve until it returns. `split` takes what is
/// common to all variants out of the arguments of this one.
pub fn run<A: Parser>(
    split: impl FnOnce(&A) -> Common,
    serve: impl FnOnce(A, &Config) -> Result<(), Failure>,
) -> ExitCode {
    let args = A::parse();
    let ended = split(&args).checked().and_then(|config| {
        raise_open_files_limit();
        // As the threads of the server that serve clients; those that a variant starts have it from this one.
        let _ = scheduling::set_batch_policy();
        let (logger, log) = logging::start(&config.name, &config.log)?;
        logging::install(logging::with_terminal(&config.name, logger), config.log.level)?;
        serve(args, &config)?;
        log.stop();
        Ok(())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Calls `stop` when a signal asks for it; the second signal ends the process at once.
///
/// # Errors
/// If the system does not let signals be caught.
pub fn on_signal(stop: impl Fn() + Send + Sync + 'static) -> Result<(), Failure> {
    let asked_before = AtomicBool::new(false);
    Signals::catch()?.answer(move |request| match request {
        Request::Reopen => {}
        Request::Stop(_) if asked_before.swap(true, Ordering::Relaxed) => std::process::exit(STOPPED_AT_ONCE),
        Request::Stop(_) => stop(),
    })?;
    Ok(())
}

/// Ends the process at the first signal, with nothing finished: enough for the variants that keep nothing.
///
/// # Errors
/// If the system does not let signals be caught.
pub fn exit_on_signal() -> Result<(), Failure> {
    on_signal(|| {
        log::logger().flush();
        std::process::exit(0);
    })
}

/// Logs that a connection is closed because there is no thread for it.
pub fn note_no_thread(error: &io::Error) {
    log::warn!("no thread for a connection: {error}; raise the limits on processes or mappings");
}

/// Every connection needs a descriptor, so as many are allowed as the system grants without asking anybody.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it is refused the server runs with what it has, and says so when that has run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
