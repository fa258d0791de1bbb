//! A log file of bounded size: when it is full it becomes `.1`, the former `.1` becomes `.2`, and so on.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that is exchanged at the end of a line, before a line that would not fit.
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    len: u64,
    /// The file ends within a line: its rest belongs there too, whatever its size.
    mid_line: bool,
    file_bytes_max: u64,
    /// Files kept besides the current one.
    old_files_max: u32,
}

impl Rotating {
    /// Opens `path` to add to it. A last line without an end (the machine was switched off) gets one.
    pub(super) fn open(path: PathBuf, file_bytes_max: u64, old_files_max: u32) -> io::Result<Rotating> {
        let mut file = open(&path)?;
        let len = file.metadata()?.len();
        let mid_line = len > 0 && last_byte(&mut file)? != b'\n';
        let mut rotating = Rotating { path, file, len, mid_line, file_bytes_max, old_files_max };
        if mid_line {
            rotating.write_all(b"\n")?;
        }
        Ok(rotating)
    }

    /// How many of these bytes go to the current file; 0 if the first line does not fit any more.
    fn fitting(&self, bytes: &[u8]) -> usize {
        let first_line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        if self.mid_line {
            return first_line;
        }
        let room = usize::try_from(self.file_bytes_max.saturating_sub(self.len)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        match memchr::memrchr(b'\n', &bytes[..room]) {
            Some(at) => at + 1,
            // A line longer than a whole file has a file of its own.
            None if self.len == 0 => first_line,
            None => 0,
        }
    }

    /// Makes room: on an error the current file stays in use and the next write tries again.
    fn rotate(&mut self) -> io::Result<()> {
        if self.old_files_max == 0 {
            self.file.set_len(0)?;
        } else {
            // When the file is gone, because it was removed or the last attempt got no further, the old ones
            // must not move up once more.
            if self.path.try_exists()? {
                for number in (1..self.old_files_max).rev() {
                    rename(&self.numbered(number), &self.numbered(number + 1))?;
                }
                rename(&self.path, &self.numbered(1))?;
            }
            self.file = open(&self.path)?;
        }
        self.len = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fitting = self.fitting(bytes);
        if fitting == 0 && !bytes.is_empty() {
            self.rotate()?;
            fitting = self.fitting(bytes);
        }
        let written = self.file.write(&bytes[..fitting])?;
        self.len += written as u64;
        if let Some(last) = bytes[..written].last() {
            self.mid_line = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).open(path)
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
        assert_eq!(read(dir.path(), "a.log.1").unwrap(), "55555555555555\n");
        assert_eq!(read(dir.path(), "a.log.2").unwrap(), "444444444\n");
        assert_eq!(read(dir.path(), "a.log.3"), None);
    }

    #[test]
    fn a_line_that_arrives_in_two_writes_stays_in_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 10, 2).unwrap();
        for piece in [&b"1111"[..], b"11111", b"11\n22", b"\n"] {
            file.write_all(piece).unwrap();
        }
        assert_eq!(read(dir.path(), "a.log").unwrap(), "22\n");
        assert_eq!(read(dir.path(), "a.log.1").unwrap(), "11111111111\n");
    }

    #[test]
    fn an_existing_file_is_added_to_and_its_last_line_ended() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.log"), "old\ncut o").unwrap();
        let mut file = Rotating::open(dir.path().join("a.log"), 14, 2).unwrap();
        file.write_all(b"new\nnewer\n").unwrap();
        assert_eq!(read(dir.path(), "a.log").unwrap(), "newer\n");
        assert_eq!(read(dir.path(), "a.log.1").unwrap(), "old\ncut o\nnew\n");
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
        assert_eq!(read(dir.path(), "a.log").unwrap(), "5555\n");
        assert_eq!(read(dir.path(), "a.log.1").unwrap(), "1111\n2222\n");
    }
}
