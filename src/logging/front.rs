//! The caller's side of the log: format once, escape, and queue one whole line.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam_channel::Sender;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use super::escaped::message;
use super::queue::{Counts, Entry, flush};
use crate::config::WhenFull;
use crate::proto::model::name::ServerName;

/// The targets of our own code begin so. Packages log too, and some of them log secrets: the HTTP client prints
/// addresses with the key in them.
const OWN_TARGETS: &str = "proxyherd";

/// A logger whose lines go through simplelog's lock one at a time.
pub(super) struct Front {
    lines: Box<WriteLogger<Lines>>,
    queue: Option<Sender<Entry>>,
}

impl Front {
    /// A logger that queues its lines.
    pub(super) fn queued(
        name: &ServerName,
        level: LevelFilter,
        when_full: WhenFull,
        entries: Sender<Entry>,
        counts: Arc<Counts>,
    ) -> Front {
        let room = Room { when_full, entries: entries.clone(), counts, name: name.clone() };
        Front::new(name, level, Box::new(move |line| room.put(line)), Some(entries))
    }

    /// A logger that writes its lines in the calling thread.
    pub(super) fn direct(
        name: &ServerName,
        level: LevelFilter,
        mut out: impl Write + Send + 'static,
    ) -> Front {
        Front::new(name, level, Box::new(move |line| drop(out.write_all(line))), None)
    }

    fn new(name: &ServerName, level: LevelFilter, out: Out, queue: Option<Sender<Entry>>) -> Front {
        // simplelog would print the level in brackets, the thread and the module; the level is put before
        // the message here, name and time by `Lines`.
        let mut config = ConfigBuilder::new();
        config
            .set_time_level(LevelFilter::Off)
            .set_max_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off);
        let lines = Lines { name: name.clone(), line: Vec::new(), out };
        Front { lines: WriteLogger::new(level, config.build(), lines), queue }
    }
}

impl Log for Front {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(OWN_TARGETS) && self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // The text is taken out of its cell while it is used, so an argument that logs while it is printed
        // finds an empty one. A thread that is about to end has none left.
        let mut text = SCRATCH.try_with(Cell::take).unwrap_or_default();
        text.clear();
        let mut message = message(&mut text);
        let _ = message.write_fmt(*record.args());
        let _ = message.finish();
        let args = format_args!("{} {text}", record.level());
        self.lines.log(&Record::builder().metadata(record.metadata().clone()).args(args).build());
        let _ = SCRATCH.try_with(|scratch| scratch.set(text));
    }

    fn flush(&self) {
        if let Some(queue) = &self.queue {
            flush(queue);
        }
    }
}

thread_local! {
    /// The memory that this thread formats its lines in.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

/// Two loggers: one takes all lines, the other those that concern the person at the terminal.
pub(super) struct Tee {
    pub(super) logger: Box<dyn Log>,
    pub(super) terminal: Front,
}

impl Log for Tee {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata) || self.terminal.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger.log(record);
        self.terminal.log(record);
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Appends a line of the log to `out`: name, time, level, `message`, LF.
pub(super) fn write_line(out: &mut Vec<u8>, name: &ServerName, level: Level, message: &str) {
    write_stamp(out, name);
    let _ = writeln!(out, "{level} {message}");
}

fn write_stamp(out: &mut Vec<u8>, name: &ServerName) {
    let _ = write!(out, "[{name}] {} ", humantime::format_rfc3339_micros(now()));
}

#[expect(clippy::disallowed_methods, reason = "a log line tells the time of the day at which it was made")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The way of a finished line.
type Out = Box<dyn FnMut(&[u8]) + Send>;

/// Puts together the line that simplelog hands over in fragments.
struct Lines {
    name: ServerName,
    line: Vec<u8>,
    out: Out,
}

impl Write for Lines {
    fn write(&mut self, fragment: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            write_stamp(&mut self.line, &self.name);
        }
        self.line.extend_from_slice(fragment);
        // The message holds no LF, so this one is simplelog's own, at the end.
        if fragment.ends_with(b"\n") {
            (self.out)(&self.line);
            self.line.clear();
        }
        Ok(fragment.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of the queue at which lines are put in.
struct Room {
    when_full: WhenFull,
    entries: Sender<Entry>,
    counts: Arc<Counts>,
    name: ServerName,
}

impl Room {
    fn put(&self, line: &[u8]) {
        let queued = match self.when_full {
            WhenFull::Wait => self.entries.send(Entry::Line(line.into())).is_ok(),
            WhenFull::Drop => self.gap_is_told() && self.entries.try_send(Entry::Line(line.into())).is_ok(),
        };
        if !queued {
            self.counts.dropped();
        }
    }

    /// Whether the log now says how many lines were dropped at this place, if any were. Lines are queued again only
    /// once the queue is half empty: one long gap with one remark reads better than a thousand short ones,
    /// whose remarks would fill the queue again.
    fn gap_is_told(&self) -> bool {
        if !self.counts.has_gap() {
            return true;
        }
        let roomy = self.entries.capacity().is_none_or(|lines| self.entries.len() <= lines / 2);
        if !roomy {
            return false;
        }
        let Some(remark) = self.counts.take_gap() else { return true };
        let mut line = Vec::new();
        write_line(&mut line, &self.name, Level::Warn, &remark.to_string());
        if self.entries.try_send(Entry::Line(line.into())).is_err() {
            self.counts.put_back(remark);
            return false;
        }
        true
    }
}
