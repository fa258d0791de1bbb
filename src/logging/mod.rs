//! The log: lines of `<server>.log`, each prefixed with the server's name, written off the hot path.
//!
//! A line takes this way, and no step of it waits for a disk:
//!
//! 1. `front`: the record is formatted once, with its control characters escaped, in the calling thread and
//!    under no lock, so that a panicking `Display` harms no other thread. simplelog's `WriteLogger` then hands it
//!    on under its lock, where name and time are put before it: the lines of a file are in the order of time.
//! 2. A bounded channel of whole lines absorbs bursts. [`WhenFull`] says what a full one does.
//! 3. `writer`: one thread owns the file and writes all that is queued at once.
//! 4. `rotate`: the file is exchanged at the end of a line when it is full, or when others have moved it away.
//!
//! simplelog in front costs 1.0 to 1.4 times what a `Log` of our own would (0.5 to 0.9 microseconds a line
//! against 0.4 to 0.7): its lock is not the limit.
//!
//! Packages were tried against the tests of this room in place of `rotate`, and all failed some:
//!
//! - All four: one write of many lines makes a file larger than its bound, or cuts a line in two; a last line
//!   that was cut by a crash is not ended, but the next is glued to it, or starts another file.
//! - file-rotate 0.8.0: rotates after the bound was passed, or in mid-line; panics when the log cannot be opened
//!   or a rotation fails.
//! - rolling-file 0.2.0: rotates after the bound was passed; says that a line is written while the disk is full;
//!   prints to stderr when a rotation fails, and lets the file grow.
//! - flexi_logger 0.31.10 (its `FileLogWriter`): rotates after the bound was passed, and numbers the files
//!   upwards for ever.
//! - logroller 0.1.12: cuts a line that comes in two writes; never writes again when the file was moved away.
//!
//! In place of the channel and `writer`, tracing-appender 0.2.5 (its `NonBlocking`) waits and drops as it should,
//! and fails the rest: dropped lines are counted but the log does not say where they are missing; lines that the
//! file did not take are neither counted nor told of, and the next line is glued to half of one; a flush returns
//! at once; stopping gives up after 1.1 s (97 of 500 lines were written), or 0.1 s with a full queue; each line is
//! a write and a wake-up of its own (4.5 microseconds of processor time a line at 50,000 lines a second). It also
//! brings twelve packages.
//!
//! Nothing here knows the protocol; nothing here is asked to log.

mod escaped;
mod front;
mod queue;
mod rotate;
mod writer;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use log::{LevelFilter, Log};

use crate::config::{LOG_FILE_BYTES_MIN, LogOptions, WhenFull};
use crate::proto::model::name::ServerName;
use front::{Front, Tee};
use queue::{Counts, Entry, flush};
use rotate::Rotating;
use writer::Writer;

pub use escaped::{ESCAPED_BYTES_MAX, Escaped, LOG_LINE_BYTES_MAX, OneLine, is_special};
pub use queue::LogReport;

/// Lines the channel to the log's thread holds: some milliseconds of the highest rate the server reaches, so
/// that a slow flush of the disk is not felt. With lines of the usual 130 bytes that is 1 MiB, and at worst,
/// all of them of [`LOG_LINE_BYTES_MAX`] bytes, 32 MiB.
pub const QUEUE_LINES_MAX: usize = 8192;

/// Why there is no log. No case leaves a thread behind.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The directory is missing and cannot be created, or the file in it cannot be opened.
    #[error("cannot write the log {}: {source}; or name another directory with --log-dir", path.display())]
    File {
        /// The file that was to be opened.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A limit that the longest line would not fit in.
    #[error("a log file of {0} bytes is too small; allow at least {LOG_FILE_BYTES_MIN}")]
    FileTooSmall(u64),
    /// The operating system gave no thread.
    #[error("cannot start the log's thread: {0}; raise the limit on threads")]
    Thread(io::Error),
    /// A process has one logger, and it has been chosen already.
    #[error("a logger is installed already; install one per process")]
    Installed,
}

/// Opens `<name>.log` as `options` say, to be added to, and starts the thread that writes it. The logger is
/// not installed yet: see [`install`]. The guard stops the log, also when it is dropped.
pub fn start(name: &ServerName, options: &LogOptions) -> Result<(Box<dyn Log>, Logging), LoggingError> {
    if options.file_bytes_max < LOG_FILE_BYTES_MIN {
        return Err(LoggingError::FileTooSmall(options.file_bytes_max));
    }
    let path = options.dir.join(format!("{name}.log"));
    let sink = Rotating::open(path.clone(), options.file_bytes_max, options.files_max.saturating_sub(1))
        .map_err(|source| LoggingError::File { path, source })?;
    start_with(name, options.level, options.when_full, QUEUE_LINES_MAX, sink, io::stderr())
}

/// [`start`] with any `sink` for the lines, which gets whole lines only, a queue of `queue_lines`, and
/// `complaints` to write to when the sink fails.
pub(crate) fn start_with(
    name: &ServerName,
    level: LevelFilter,
    when_full: WhenFull,
    queue_lines: usize,
    sink: impl Write + Send + 'static,
    complaints: impl Write + Send + 'static,
) -> Result<(Box<dyn Log>, Logging), LoggingError> {
    let (entries, queue) = bounded(queue_lines);
    let counts = Arc::new(Counts::default());
    let writer = Writer::new(name, queue, counts.clone(), sink, complaints);
    let thread = std::thread::Builder::new()
        .name("log".to_string())
        .spawn(move || writer.run())
        .map_err(LoggingError::Thread)?;
    let logger = Front::queued(name, level, when_full, entries.clone(), counts.clone());
    Ok((Box::new(logger), Logging { entries, counts, thread: Some(thread) }))
}

/// `logger`, and beside it every warning and error on stderr, for the person who started the server in a
/// terminal. Less important lines stay out, because a terminal that does not read stalls the threads that write
/// to it.
pub fn with_terminal(name: &ServerName, logger: Box<dyn Log>) -> Box<dyn Log> {
    Box::new(Tee { logger, terminal: Front::direct(name, LevelFilter::Warn, io::stderr()) })
}

/// Makes `logger` the one behind the `log` macros of this process, up to `level`.
pub fn install(logger: Box<dyn Log>, level: LevelFilter) -> Result<(), LoggingError> {
    log::set_boxed_logger(logger).map_err(|_| LoggingError::Installed)?;
    log::set_max_level(level);
    Ok(())
}

/// The owner of the log's thread.
#[must_use = "the log stops when its guard is dropped"]
pub struct Logging {
    entries: Sender<Entry>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Logging {
    /// Waits until everything queued so far is in the file (or lost, if the file does not take it).
    pub fn flush(&self) {
        flush(&self.entries);
    }

    /// What opens the file again.
    pub fn reopener(&self) -> Reopener {
        Reopener(self.entries.clone())
    }

    /// Writes what is queued, ends the thread and says what became of the lines. What is logged afterwards
    /// goes nowhere: stop the threads that log first.
    pub fn stop(mut self) -> LogReport {
        self.join();
        self.counts.report()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.entries.send(Entry::Stop);
            let _ = thread.join();
        }
    }
}

/// Opens the file of a log again, for a thread that must not wait.
pub struct Reopener(Sender<Entry>);

impl Reopener {
    /// Looks at once whether the file was moved away, and logs `remark`.
    pub fn reopen(&self, remark: &'static str) {
        // With a full queue the next line is about to be written, and each write looks too.
        let _ = self.0.try_send(Entry::Reopen(remark));
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.join();
    }
}
