//! The log buffer of one lane: a mapped file for its latest frames, which saves most of them a call of the system.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::disk::Disk;
use super::files::{FileName, Folder, remove};
use crate::os::mapping::Mapping;
use crate::proto::wal::log_buffer::{ENTRY_HEAD_BYTES, entry_head, tail};

/// Bytes of the file. At full speed a lane writes it out some hundreds of times a second. It counts as memory of the
/// process, like the same bytes in `behind`.
const BUFFER_BYTES: usize = 128 << 10;

/// Bytes that are read of one. Another release may have made it larger.
const READ_BYTES_MAX: u64 = 16 << 20;

/// The buffer, and what stands in it and not yet in the lane's file.
#[derive(Debug)]
pub(super) struct LogBuffer {
    mapping: Mapping,
    path: PathBuf,
    number: u64,
    /// Bytes of the mapping that hold entries.
    used: usize,
    /// The frames of these entries.
    behind: Vec<u8>,
}

impl LogBuffer {
    /// For a lane of this name.
    pub(super) fn create(folder: &Folder, name: FileName, disk: &dyn Disk) -> io::Result<LogBuffer> {
        let path = folder.buffer_at(name);
        let mapping = disk.map(&path, BUFFER_BYTES)?;
        Ok(LogBuffer { mapping, path, number: name.number, used: 0, behind: Vec::new() })
    }

    /// Keeps a frame that belongs at `offset` of the file; whether there was room.
    pub(super) fn push(&mut self, offset: u64, frame: &[u8]) -> bool {
        let free = &mut self.mapping[self.used..];
        let Some(entry) = free.get_mut(..ENTRY_HEAD_BYTES + frame.len()) else { return false };
        let (head, rest) = entry.split_at_mut(ENTRY_HEAD_BYTES);
        head.copy_from_slice(&entry_head(self.number, offset));
        rest.copy_from_slice(frame);
        self.used += ENTRY_HEAD_BYTES + frame.len();
        self.behind.extend_from_slice(frame);
        true
    }

    /// The frames that are not in the lane's file.
    pub(super) fn behind(&self) -> &[u8] {
        &self.behind
    }

    /// They are in the file now.
    pub(super) fn drained(&mut self) {
        self.used = 0;
        self.behind.clear();
    }

    /// The lane needs it no longer.
    pub(super) fn remove(self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// What follows in a file behind the bytes that it has: what its buffer holds, if the server was killed.
pub(super) fn read_tail(folder: &Folder, name: FileName, file_bytes: u64) -> io::Result<Vec<u8>> {
    let path = folder.buffer_at(name);
    // What is no file may let us wait for ever when it is opened.
    if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return Ok(Vec::new());
    }
    let mut buffer = Vec::new();
    File::open(path)?.take(READ_BYTES_MAX).read_to_end(&mut buffer)?;
    Ok(tail(&buffer, name.number, file_bytes))
}
