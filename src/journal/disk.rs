//! The two calls that acknowledgements depend on, so that a test can bring a disk that fails.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};

/// Writes to files, and puts on disk what was written.
pub trait Disk: Debug + Send + Sync {
    /// Writes all of these bytes.
    ///
    /// # Errors
    /// What the system says.
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Puts on disk what was written to the file.
    ///
    /// # Errors
    /// What the system says. What was written since the last flush may be lost then.
    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk of this machine.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {}
