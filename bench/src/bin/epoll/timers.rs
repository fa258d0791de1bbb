//! Deadlines of a loop. A deadline is never cancelled: a connection that has moved on has another stamp by then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use proxyherd::os::clock;

/// What a deadline is for, and the stamp of the connection that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Accepting may be tried again.
    Accept,
    /// A link has waited long enough for what it waits for, or must beat.
    Link { neighbour: usize, stamp: u64 },
    /// A conversation has waited long enough for the other side to read.
    Write { key: usize, stamp: Stamp },
    /// A neighbour may have said nothing for too long in this conversation.
    Silence { key: usize, number: u64 },
    /// A conversation has waited long enough for the other side to close.
    Close { key: usize, stamp: Stamp },
    /// Conversations have had long enough to finish.
    Finish,
    /// Links have had long enough to send what is due.
    Drain,
}

/// Which conversation of all that a loop ever had, and how often it has made progress.
pub(crate) type Stamp = (u64, u64);

/// The deadlines, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Instant, Timer)>>);

impl Timers {
    /// Sets a deadline.
    pub(crate) fn set(&mut self, wait: Duration, timer: Timer) {
        self.0.push(Reverse((clock::deadline(wait), timer)));
    }

    /// How long until the next deadline.
    pub(crate) fn until_next(&self) -> Option<Duration> {
        self.0.peek().map(|Reverse((deadline, _))| deadline.saturating_duration_since(clock::instant()))
    }

    /// A deadline that has passed.
    pub(crate) fn passed(&mut self) -> Option<Timer> {
        if self.until_next()? > Duration::ZERO {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }
}
