//! The thread that owns the log file: it takes what is queued and writes it in one go.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::Level;

use super::front::write_line;
use super::queue::{Counts, Entry};
use crate::proto::model::name::ServerName;

/// A batch is written when it has grown to this size, though more may be queued: what a file system takes in
/// one write without effort.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// How long a first line waits for others. A caller need not wake a thread that is awake, and a wake-up is
/// the dearest part of a log call: without this pause a line cost up to 15 microseconds of processor time
/// at 50,000 lines a second, with it 1.5.
const LINGER: Duration = Duration::from_millis(1);

/// While no line comes, how often to look whether the file was moved away: those who moved it expect a new one.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    /// The sink took only a part of a line, which is to be ended before the next.
    mid_line: bool,
    /// Lines are lost, and the log does not say so yet.
    outage: Option<Outage>,
    /// Outages so far.
    outages: u64,
}

/// The sink has failed, and has not worked since.
struct Outage {
    lines_lost: u64,
    /// The first failure.
    error: io::Error,
}

impl<W: Write, C: Write> Writer<W, C> {
    pub(super) fn new(
        name: &ServerName,
        queue: Receiver<Entry>,
        counts: Arc<Counts>,
        sink: W,
        complaints: C,
    ) -> Writer<W, C> {
        let (batch, mid_line, outage, outages) = (Vec::new(), false, None, 0);
        Writer { name: name.clone(), queue, counts, sink, complaints, batch, mid_line, outage, outages }
    }

    /// Writes until it is told to stop, or until no logger is left.
    pub(super) fn run(mut self) {
        loop {
            let first = match self.queue.recv_timeout(LOOK_EVERY) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    // What is wrong is told with the next line that cannot be written.
                    let _ = self.sink.flush();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
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
                // The caller may be gone.
                let _ = done.send(());
            }
            Entry::Reopen(remark) => {
                self.write_batch();
                let _ = self.sink.flush();
                if log::max_level() >= log::LevelFilter::Info {
                    write_line(&mut self.batch, &self.name, Level::Info, remark);
                }
            }
            Entry::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Writes the lines that were queued after the word to stop, but none that are queued from now on.
    fn finish(mut self) {
        for _ in 0..self.queue.len() {
            if let Ok(entry) = self.queue.try_recv() {
                let _ = self.take(entry);
            }
        }
        self.write_batch();
        self.tell_gap();
        // The remark is lost with the lines if the sink still fails.
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
        let batch = std::mem::take(&mut self.batch);
        if let Err((written, error)) = self.tell_outage().and_then(|()| self.write_lines(&batch)) {
            let lost = count_lines(&batch) - written;
            self.counts.write_errors.fetch_add(1, Relaxed);
            self.counts.lost.fetch_add(lost, Relaxed);
            match &mut self.outage {
                Some(outage) => outage.lines_lost += lost,
                None => self.begin_outage(error, lost),
            }
        }
        self.batch = batch;
        self.batch.clear();
    }

    /// Ends an outage with a remark, if there is one and the sink works again.
    fn tell_outage(&mut self) -> Result<(), (u64, io::Error)> {
        let Some(Outage { lines_lost, error }) = &self.outage else { return Ok(()) };
        let mut remark = if self.mid_line { vec![b'\n'] } else { Vec::new() };
        let text = format!("{lines_lost} lines lost, the log could not be written: {error}");
        write_line(&mut remark, &self.name, Level::Error, &text);
        self.write_lines(&remark)?;
        self.outage = None;
        Ok(())
    }

    /// Writes `bytes`, and counts the lines of which the sink took the end; an error says how many it took.
    fn write_lines(&mut self, bytes: &[u8]) -> Result<(), (u64, io::Error)> {
        let mut written = 0;
        let result = loop {
            match self.sink.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if written == bytes.len() {
                break Ok(());
            }
        };
        let Some(last) = bytes[..written].last() else { return result.map_err(|error| (0, error)) };
        // A line that was cut by an outage is lost already, though its end is written now.
        let lines = count_lines(&bytes[..written]) - u64::from(self.mid_line);
        self.mid_line = *last != b'\n';
        self.counts.lines.fetch_add(lines, Relaxed);
        result.map_err(|error| (lines, error))
    }

    /// Complains once for an outage, since the log itself cannot say it; of many outages (a disk that is
    /// full again and again) about the first, second, fourth, eighth.
    fn begin_outage(&mut self, error: io::Error, lines_lost: u64) {
        self.outages += 1;
        if self.outages.is_power_of_two() {
            let mut line = Vec::new();
            let text = format!("cannot write the log: {error}; lines are lost until it works");
            write_line(&mut line, &self.name, Level::Error, &text);
            // Without stderr no place is left to say it.
            let _ = self.complaints.write_all(&line);
        }
        self.outage = Some(Outage { lines_lost, error });
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
