//! One file of a journal that is appended to. A journal has one such file, or several, its lanes, to which threads
//! append at the same time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::files::{FileName, end};
use super::log_buffer::LogBuffer;
use crate::proto::wal::record::seal;

/// Bytes of zeros that are written at once as room, where each commit is flushed. A flush of what makes a file longer
/// puts its length on disk too, which takes as long again or more; so one in some thousand small commits does that. The
/// commit that needs room waits for it: to write this much takes about a millisecond.
const ROOM_BYTES: usize = 256 << 10;

/// A file that is appended to.
#[derive(Debug)]
pub struct Lane {
    file: Arc<File>,
    pub(super) name: FileName,
    /// With those that only the buffer has.
    bytes: u64,
    /// Where commits go that need not be on disk, if the file system allows that.
    buffer: Option<LogBuffer>,
    /// Where the room ends that commits overwrite, and the file with it: see [`crate::proto::wal::ending`]. None if
    /// each commit makes the file longer.
    room_end: Option<u64>,
    /// Whether an append has failed: what stands at the end of the file is unknown.
    pub(super) is_broken: bool,
    disk: Arc<dyn Disk>,
}

impl Lane {
    pub(super) fn new(
        file: Arc<File>,
        name: FileName,
        bytes: u64,
        buffer: Option<LogBuffer>,
        disk: Arc<dyn Disk>,
    ) -> Lane {
        Lane { file, name, bytes, buffer, room_end: None, is_broken: false, disk }
    }

    /// Makes room when the first commit needs it.
    pub(super) fn with_room(self) -> Lane {
        Lane { room_end: Some(self.bytes), ..self }
    }

    /// One that nothing can be appended to, because there is no room for a next one.
    pub(super) fn broken(file: &Arc<File>, name: FileName, disk: &Arc<dyn Disk>) -> Lane {
        Lane { is_broken: true, ..Lane::new(Arc::clone(file), name, 0, None, Arc::clone(disk)) }
    }

    /// Keeps a frame, in the buffer or else in the file, so that it survives the process: its payload stands behind as
    /// many free bytes as its head needs.
    ///
    /// # Errors
    /// What the system says; after that nothing can be appended to this file any more.
    pub fn append(&mut self, frame: &mut [u8]) -> io::Result<()> {
        self.check()?;
        seal(frame);
        if !self.push(frame) {
            self.drain()?;
            // It may be too large for an empty buffer, too.
            if !self.push(frame) {
                self.write(self.bytes, frame)?;
            }
        }
        self.bytes += frame.len() as u64;
        // One that is as large would find too little of it, too.
        if frame.len() < ROOM_BYTES {
            self.make_room();
        }
        Ok(())
    }

    /// Writes to the file what only the buffer has.
    ///
    /// # Errors
    /// What the system says; after that nothing can be appended to this file any more, and the buffer keeps it.
    pub fn drain(&mut self) -> io::Result<()> {
        self.check()?;
        if let Some(mut buffer) = self.buffer.take() {
            let behind = buffer.behind();
            let written = self.write(self.bytes - behind.len() as u64, behind);
            if written.is_ok() {
                buffer.drained();
            }
            self.buffer = Some(buffer);
            written?;
        }
        Ok(())
    }

    /// Writes that nothing follows, as far as that is possible.
    pub(super) fn end(&mut self) {
        // One that could not be written to has no end: until a snapshot makes good for it, something is missing.
        let _ = self.append(&mut end()).and_then(|()| self.close());
    }

    /// Writes to the file what only the buffer has, which is removed, and cuts off the room.
    ///
    /// # Errors
    /// What the system says.
    pub fn close(&mut self) -> io::Result<()> {
        self.drain()?;
        if self.room_end.take().is_some() {
            self.file.set_len(self.bytes)?;
        }
        self.buffer.take().map_or(Ok(()), LogBuffer::remove)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("the last commit could not be written"));
        }
        Ok(())
    }

    fn push(&mut self, frame: &[u8]) -> bool {
        let offset = self.bytes;
        self.buffer.as_mut().is_some_and(|buffer| buffer.push(offset, frame))
    }

    /// Writes zeros behind the last commit when there are none left, to be flushed with it. If they cannot be written,
    /// the disk is full, and commits take what is left of it.
    fn make_room(&mut self) {
        if self.room_end.is_none_or(|end| self.bytes <= end) {
            return;
        }
        let made = self.disk.write(&self.file, self.bytes, &vec![0; ROOM_BYTES]);
        self.room_end = made.is_ok().then_some(self.bytes + ROOM_BYTES as u64);
        if made.is_err() {
            // What was written of them takes the place of commits. If that fails, zeros do no harm.
            let _ = self.file.set_len(self.bytes);
        }
    }

    /// Writes to the file, which has `file_bytes` bytes without its room.
    fn write(&mut self, file_bytes: u64, frames: &[u8]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        self.disk.write(&self.file, file_bytes, frames).inspect_err(|_| {
            self.is_broken = true;
            // Half a frame in a file that others follow would be damage. If that fails too, it is.
            let _ = self.file.set_len(file_bytes);
        })
    }

    /// What was written may not be on disk, so nothing more is appended to this file.
    pub fn distrust(&mut self) {
        self.is_broken = true;
    }

    /// The file, so that it can be flushed while others append.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The bytes of the file, with those that only its buffer has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
