//! The life of the program: read the command line, do what it says, exit with its code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use proxyherd::cli::{self, Job};
use proxyherd::client;
use proxyherd::config::Config;
use proxyherd::logging::{self, OneLine};
use proxyherd::os::signals::{Request, Signals};
use proxyherd::places;
use proxyherd::server::Server;

/// The configuration is wrong, or the work could not be done; a sentence on standard error says why.
const FAILED: u8 = 2;
/// A second signal asked to stop at once, without finishing anything.
const STOPPED_AT_ONCE: i32 = 130;

fn main() -> ExitCode {
    // First of all, because a signal may come at any moment. What is no server ends by a signal as the system has it.
    let signals = cli::asks_to_serve().then(Signals::catch);
    let done = cli::parse().map_err(Box::from).and_then(|job| match job {
        Job::Serve(config) => serve(&config, signals.unwrap_or_else(Signals::catch)?),
        Job::Client(options) => Ok(client::run_on_stdout(&options)?.exit_code()),
        Job::Forget(dirs, client) => Ok(client::admin::forget(&dirs, &client)?.exit_code()),
        Job::Ask(server, command) => Ok(command.run(&server)?.exit_code()),
        Job::Print(text) => print(&text, ExitCode::SUCCESS),
        Job::Found(found) => print(found.text.as_bytes(), found.exit_code()),
    });
    done.unwrap_or_else(|error: Box<dyn Error>| {
        // With standard error gone too, the exit code still says it.
        let _ = writeln!(io::stderr(), "proxyherd: {}", OneLine(&error.to_string()));
        ExitCode::from(FAILED)
    })
}

fn serve(config: &Config, signals: Signals) -> Result<ExitCode, Box<dyn Error>> {
    let (logger, log) = logging::start(&config.name, &config.log)?;
    logging::install(logging::with_terminal(&config.name, logger), config.log.level)?;
    let mut server = Server::bind(config, places::open(&places::Options::of(&config.places)?)?)?;
    let supervisor = server.tell_supervisor();
    let (stopper, reopener) = (server.stopper(), log.reopener());
    let asked_before = AtomicBool::new(false);
    signals.answer(move |request| match request {
        Request::Stop(_) if asked_before.swap(true, Ordering::Relaxed) => std::process::exit(STOPPED_AT_ONCE),
        // The server logs it: this thread must not wait for a disk, or it would not hear the second one.
        Request::Stop(signal) => stopper.stop_by(signal),
        Request::Reopen => supervisor.reloading(|| {
            reopener.reopen("SIGHUP: the log is opened again, and files that options name are read again");
            stopper.reload_files();
        }),
    })?;
    server.run()?;
    let missing = log.stop().missing();
    if missing > 0 {
        let _ = writeln!(io::stderr(), "proxyherd: {missing} lines are missing from the log");
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8], code: ExitCode) -> Result<ExitCode, Box<dyn Error>> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(code),
    }
}
