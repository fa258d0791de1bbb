//! The life of the program: read the command line, do what it says, exit with its code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxyherd::cli::{self, Job};
use proxyherd::client::{self, Replies};
use proxyherd::config::Config;
use proxyherd::server::Server;
use proxyherd::{logging, places};

/// One of the replies was an error line.
const ERROR_REPLY: u8 = 1;
/// The configuration is wrong, or the work could not be done; a sentence on standard error says why.
const FAILED: u8 = 2;
/// A second signal asked to stop at once, without finishing anything.
const STOPPED_AT_ONCE: i32 = 130;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(Job::Serve(config)) => serve(&config),
        Ok(Job::Client(options)) => talk(&options),
        Ok(Job::Print(text)) => print(&text),
        Err(error) => fail(&error),
    }
}

fn serve(config: &Config) -> ExitCode {
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn start(config: &Config) -> Result<(), Box<dyn Error>> {
    let places = Arc::from(places::open(&places::Options::default())?);
    let (logger, log) = logging::start(&config.name, &config.log)?;
    logging::install(logging::with_terminal(&config.name, logger), config.log.level)?;
    let server = Server::bind(config, places)?;
    let stopper = server.stopper();
    let asked_before = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked_before.swap(true, Ordering::Relaxed) {
            std::process::exit(STOPPED_AT_ONCE);
        }
        stopper.stop();
    })?;
    server.run()?;
    log.stop();
    Ok(())
}

fn talk(options: &client::Options) -> ExitCode {
    match client::run(options, &mut io::stdout().lock()) {
        Ok(Replies::Good) => ExitCode::SUCCESS,
        Ok(Replies::Errors) => ExitCode::from(ERROR_REPLY),
        Err(error) => fail(&error),
    }
}

fn print(text: &[u8]) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was reading has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write to standard output: {error}")),
    }
}

fn fail(why: &dyn Display) -> ExitCode {
    // With standard error gone too, the exit code still says it.
    let _ = writeln!(io::stderr(), "proxyherd: {why}");
    ExitCode::from(FAILED)
}
