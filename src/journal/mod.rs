//! The files of a journal, which make what a server has acknowledged survive it. [`crate::proto::wal`] says what stands
//! in them, and what is believed of it; here are folders and files.
//!
//! | file | what it is |
//! |---|---|
//! | `journal-N.log` | what was recorded, in the order of N; each start begins one, and so does each snapshot |
//! | `snapshot-N.log` | all that was known when `journal-N.log` was begun, if not overtaken: it replaces all before |
//! | `*.tmp` | one of them that was not finished, of no use |
//! | `*.damaged` | one that could not be read in all, kept for people and never read again |
//! | `lock` | held by the server that runs, as the folder itself is |
//! | `admin.sock` | where the server that runs is told what to do |
//!
//! A file gets its name when its heading, or all of a snapshot, is on disk, and a last frame that says so when nothing
//! is to follow in it. So only the last journal that has frames may lack its end, and may end in half a frame; anything
//! else that is missing is damage. What can be read is recovered all the same, and files are removed or set aside only
//! when a snapshot on disk has everything.
//!
//! Why not an embedded engine: the order of change has to be kept anyway, every commit must survive the end of the
//! process without a flush, and recovery reads everything. `bench/README.md` has the figures.

mod disk;
mod error;
mod files;
mod found;
mod reading;
mod snapshot;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use disk::{Disk, RealDisk};
pub use error::OpenError;
pub use found::Found;
pub use snapshot::{FinishedSnapshot, NextFile, Plan, Replaced, Snapshot};

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::wal::record::{Heading, seal};
use crate::proto::wal::recovery::{Recovered, Recovery};
use files::{FileName, Folder, end, remove};
use reading::{ReadAll, read_all};

/// The journal of a running server, whose folder nobody else can use.
#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    heading: Heading,
    file: Arc<File>,
    name: FileName,
    /// All files, with their bytes.
    files: BTreeMap<FileName, u64>,
    /// Those that are to be set aside when they are replaced.
    damaged: Vec<FileName>,
    /// Whether an append has failed: what stands at the end of the file is unknown.
    is_broken: bool,
    /// Whether the file follows one that is broken, and no snapshot has made good for that: nobody was promised
    /// anything because of it, and the next attempt may have its name.
    is_provisional: bool,
    disk: Arc<dyn Disk>,
}

/// What opening a journal yields.
#[derive(Debug)]
pub struct Opened {
    /// The journal, to be appended to.
    pub journal: Journal,
    /// What was recovered.
    pub memory: Recovered,
    /// The epoch of the memory.
    pub epoch: Epoch,
    /// What was found, for the log.
    pub found: Found,
    /// Why nothing can be appended, if so: there is no room for the next file, but everything that was kept is known.
    pub no_room: Option<io::Error>,
}

impl Journal {
    /// Recovers what is in `folder`, which is made if it is missing, and begins a new file there. `fresh` is the epoch
    /// if none can be kept; `progress` is told now and then how many bytes have been read, of how many.
    ///
    /// # Errors
    /// If the folder is of no use; no journal in it has been changed then.
    pub fn open(
        folder: &Path,
        server: &ServerName,
        is_synced: bool,
        fresh: Epoch,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Opened, OpenError> {
        let folder = Folder::lock(folder, server)?;
        let names = folder.files()?;
        let mut recovery = Recovery::new();
        let read = read_all(&folder, &names, &mut recovery, progress)?;
        let boot = files::boot(fresh);
        let (memory, epoch) = recovery.finish(&boot);
        let heading = Heading { server: server.clone(), epoch: epoch.unwrap_or(fresh), boot, is_synced };
        let mut found = read.found.clone();
        (found.clients, found.is_epoch_kept) = (memory.len(), epoch.is_some());
        found.foreign = folder.foreign.clone();

        let mut files: BTreeMap<FileName, u64> = BTreeMap::new();
        for &name in &names {
            files.insert(name, folder.bytes(name)?);
        }
        let number = files.keys().map(|name| name.number).max().unwrap_or(0) + 1;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let plan = Plan::new(&folder, &heading, number, &disk);
        // They may be what the disk is full of.
        folder.remove_unfinished().map_err(|error| folder.unusable(error))?;
        let begun = begin(&folder, &plan, &mut files, &read);
        let (file, name, no_room) = match (begun, names.last()) {
            (Ok(next), _) => {
                files.insert(next.name, next.bytes);
                (next.file, next.name, None)
            }
            (Err(error), Some(&last)) if is_full(&error) => {
                let file = File::open(folder.at(last)).map_err(|error| folder.unusable(error))?;
                (file, last, Some(error))
            }
            (Err(error), _) => return Err(folder.unusable(error)),
        };
        let mut journal = Journal {
            folder,
            heading,
            file: Arc::new(file),
            name,
            files,
            damaged: read.damaged,
            is_broken: no_room.is_some(),
            is_provisional: false,
            disk,
        };
        if let Some(snapshot) = read.whole_snapshot {
            let replaced = journal.replaced_by(snapshot);
            replaced.remove().map_err(|error| journal.folder.unusable(error))?;
        }
        Ok(Opened { epoch: journal.heading.epoch, journal, memory, found, no_room })
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
        let bytes = self.files.entry(self.name).or_default();
        let written = self.disk.write(&self.file, frame);
        if written.is_err() {
            self.is_broken = true;
            // Half a frame in a file that others follow would be damage. If that fails too, it is.
            let _ = self.file.set_len(*bytes);
        } else {
            *bytes += frame.len() as u64;
        }
        written
    }

    /// From now on everything is written through this disk.
    #[must_use]
    pub fn on(self, disk: Arc<dyn Disk>) -> Journal {
        Journal { disk, ..self }
    }

    /// What the files are written and flushed through.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// What was written may not be on disk, so nothing more is appended to this file.
    pub fn distrust(&mut self) {
        self.is_broken = true;
    }

    /// The file that is appended to, so that it can be flushed while others append.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// What the next file would be.
    pub fn plan_next(&self) -> Plan {
        let number = self.name.number + u64::from(!self.is_provisional);
        Plan::new(&self.folder, &self.heading, number, &self.disk)
    }

    /// From now on appends go to the next file. Returns the one before, which may have to be flushed.
    pub fn switch(&mut self, next: NextFile) -> Arc<File> {
        // One that could not be written to has no end: until a snapshot makes good for it, something is missing.
        let _ = self.append(&mut end());
        self.files.insert(next.name, next.bytes);
        self.name = next.name;
        (self.is_provisional, self.is_broken) = (self.is_provisional || self.is_broken, false);
        std::mem::replace(&mut self.file, Arc::new(next.file))
    }

    /// A snapshot is on disk: all files before it are of no use any more.
    pub fn finished(&mut self, snapshot: FinishedSnapshot) -> Replaced {
        self.is_provisional = false;
        self.files.insert(snapshot.name, snapshot.bytes);
        self.replaced_by(snapshot.name)
    }

    fn replaced_by(&mut self, snapshot: FileName) -> Replaced {
        let kept = self.files.split_off(&snapshot);
        let before = std::mem::replace(&mut self.files, kept);
        let damaged = std::mem::take(&mut self.damaged);
        let (aside, kept) = damaged.into_iter().partition(|name| before.contains_key(name));
        self.damaged = kept;
        Replaced::new(&self.folder, before.into_keys().collect(), aside)
    }
}

/// Begins the file of this life, and finishes those of the lives before.
fn begin(
    folder: &Folder,
    plan: &Plan,
    files: &mut BTreeMap<FileName, u64>,
    read: &ReadAll,
) -> io::Result<NextFile> {
    let next = plan.make()?;
    // After the next one is there, or its epoch would be taken for that of a server that has stopped.
    complete(folder, files, read).inspect_err(|_| {
        // As far as that is possible nothing has been changed.
        let _ = remove(&folder.at(next.name));
    })?;
    Ok(next)
}

/// Whether an error only says that there is no room, on the disk or below a limit on the size of files.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Puts on disk all that was read, and writes where each file ends that does not say so; the oldest first, for only the
/// last one that has frames may lack its end.
fn complete(folder: &Folder, files: &mut BTreeMap<FileName, u64>, read: &ReadAll) -> io::Result<()> {
    for (name, bytes) in files {
        if read.open_ended.contains(name) {
            let whole = read.cut.filter(|(cut, _)| cut == name).map(|(_, whole)| whole);
            *bytes = folder.end(*name, whole)?;
        } else {
            folder.flush(*name)?;
        }
    }
    Ok(())
}
