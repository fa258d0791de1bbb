//! A file in memory: what is stored there is in the system's hands at once, without a call, and outlives the process.
//!
//! The only file with `unsafe`. A store to a mapped page for which the file system has no room ends the process with
//! SIGBUS. So all room is taken and written when the file is made, on file systems that never move it afterwards.

#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use memmap2::{Advice, MmapMut};
use rustix::fs::{FallocateFlags, fallocate, fstatfs};

/// Numbers of file systems on which room that was taken and written stays, as Linux's `magic.h` has them: ext4 (and 2
/// and 3), XFS, tmpfs. On one that copies when it writes, such as btrfs, each page needs new room with every flush; and
/// overlayfs does not tell what lies below it.
const FILE_SYSTEMS: [u64; 3] = [0xEF53, 0x5846_5342, 0x0102_1994];

/// A mapped file of zeros.
#[derive(Debug)]
pub struct Mapping(MmapMut);

impl Mapping {
    /// Makes a new file of `bytes` bytes, which only its user may read, and maps it. One of that name is removed first.
    ///
    /// # Errors
    /// What the system says, or that this file system does not promise to keep the room. No file is left then.
    pub fn create(path: &Path, bytes: usize) -> io::Result<Mapping> {
        remove(path)?;
        map(path, bytes).inspect_err(|_| drop(remove(path)))
    }
}

fn map(path: &Path, bytes: usize) -> io::Result<Mapping> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    if !FILE_SYSTEMS.contains(&u64::try_from(fstatfs(&file)?.f_type).unwrap_or_default()) {
        return Err(io::Error::other("its file system may need more room for what is written there already"));
    }
    // Room that is taken and was never written would still need some for the note that it was.
    fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
    file.write_all_at(&vec![0; bytes], 0)?;
    // SAFETY: the file is as long as the mapping, was made here, and only this process, which has locked the folder,
    // knows of it: none makes it shorter or writes to it. Its bytes have no other meaning than bytes.
    let mapped = unsafe { MmapMut::map_mut(&file)? };
    // Saves the first stores a fault each; older kernels cannot.
    let _ = mapped.advise(Advice::PopulateWrite);
    Ok(Mapping(mapped))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_in_the_file_and_an_old_one_is_replaced() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("mapped");
        std::fs::write(&path, "of another life").unwrap();
        let Ok(mut mapping) = Mapping::create(&path, 5000) else { return };
        assert_eq!(std::fs::read(&path).unwrap(), vec![0; 5000]);
        mapping[4096..4101].copy_from_slice(b"hello");
        assert_eq!(&std::fs::read(&path).unwrap()[4095..4102], b"\0hello\0");
        drop(mapping);
        assert_eq!(&std::fs::read(&path).unwrap()[4096..4101], b"hello");
    }

    #[test]
    fn a_file_system_that_promises_nothing_is_refused_and_keeps_no_file() {
        let Err(error) = Mapping::create(Path::new("/proc/self/mapped"), 4096) else { panic!() };
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}
