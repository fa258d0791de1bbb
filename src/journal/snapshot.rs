//! Making a journal small again: next files, and a snapshot that replaces all before them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::files::{DAMAGED, FILE_MODE, FileName, Folder, Kind, UNFINISHED, end, flush_folder, remove};
use super::lane::Lane;
use super::log_buffer::LogBuffer;
use crate::proto::wal::record::{Heading, seal};

/// What the next files and a snapshot before them would be.
#[derive(Debug)]
pub struct Plan {
    folder: Folder,
    heading: Heading,
    number: u64,
    disk: Arc<dyn Disk>,
}

/// The lanes that come next, with their headings on disk.
#[derive(Debug)]
pub struct NextFiles {
    pub(super) number: u64,
    pub(super) lanes: Vec<Lane>,
    /// Why they have no buffers, if they should.
    pub(super) unbuffered: Option<io::Error>,
}

/// A snapshot that is being written. If it is dropped before it is finished, nothing is left of it.
#[derive(Debug)]
pub struct Snapshot {
    file: File,
    folder: PathBuf,
    unfinished: PathBuf,
    name: FileName,
    bytes: u64,
    disk: Arc<dyn Disk>,
}

/// A snapshot that is on disk, under its name.
#[derive(Debug)]
pub struct FinishedSnapshot {
    pub(super) name: FileName,
    pub(super) bytes: u64,
}

/// Files that a snapshot has replaced.
#[derive(Debug)]
#[must_use = "they take up room until they are removed"]
pub struct Replaced {
    folder: Folder,
    files: Vec<FileName>,
    /// Those of them that are kept for people.
    aside: Vec<FileName>,
}

impl Plan {
    /// `heading` is that of the first lane.
    pub(super) fn new(folder: &Folder, heading: &Heading, number: u64, disk: &Arc<dyn Disk>) -> Plan {
        Plan { folder: folder.clone(), heading: heading.clone(), number, disk: Arc::clone(disk) }
    }

    /// Makes the next file of each lane. The first has its name last: where that is, all are.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&self) -> io::Result<NextFiles> {
        let mut lanes = Vec::new();
        let mut unbuffered = None;
        for lane in (0..self.heading.lane.1).rev() {
            if lane == 0 {
                flush_folder(&self.folder.path)?;
            }
            lanes.push(self.make_lane(lane, &mut unbuffered)?);
        }
        flush_folder(&self.folder.path)?;
        lanes.reverse();
        Ok(NextFiles { number: self.number, lanes, unbuffered })
    }

    /// Without a buffer if there is none to be had, or was none for another lane.
    fn make_lane(&self, lane: u8, unbuffered: &mut Option<io::Error>) -> io::Result<Lane> {
        let name = FileName { number: self.number, kind: Kind::Journal, lane };
        // Before the lane has its name: what an attempt before this has left would be taken for its end.
        remove(&self.folder.buffer_at(name))?;
        let buffer = if self.heading.is_synced || unbuffered.is_some() {
            None
        } else {
            LogBuffer::create(&self.folder, name, &*self.disk).map_err(|error| *unbuffered = Some(error)).ok()
        };
        let heading = Heading { lane: (lane, self.heading.lane.1), ..self.heading.clone() }.to_bytes();
        let unfinished = unfinished(&self.folder.path, name);
        let made = self.begin(&unfinished, &heading).and_then(|file| {
            file.sync_all()?;
            fs::rename(&unfinished, self.folder.at(name))?;
            Ok(file)
        });
        // It may take the last room there is. What cannot be removed now is removed at the next start.
        let file = made.inspect_err(|_| {
            let _ = remove(&self.folder.buffer_at(name)).and_then(|()| remove(&unfinished));
        })?;
        let lane = Lane::new(Arc::new(file), name, heading.len() as u64, buffer, Arc::clone(&self.disk));
        Ok(if self.heading.is_synced { lane.with_room() } else { lane })
    }

    /// Begins the snapshot that goes before them.
    ///
    /// # Errors
    /// What the system says.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        let name = FileName { number: self.number, kind: Kind::Snapshot, lane: 0 };
        let heading = Heading { lane: (0, 1), ..self.heading.clone() }.to_bytes();
        let unfinished = unfinished(&self.folder.path, name);
        let file = self.begin(&unfinished, &heading)?;
        let folder = self.folder.path.clone();
        let (bytes, disk) = (heading.len() as u64, Arc::clone(&self.disk));
        Ok(Snapshot { file, folder, unfinished, name, bytes, disk })
    }

    fn begin(&self, path: &Path, heading: &[u8]) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
        self.disk.write(&file, 0, heading)?;
        Ok(file)
    }
}

impl Snapshot {
    /// Writes a frame, as [`Lane::append`] does.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, frame: &mut [u8]) -> io::Result<()> {
        seal(frame);
        let offset = self.bytes;
        self.bytes += frame.len() as u64;
        self.disk.write(&self.file, offset, frame)
    }

    /// Puts on disk what was written so far.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&self) -> io::Result<()> {
        self.disk.flush(&self.file)
    }

    /// Puts it on disk, and gives it its name.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> io::Result<FinishedSnapshot> {
        self.append(&mut end())?;
        self.file.sync_all()?;
        fs::rename(&self.unfinished, self.folder.join(self.name.to_string()))?;
        flush_folder(&self.folder)?;
        Ok(FinishedSnapshot { name: self.name, bytes: self.bytes })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // A finished one is not there under this name. What cannot be removed now is removed at the next start.
        let _ = remove(&self.unfinished);
    }
}

impl Replaced {
    pub(super) fn new(folder: &Folder, files: Vec<FileName>, aside: Vec<FileName>) -> Replaced {
        Replaced { folder: folder.clone(), files, aside }
    }

    /// Removes them; those with damage are set aside under another name.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(self) -> io::Result<()> {
        for name in self.files {
            if self.aside.contains(&name) {
                set_aside(&self.folder.at(name), &self.folder.path.join(format!("{name}{DAMAGED}")))?;
            }
            self.folder.remove(name)?;
        }
        flush_folder(&self.folder.path)
    }
}

/// Gives a file another name, if it is there.
fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    match fs::rename(path, aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unfinished(folder: &Path, name: FileName) -> PathBuf {
    folder.join(format!("{name}{UNFINISHED}"))
}
