//! What is to be written to the journal, and what has it: the files, and the numbers that a commit covers.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::lanes::{LaneWriter, Lsn};
use crate::journal::{Journal, NextFiles};
use crate::os::sync::MutexGuard;
use crate::proto::wal::record::FRAME_HEAD_BYTES;

/// Records that wait to be written by one thread for all.
#[derive(Debug)]
pub struct Pending {
    /// Records, behind room for what makes a frame of them.
    pub frame: Vec<u8>,
    /// What a commit must cover to cover these.
    pub lsn: Lsn,
    /// The sequence number of the last change that they hold.
    pub seq: u64,
    /// The sequence number of the last change that may be in a file.
    pub written_seq: u64,
    /// Whether nothing is recorded, because writing has failed.
    pub is_off: bool,
}

/// The journal, and what a commit covers when what was taken to be written is.
#[derive(Debug)]
pub struct InFlight {
    /// All files but those that are written to.
    pub journal: Journal,
    /// What the commit covers.
    pub lsn: Lsn,
    /// The sequence number of the last change in it.
    pub seq: u64,
}

/// The journal while one thread has all of it.
pub struct WalWriter<'a> {
    /// The journal, and what is being written.
    pub in_flight: MutexGuard<'a, InFlight>,
    /// Its lanes.
    pub lanes: Vec<MutexGuard<'a, LaneWriter>>,
}

impl Pending {
    /// Nothing waits, and the last change has this sequence number.
    pub fn new(seq: u64) -> Pending {
        let frame = vec![0; FRAME_HEAD_BYTES];
        Pending { frame, lsn: Lsn::default(), seq, written_seq: seq, is_off: false }
    }
}

impl WalWriter<'_> {
    /// Takes all that waits, to be written next, and leaves an empty buffer.
    pub fn take(&mut self, pending: &mut Pending) {
        std::mem::swap(&mut pending.frame, &mut self.lanes[0].frame);
        (self.in_flight.lsn, self.in_flight.seq) = (pending.lsn, pending.seq);
        pending.written_seq = pending.seq;
    }

    /// Writes what was recorded in each lane; whether that was anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self) -> io::Result<bool> {
        let mut has_written = false;
        for lane in &mut self.lanes {
            has_written |= lane.write()?;
        }
        Ok(has_written)
    }

    /// Writes to the files what only the log buffers have.
    ///
    /// # Errors
    /// What the system says.
    pub fn drain(&mut self) -> io::Result<()> {
        self.lanes.iter_mut().try_for_each(|lane| lane.file.drain())
    }

    /// From now on the next files are written to. Returns those before, which may have to be flushed.
    pub fn switch(&mut self, next: NextFiles) -> Vec<Arc<File>> {
        self.in_flight.journal.switch(self.lanes.iter_mut().map(|lane| &mut lane.file), next)
    }

    /// Nothing more is written to these files.
    pub fn distrust(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.file.distrust());
    }
}
