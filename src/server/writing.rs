//! Writing for commits: what is done with the journal by the one whose turn it is.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;

use super::commits::{Commits, Mark};
use super::slips::{self, Slip};
use crate::journal::{Journal, Plan};
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};

/// Room that the buffer keeps between commits: what a few hundred connections have at once.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Who writes: one at a time.
pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) taken: Taken,
}

/// What was taken to be written.
#[derive(Debug)]
pub(super) struct Taken {
    frame: Vec<u8>,
    pub(super) mark: Mark,
    pub(super) number: u64,
}

impl Writer {
    /// Has written nothing yet, and has this buffer to change for the one that is filled.
    pub(super) fn new(journal: Journal, frame: Vec<u8>, number: u64) -> Writer {
        Writer { journal, taken: Taken { frame, mark: 0, number } }
    }
}

impl Commits {
    /// Writes all that waits.
    pub(super) fn write(&self, writer: &mut Writer) -> io::Result<()> {
        self.take(writer);
        if slips::has(Slip::KeptBeforeWritten) {
            self.keep(writer);
        }
        self.write_taken(writer)
    }

    /// Writes all that waits, and puts it on disk, whether commits wait for that or not.
    pub(super) fn write_through(&self, writer: &mut Writer) -> io::Result<()> {
        self.write(writer)?;
        self.flush(&writer.journal.file())
    }

    /// Takes all that waits, to be written next.
    pub(super) fn take(&self, writer: &mut Writer) {
        let mut pending = self.pending.lock();
        std::mem::swap(&mut pending.frame, &mut writer.taken.frame);
        (writer.taken.mark, writer.taken.number) = (pending.mark, pending.number);
        pending.taken = pending.number;
        self.taken_mark.store(pending.mark, Ordering::Release);
    }

    /// Writes what was taken.
    pub(super) fn write_taken(&self, Writer { journal, taken }: &mut Writer) -> io::Result<()> {
        if taken.frame.len() == FRAME_HEAD_BYTES {
            return Ok(());
        }
        let appended = self.fault().and_then(|()| journal.append(&mut taken.frame));
        let done = appended.and_then(|()| if self.is_synced { self.flush(&journal.file()) } else { Ok(()) });
        taken.frame.truncate(FRAME_HEAD_BYTES);
        taken.frame.shrink_to(KEPT_BYTES_MAX);
        self.keeper.touch();
        done
    }

    /// Puts on disk what was written. Others go on writing meanwhile. If it fails, nothing is kept from then on.
    pub(super) fn flush_written(&self) -> io::Result<()> {
        let file = self.with_writer(|writer| Ok(writer.journal.file()))?;
        self.flush_or_fail(&file)
    }

    /// The same with a file that was written to.
    pub(super) fn flush_or_fail(&self, file: &File) -> io::Result<()> {
        self.flush(file).inspect_err(|error| self.fail(error))
    }

    /// Where the next file of the journal would be.
    pub(super) fn plan(&self) -> io::Result<Plan> {
        self.with_writer(|writer| Ok(writer.journal.plan_next()))
    }

    /// The bytes of all files of the journal, and how many they are.
    pub(super) fn size(&self) -> (u64, usize) {
        let size = self.with_writer(|writer| Ok((writer.journal.bytes(), writer.journal.files())));
        size.unwrap_or_default()
    }

    /// Writes what is left, and that the server has stopped. Nobody else may use the journal any more.
    pub(super) fn finish(&self) -> io::Result<()> {
        if self.failure().is_some() {
            return Ok(());
        }
        self.with_writer(|writer| {
            self.take(writer);
            Record::Stopped.push_to(&mut writer.taken.frame);
            self.write_taken(writer)?;
            self.flush(&writer.journal.file())
        })
    }

    /// Fails where a test wants it.
    pub(super) fn fault(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.is_disk_broken.load(Ordering::Relaxed) {
            return Err(rustix::io::Errno::IO.into());
        }
        Ok(())
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.fault()?;
        file.sync_data()?;
        if !self.flush_delay.is_zero() {
            thread::sleep(self.flush_delay);
        }
        Ok(())
    }
}
