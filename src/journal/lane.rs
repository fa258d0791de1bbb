//! One file of a journal that is appended to. A journal has one such file, or several, its lanes, to which threads
//! append at the same time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::files::{FileName, end};
use crate::proto::wal::record::seal;

/// A file that is appended to.
#[derive(Debug)]
pub struct Lane {
    file: Arc<File>,
    pub(super) name: FileName,
    bytes: u64,
    /// Whether an append has failed: what stands at the end of the file is unknown.
    pub(super) is_broken: bool,
    disk: Arc<dyn Disk>,
}

impl Lane {
    pub(super) fn new(file: Arc<File>, name: FileName, bytes: u64, disk: Arc<dyn Disk>) -> Lane {
        Lane { file, name, bytes, is_broken: false, disk }
    }

    /// One that nothing can be appended to, because there is no room for a next one.
    pub(super) fn broken(file: &Arc<File>, name: FileName, disk: &Arc<dyn Disk>) -> Lane {
        Lane { is_broken: true, ..Lane::new(Arc::clone(file), name, 0, Arc::clone(disk)) }
    }

    /// Writes a frame in one call: its payload stands behind as many free bytes as its head needs.
    ///
    /// # Errors
    /// What the system says; after that nothing can be appended to this file any more.
    pub fn append(&mut self, frame: &mut [u8]) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("the last commit could not be written"));
        }
        seal(frame);
        let written = self.disk.write(&self.file, frame);
        if written.is_err() {
            self.is_broken = true;
            // Half a frame in a file that others follow would be damage. If that fails too, it is.
            let _ = self.file.set_len(self.bytes);
        } else {
            self.bytes += frame.len() as u64;
        }
        written
    }

    /// Writes that nothing follows, as far as that is possible.
    pub(super) fn end(&mut self) {
        // One that could not be written to has no end: until a snapshot makes good for it, something is missing.
        let _ = self.append(&mut end());
    }

    /// What was written may not be on disk, so nothing more is appended to this file.
    pub fn distrust(&mut self) {
        self.is_broken = true;
    }

    /// The file, so that it can be flushed while others append.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From now on it is written through this disk.
    #[must_use]
    pub fn on(self, disk: Arc<dyn Disk>) -> Lane {
        Lane { disk, ..self }
    }
}
