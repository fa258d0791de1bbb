//! The one that writes the journal: takes what is pending, writes it, and puts it on disk.

use std::fs::File;
use std::io;

use crate::journal::Journal;
use crate::proto::wal::record::FRAME_HEAD_BYTES;

/// Room that the buffer keeps between commits: what a few hundred connections have at once.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// A log sequence number: a commit that covers it covers all that was applied before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

/// Records that wait to be written.
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

/// The journal, and what is being written to it.
#[derive(Debug)]
pub struct WalWriter {
    /// The files.
    pub journal: Journal,
    /// What a commit covers when this is written.
    pub in_flight: InFlight,
    /// Whether a commit is on disk before it counts.
    pub is_synced: bool,
}

/// What was taken to be written.
#[derive(Debug)]
pub struct InFlight {
    frame: Vec<u8>,
    /// What it covers.
    pub lsn: Lsn,
    /// The sequence number of the last change in it.
    pub seq: u64,
}

impl Pending {
    /// Nothing waits, and the last change has this sequence number.
    pub fn new(seq: u64) -> Pending {
        let frame = vec![0; FRAME_HEAD_BYTES];
        Pending { frame, lsn: Lsn::default(), seq, written_seq: seq, is_off: false }
    }
}

impl WalWriter {
    /// Has written nothing yet.
    pub fn new(journal: Journal, is_synced: bool, seq: u64) -> WalWriter {
        let frame = vec![0; FRAME_HEAD_BYTES];
        WalWriter { journal, in_flight: InFlight { frame, lsn: Lsn::default(), seq }, is_synced }
    }

    /// Takes all that waits, to be written next, and leaves its own empty buffer.
    pub fn take(&mut self, pending: &mut Pending) {
        std::mem::swap(&mut pending.frame, &mut self.in_flight.frame);
        (self.in_flight.lsn, self.in_flight.seq) = (pending.lsn, pending.seq);
        pending.written_seq = pending.seq;
    }

    /// Appends something to what was taken.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.in_flight.frame
    }

    /// Writes what was taken; whether that was anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_in_flight(&mut self) -> io::Result<bool> {
        let WalWriter { journal, in_flight: InFlight { frame, .. }, is_synced } = self;
        if frame.len() == FRAME_HEAD_BYTES {
            return Ok(false);
        }
        let appended = journal.append(frame);
        frame.truncate(FRAME_HEAD_BYTES);
        frame.shrink_to(BUFFER_BYTES_KEPT);
        let is_synced = *is_synced;
        appended.and_then(|()| if is_synced { self.flush(&self.journal.file()) } else { Ok(()) })?;
        Ok(true)
    }

    /// Puts on disk what was written to a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&self, file: &File) -> io::Result<()> {
        self.journal.disk().flush(file)
    }
}
