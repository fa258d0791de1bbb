//! One file of a journal that is appended to. A journal has one such file, or several, its lanes, to which threads
//! append at the same time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::files::{FileName, end};
use super::log_buffer::LogBuffer;
use crate::proto::wal::record::seal;

/// A file that is appended to.
#[derive(Debug)]
pub struct Lane {
    file: Arc<File>,
    pub(super) name: FileName,
    /// With those that only the buffer has.
    bytes: u64,
    /// Where commits go that need not be on disk, if the file system allows that.
    buffer: Option<LogBuffer>,
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
        Lane { file, name, bytes, buffer, is_broken: false, disk }
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

    /// Writes to the file what only the buffer has, which is removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn close(&mut self) -> io::Result<()> {
        self.drain()?;
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

    /// Writes to the file, which has `file_bytes` bytes.
    fn write(&mut self, file_bytes: u64, frames: &[u8]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        self.disk.write(&self.file, frames).inspect_err(|_| {
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
