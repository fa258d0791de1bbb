//! A log file of bounded size: when it is full it becomes `.old-1`, the former `.old-1` becomes `.old-2`, and so on.
//!
//! Others may rotate it too, as logrotate does: a file that was renamed or removed is left to them, and the log goes on
//! in a new one under its name. They use `.1` and `.2`, so neither side takes the other's files for its own.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use crate::config::given_file;

/// Lines tell where clients are, so no other user may read them.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A file that is exchanged at the end of a line, before a line that would not fit.
pub(super) struct Rotating {
    path: PathBuf,
    current: Current,
    file_bytes_max: u64,
    /// Files kept besides the current one.
    old_files_max: u32,
}

/// The file that is written, which no other server can write to.
struct Current {
    file: File,
    /// What tells it from another file of its name: device and inode.
    identity: (u64, u64),
    /// Bytes in it.
    len: u64,
    /// It ends within a line: its rest belongs there too, whatever its size.
    mid_line: bool,
}

impl Rotating {
    /// Opens `path` to add to it, and makes the folder if it is missing. A last line without an end (the machine was
    /// switched off) gets one.
    pub(super) fn open(path: PathBuf, file_bytes_max: u64, old_files_max: u32) -> io::Result<Rotating> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder);
            // Something else is there.
            made.map_err(|error| {
                if error.kind() == ErrorKind::AlreadyExists { ErrorKind::NotADirectory.into() } else { error }
            })?;
        }
        let current = Current::open(&path)?;
        Ok(Rotating { path, current, file_bytes_max, old_files_max })
    }

    /// Goes on in a new file if the current one was renamed or removed. One look costs less than a write, so that no
    /// line goes to a file that nobody looks at any more.
    fn follow(&mut self) -> io::Result<()> {
        match std::fs::metadata(&self.path) {
            // It may have been cut, or written to, by others.
            Ok(found) if identity(&found) == self.current.identity => self.current.len = found.len(),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => self.current = Current::open(&self.path)?,
        }
        Ok(())
    }

    /// How many of these bytes go to the current file; 0 if the first line does not fit any more.
    fn fitting(&self, bytes: &[u8]) -> usize {
        let first_line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        if self.current.mid_line {
            return first_line;
        }
        // The system may allow smaller files than we do: `ulimit -f`.
        let file_bytes_max = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX).min(self.file_bytes_max);
        let room = usize::try_from(file_bytes_max.saturating_sub(self.current.len)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        match memchr::memrchr(b'\n', &bytes[..room]) {
            Some(at) => at + 1,
            // A line longer than a whole file has a file of its own.
            None if self.current.len == 0 => first_line,
            None => 0,
        }
    }

    /// Makes room: on an error the current file stays in use and the next write tries again.
    fn rotate(&mut self) -> io::Result<()> {
        if self.old_files_max == 0 {
            self.current.file.set_len(0)?;
            self.current.len = 0;
        } else {
            // When the file is gone, because it was removed or the last attempt got no further, the old ones
            // must not move up once more.
            if self.path.try_exists()? {
                for number in (1..self.old_files_max).rev() {
                    rename(&self.numbered(number), &self.numbered(number + 1))?;
                }
                rename(&self.path, &self.numbered(1))?;
            }
            self.current = Current::open(&self.path)?;
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".old-{number}"));
        path.into()
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.current.mid_line {
            self.follow()?;
        }
        let mut fitting = self.fitting(bytes);
        if fitting == 0 && !bytes.is_empty() {
            self.rotate()?;
            fitting = self.fitting(bytes);
        }
        self.current.write(&bytes[..fitting])
    }

    /// Every write is on its way at once, so what is left to do is to look where it goes.
    fn flush(&mut self) -> io::Result<()> {
        if self.current.mid_line { Ok(()) } else { self.follow() }
    }
}

impl Current {
    fn open(path: &Path) -> io::Result<Current> {
        // To open a pipe would wait for ever for a reader.
        if let Ok(Some(name)) = given_file::what_else(path) {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {name}: move it away")));
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(FILE_MODE).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    ErrorKind::ResourceBusy,
                    "another server writes it: stop that one",
                ));
            }
            // A file system without locks is no reason to log nothing.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let found = file.metadata()?;
        let mid_line = found.len() > 0 && last_byte(&mut file)? != b'\n';
        let mut current = Current { file, identity: identity(&found), len: found.len(), mid_line };
        if mid_line {
            current.write(b"\n")?;
        }
        Ok(current)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        if let Some(last) = bytes[..written].last() {
            self.mid_line = *last != b'\n';
        }
        Ok(written)
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Renames a file that may be missing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(dir.join(name)).ok()
    }

    #[test]
    fn files_are_exchanged_before_a_line_that_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 10, 2).unwrap();
        file.write_all(b"1111\n2222\n3333\n444444444\n55555555555555\n6\n7\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "6\n7\n");
        assert_eq!(read(dir.path(), "a.log.old-1").unwrap(), "55555555555555\n");
        assert_eq!(read(dir.path(), "a.log.old-2").unwrap(), "444444444\n");
        assert_eq!(read(dir.path(), "a.log.old-3"), None);
    }

    #[test]
    fn a_line_that_arrives_in_two_writes_stays_in_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 10, 2).unwrap();
        for piece in [&b"1111"[..], b"11111", b"11\n22", b"\n"] {
            file.write_all(piece).unwrap();
        }
        assert_eq!(read(dir.path(), "a.log").unwrap(), "22\n");
        assert_eq!(read(dir.path(), "a.log.old-1").unwrap(), "11111111111\n");
    }

    #[test]
    fn an_existing_file_is_added_to_and_its_last_line_ended() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.log"), "old\ncut o").unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 14, 2).unwrap();
        file.write_all(b"new\nnewer\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "newer\n");
        assert_eq!(read(dir.path(), "a.log.old-1").unwrap(), "old\ncut o\nnew\n");
    }

    #[test]
    fn without_old_files_the_current_one_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 10, 0).unwrap();
        file.write_all(b"1111\n2222\n3333\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "3333\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_removed_file_costs_no_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 10, 2).unwrap();
        file.write_all(b"1111\n2222\n3333\n").unwrap();
        std::fs::remove_file(dir.path().join("a.log")).unwrap();
        file.write_all(b"4444\n5555\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "4444\n5555\n");
        assert_eq!(read(dir.path(), "a.log.old-1").unwrap(), "1111\n2222\n");
    }

    #[test]
    fn a_file_that_others_rename_exchange_or_cut_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut file = Rotating::open(path.clone(), 10, 2).unwrap();
        file.write_all(b"1111\n").unwrap();
        std::fs::rename(&path, dir.path().join("a.log.1")).unwrap();
        file.write_all(b"2222\n").unwrap();
        std::fs::rename(&path, dir.path().join("a.log.2")).unwrap();
        std::fs::write(&path, "of others, without an end").unwrap();
        file.flush().unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "of others, without an end\n");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        file.write_all(b"3333\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "3333\n");
        assert_eq!(read(dir.path(), "a.log.1").unwrap(), "1111\n", "left alone");
        assert_eq!(read(dir.path(), "a.log.2").unwrap(), "2222\n");
        assert_eq!(read(dir.path(), "a.log.old-1"), None);
        // And without a line.
        std::fs::remove_file(&path).unwrap();
        file.flush().unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "");
    }

    #[test]
    fn a_file_that_cannot_be_followed_is_an_error_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut file = Rotating::open(path.clone(), 10, 2).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(file.write_all(b"1111\n").is_err());
        std::fs::remove_dir(&path).unwrap();
        file.write_all(b"2222\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "2222\n");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, device, folder) =
            (dir.path().join("p.log"), dir.path().join("d.log"), dir.path().join("f.log"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for (path, name) in [(&pipe, "a pipe"), (&device, "a device"), (&folder, "a directory")] {
            let refused = Rotating::open(path.clone(), 10, 2).map(drop).unwrap_err().to_string();
            assert_eq!(refused, format!("it is {name}: move it away"));
        }
        // One that is put there later is an error until it is gone.
        let path = dir.path().join("a.log");
        let mut file = Rotating::open(path.clone(), 10, 2).unwrap();
        std::fs::rename(&pipe, &path).unwrap();
        assert!(file.write_all(b"1111\n").is_err());
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"2222\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "2222\n");
    }

    #[test]
    fn a_file_has_one_writer_and_no_other_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/a.log");
        let first = Rotating::open(path.clone(), 10, 2).unwrap();
        let refused = Rotating::open(path.clone(), 10, 2).map(drop).unwrap_err();
        assert_eq!(refused.to_string(), "another server writes it: stop that one");
        for (path, mode) in [(&path, FILE_MODE), (&dir.path().join("made"), DIRECTORY_MODE)] {
            assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, mode);
        }
        drop(first);
        Rotating::open(path, 10, 2).unwrap();
    }
}
