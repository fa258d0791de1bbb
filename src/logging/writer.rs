//! The thread that owns the log file: it takes what is queued and writes it in one go.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::Receiver;
use log::Level;

use super::front::write_line;
use super::{Entry, LogReport};
use crate::proto::model::name::ServerName;

/// A batch is written when it has grown to this size, though more may be queued: what a file system takes in
/// one write without effort.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// How long a first line waits for others. A caller need not wake a thread that is awake, and a wake-up is
/// the dearest part of a log call: without this pause a line cost up to 15 microseconds of processor time
/// at 50,000 lines a second, with it 1.5.
const LINGER: Duration = Duration::from_millis(1);

/// With this many lines queued a batch is worth writing at once.
const LINGER_LINES_MAX: usize = 1024;

/// The thread's own state.
pub(super) struct Writer<W, C> {
    name: ServerName,
    queue: Receiver<Entry>,
    counts: Arc<Counts>,
    sink: W,
    complaints: C,
    /// Whole lines not yet written.
    batch: Vec<u8>,
    outage: Option<Outage>,
    outages: u64,
}

/// The sink has failed, and has not worked since.
struct Outage {
    lines_lost: u64,
    /// What failed first.
    error: io::Error,
    /// The sink took only a part of a line, which is to be ended first.
    mid_line: bool,
}

impl<W: Write, C: Write> Writer<W, C> {
    pub(super) fn new(
        name: &ServerName,
        queue: Receiver<Entry>,
        counts: Arc<Counts>,
        sink: W,
        complaints: C,
    ) -> Writer<W, C> {
        let (batch, outage, outages) = (Vec::new(), None, 0);
        Writer { name: name.clone(), queue, counts, sink, complaints, batch, outage, outages }
    }

    /// Writes until it is told to stop, or nobody is left who could log.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            if matches!(first, Entry::Line(_)) && self.queue.len() < LINGER_LINES_MAX {
                std::thread::sleep(LINGER);
            }
            let mut next = Some(first);
            while let Some(entry) = next {
                if self.take(entry).is_break() {
                    return self.finish();
                }
                next = self.queue.try_recv().ok();
            }
            self.write_batch();
            self.tell_gap();
        }
        self.finish();
    }

    fn take(&mut self, entry: Entry) -> std::ops::ControlFlow<()> {
        match entry {
            Entry::Line(line) => {
                self.batch.extend_from_slice(&line);
                if self.batch.len() >= BATCH_BYTES_MAX {
                    self.write_batch();
                }
            }
            Entry::Flush(done) => {
                self.write_batch();
                self.tell_gap();
                // Whoever asked may be gone.
                let _ = done.send(());
            }
            Entry::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Writes what was queued after the word to stop, but not what goes on being queued.
    fn finish(mut self) {
        for _ in 0..self.queue.len() {
            if let Ok(entry) = self.queue.try_recv() {
                let _ = self.take(entry);
            }
        }
        self.write_batch();
        self.tell_gap();
        // Whether this fails does not matter any more.
        let _ = self.tell_outage();
    }

    /// The callers tell of a gap before the next line; when no line follows, it is told here, after all
    /// that was queued before it.
    fn tell_gap(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        if let Some(gap) = self.counts.take_gap() {
            write_line(&mut self.batch, &self.name, Level::Warn, &gap.to_string());
            self.write_batch();
        }
    }

    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let lines = count_lines(&self.batch);
        let result = self.tell_outage().and_then(|()| self.write_lines());
        self.batch.clear();
        if let Err(error) = result {
            self.counts.write_errors.fetch_add(1, Relaxed);
            // A failure of the remark alone lost all lines of the batch, one further on only the rest.
            let lost = lines - error.lines_written;
            self.counts.lost.fetch_add(lost, Relaxed);
            self.begin_outage(error, lost);
        }
    }

    /// Ends an outage with a remark, if there is one and the sink works again.
    fn tell_outage(&mut self) -> Result<(), WriteFailed> {
        let Some(outage) = &mut self.outage else { return Ok(()) };
        let mut remark = Vec::new();
        if outage.mid_line {
            remark.push(b'\n');
        }
        let text =
            format!("{} lines lost, the log could not be written: {}", outage.lines_lost, outage.error);
        write_line(&mut remark, &self.name, Level::Error, &text);
        match write_all(&mut self.sink, &remark) {
            Ok(()) => {
                self.counts.lines.fetch_add(1, Relaxed);
                self.outage = None;
                Ok(())
            }
            Err((written, error)) => {
                let mid_line = match remark[..written].last() {
                    Some(last) => *last != b'\n',
                    None => outage.mid_line,
                };
                Err(WriteFailed { lines_written: 0, mid_line, error })
            }
        }
    }

    fn write_lines(&mut self) -> Result<(), WriteFailed> {
        let (written, result) = match write_all(&mut self.sink, &self.batch) {
            Ok(()) => (&self.batch[..], Ok(())),
            Err((written, error)) => (&self.batch[..written], Err(error)),
        };
        let lines_written = count_lines(written);
        self.counts.lines.fetch_add(lines_written, Relaxed);
        let mid_line = written.last().is_some_and(|last| *last != b'\n');
        result.map_err(|error| WriteFailed { lines_written, mid_line, error })
    }

    /// Complains once for an outage, since the log itself cannot say it; of many outages (a disk that is
    /// full again and again) about the first, second, fourth, eighth.
    fn begin_outage(&mut self, failed: WriteFailed, lost: u64) {
        match &mut self.outage {
            Some(outage) => {
                outage.lines_lost += lost;
                outage.mid_line = failed.mid_line;
            }
            None => {
                self.outages += 1;
                if self.outages.is_power_of_two() {
                    let mut line = Vec::new();
                    let text =
                        format!("cannot write the log: {}; lines are lost until it works", failed.error);
                    write_line(&mut line, &self.name, Level::Error, &text);
                    // There is nobody left to tell.
                    let _ = self.complaints.write_all(&line);
                }
                self.outage =
                    Some(Outage { lines_lost: lost, error: failed.error, mid_line: failed.mid_line });
            }
        }
    }
}

struct WriteFailed {
    lines_written: u64,
    mid_line: bool,
    error: io::Error,
}

/// `write_all` that says how much was written when it fails.
fn write_all(sink: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// What became of the lines, counted by the callers and the thread.
#[derive(Default)]
pub(super) struct Counts {
    lines: AtomicU64,
    dropped: AtomicU64,
    /// Dropped, and the log does not say so yet.
    gap: AtomicU64,
    lost: AtomicU64,
    write_errors: AtomicU64,
}

impl Counts {
    /// Counts a line that was not queued.
    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
        self.gap.fetch_add(1, Relaxed);
    }

    pub(super) fn has_gap(&self) -> bool {
        self.gap.load(Relaxed) > 0
    }

    /// The lines dropped that the log does not tell of yet; whoever takes them must tell.
    pub(super) fn take_gap(&self) -> Option<Gap> {
        let lines = if self.has_gap() { self.gap.swap(0, Relaxed) } else { 0 };
        (lines > 0).then_some(Gap(lines))
    }

    pub(super) fn put_back(&self, gap: Gap) {
        self.gap.fetch_add(gap.0, Relaxed);
    }

    pub(super) fn report(&self) -> LogReport {
        LogReport {
            lines: self.lines.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lost: self.lost.load(Relaxed),
            write_errors: self.write_errors.load(Relaxed),
        }
    }
}

/// A number of lines missing in one place.
pub(super) struct Gap(u64);

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines dropped here, the log's queue was full", self.0)
    }
}
