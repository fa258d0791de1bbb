//! What goes from the threads that log to the one that writes, and the counts of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The counts of a log that has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Lines written to the file, the log's own remarks included.
    pub lines: u64,
    /// Lines never queued: the queue was full (and `WhenFull::Drop` chosen), or the log had stopped.
    pub dropped: u64,
    /// Lines queued that the file did not take.
    pub lost: u64,
    /// Writes that failed.
    pub write_errors: u64,
}

impl LogReport {
    /// Lines that are not in the file.
    pub fn missing(&self) -> u64 {
        self.dropped + self.lost
    }
}

/// A message to the log's thread.
pub(super) enum Entry {
    /// A whole line with its LF.
    Line(Box<[u8]>),
    /// Say so here when everything before this is in the file.
    Flush(Sender<()>),
    /// Look whether the file was moved away, and write this remark.
    Reopen(&'static str),
    /// Write what is queued and end.
    Stop,
}

/// Waits until everything queued so far is in the file.
pub(super) fn flush(entries: &Sender<Entry>) {
    let (done, wait): (Sender<()>, Receiver<()>) = bounded(1);
    if entries.send(Entry::Flush(done)).is_ok() {
        // An error means that the thread ended meanwhile, and everything queued with it.
        let _ = wait.recv();
    }
}

/// The fate of the lines, counted by the callers and the thread.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) lines: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Dropped, and the log does not say so yet.
    pub(super) gap: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) write_errors: AtomicU64,
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

    /// The lines dropped that the log does not tell of yet; the caller must tell of them.
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
