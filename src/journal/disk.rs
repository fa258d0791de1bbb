//! The calls that acknowledgements depend on, so that a test can bring a disk that fails.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::os::mapping::Mapping;

/// Writes to files, and puts on disk what was written.
pub trait Disk: Debug + Send + Sync {
    /// Writes all of these bytes, from byte `offset` of the file on.
    ///
    /// # Errors
    /// What the system says.
    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Puts on disk what was written to the file.
    ///
    /// # Errors
    /// What the system says. What was written since the last flush may be lost then.
    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Makes a file of so many bytes that is mapped into memory.
    ///
    /// # Errors
    /// What the system says, or that its file system is not one on which this is safe. Each commit is written then.
    fn map(&self, path: &Path, bytes: usize) -> io::Result<Mapping> {
        Mapping::create(path, bytes)
    }
}

/// The disk of this machine.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {}
