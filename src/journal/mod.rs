//! The files of a journal, which make what a server has acknowledged survive it. [`crate::proto::wal`] says what stands
//! in them, and what is believed of it; here are folders and files.
//!
//! | file | what it is |
//! |---|---|
//! | `journal-N.log` | what was recorded, in the order of N; each start begins one, and so does each snapshot |
//! | `journal-N.K.log` | lane K of `journal-N.log`, if that is written in lanes |
//! | `*.log.buffer` | the log buffer of a lane, mapped into memory: what is written to the lane within 50 ms |
//! | `snapshot-N.log` | all that was known when `journal-N.log` was begun, if not overtaken: it replaces all before |
//! | `*.tmp` | one of them that was not finished, of no use |
//! | `*.damaged` | one that could not be read in all, kept for people and never read again |
//! | `lock` | held by the server that runs, as the folder itself is |
//! | `admin.sock` | where the server that runs is told what to do |
//! | `database.unread` | a server without data has not yet read its core database to the end |
//!
//! A file gets its name when its heading, or all of a snapshot, is on disk, and a last frame that says so when nothing
//! is to follow in it. So only the last journal that has frames may lack its end, and may end in half a frame; anything
//! else that is missing is damage. Where each commit is flushed the last journal may also be longer than what is in it:
//! see [`crate::proto::wal::ending`]. Each lane of a journal says how many there are, and the first has its name last.
//! What can be read is recovered all the same, and files are removed or set aside only when a snapshot on disk has
//! everything.
//!
//! Why not an embedded engine: the order of change has to be kept anyway, every commit must survive the end of the
//! process without a flush, and recovery reads everything. `bench/README.md` has the figures.

mod disk;
mod error;
mod files;
mod found;
mod lane;
mod log_buffer;
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
pub use lane::Lane;
pub use snapshot::{FinishedSnapshot, NextFiles, Plan, Replaced, Snapshot};

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::wal::record::Heading;
use crate::proto::wal::recovery::{Recovered, Recovery};
use files::{FileName, Folder, remove};
use reading::{ReadAll, read_all};

/// The journal of a running server, whose folder nobody else can use.
#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    /// Of the first lane.
    heading: Heading,
    /// The number of the lanes that are appended to.
    number: u64,
    /// All files that nothing is appended to, with their bytes.
    files: BTreeMap<FileName, u64>,
    /// Those that are to be set aside when they are replaced.
    damaged: Vec<FileName>,
    /// Whether the lanes follow one that is broken, and no snapshot needs them yet: no one was promised anything
    /// because of them, and the next attempt may have their name.
    is_provisional: bool,
    disk: Arc<dyn Disk>,
}

/// How a journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether each commit is on disk before it counts.
    pub is_synced: bool,
    /// How many files are appended to at the same time; not 0.
    pub lanes: u8,
}

/// What opening a journal yields.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// Its files, to be appended to.
    pub lanes: Vec<Lane>,
    /// What was recovered.
    pub memory: Recovered,
    /// The epoch of the memory.
    pub epoch: Epoch,
    /// What was found, for the log.
    pub found: Found,
    /// Why each commit is written by itself, if it should go to a log buffer.
    pub unbuffered: Option<io::Error>,
    /// Why nothing can be appended, if so: there is no room for the next files, but everything that was kept is known.
    pub no_room: Option<io::Error>,
}

impl Journal {
    /// Recovers what is in `folder`, which is made if it is missing, and begins new files there, which are written and
    /// flushed through `disk`. `fresh` is the epoch if none can be kept; `progress` is told now and then how many bytes
    /// have been read, of how many.
    ///
    /// # Errors
    /// If the folder is of no use; no journal in it has been changed then.
    pub fn open(
        folder: &Path,
        server: &ServerName,
        layout: Layout,
        fresh: Epoch,
        disk: Arc<dyn Disk>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Opened, OpenError> {
        let Layout { is_synced, lanes } = layout;
        let folder = Folder::lock(folder, server)?;
        let names = folder.files()?;
        let mut recovery = Recovery::new();
        let read = read_all(&folder, &names, &mut recovery, progress)?;
        let boot = files::boot(fresh);
        let (memory, epoch) = recovery.finish(&boot);
        let epoch_kept = epoch.unwrap_or(fresh);
        let heading =
            Heading { server: server.clone(), epoch: epoch_kept, boot, is_synced, lane: (0, lanes) };
        let mut found = read.found.clone();
        (found.clients, found.is_epoch_kept) = (memory.len(), epoch.is_some());
        found.foreign = folder.foreign.clone();

        let mut files: BTreeMap<FileName, u64> = BTreeMap::new();
        for &name in &names {
            files.insert(name, folder.bytes(name)?);
        }
        let last_number = files.keys().map(|name| name.number).max().unwrap_or(0);
        let plan = Plan::new(&folder, &heading, last_number + 1, &disk);
        // They may be what the disk is full of.
        folder.remove_unfinished().map_err(|error| folder.unusable(error))?;
        let mut unbuffered = None;
        let (lanes, number, no_room) = match (begin(&folder, &plan, &mut files, &read), names.last()) {
            (Ok(next), _) => {
                unbuffered = next.unbuffered;
                (next.lanes, next.number, None)
            }
            (Err(error), Some(&last)) if is_full(&error) => {
                let file = File::open(folder.at(last)).map_err(|error| folder.unusable(error))?;
                let file = Arc::new(file);
                // They are ended when the next ones are there, which is never tried with a file that is broken.
                let lane = || Lane::broken(&file, last, &disk);
                ((0..lanes).map(|_| lane()).collect(), last_number, Some(error))
            }
            (Err(error), _) => return Err(folder.unusable(error)),
        };
        let damaged = read.damaged;
        let mut journal = Journal { folder, heading, number, files, damaged, is_provisional: false, disk };
        if let Some(snapshot) = read.whole_snapshot {
            let replaced = journal.replaced_by(snapshot);
            replaced.remove().map_err(|error| journal.folder.unusable(error))?;
        }
        Ok(Opened { epoch: journal.heading.epoch, journal, lanes, memory, found, unbuffered, no_room })
    }

    /// What the files are written and flushed through.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The bytes of all files that nothing is appended to.
    pub fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// How many files there are, all lanes of a journal as one.
    pub fn files(&self) -> usize {
        let closed = self.files.keys().filter(|name| name.lane == 0).count();
        closed + usize::from(!self.files.contains_key(&self.first_lane()))
    }

    /// What the next files would be.
    pub fn plan_next(&self) -> Plan {
        let number = self.number + u64::from(!self.is_provisional);
        Plan::new(&self.folder, &self.heading, number, &self.disk)
    }

    /// From now on appends go to the next files, which take the place of these. Returns those before, which may have to
    /// be flushed.
    pub fn switch<'a>(
        &mut self,
        lanes: impl IntoIterator<Item = &'a mut Lane>,
        next: NextFiles,
    ) -> Vec<Arc<File>> {
        let mut before = Vec::new();
        for (lane, next) in lanes.into_iter().zip(next.lanes) {
            lane.end();
            self.is_provisional |= lane.is_broken;
            if lane.name != next.name {
                self.files.entry(lane.name).or_insert(lane.bytes());
            }
            before.push(lane.file());
            *lane = next;
        }
        self.number = next.number;
        before
    }

    /// A snapshot is about to get its name, without what has been overtaken in the lanes: they must keep theirs, even
    /// if it gets none.
    pub fn keep_lanes(&mut self) {
        self.is_provisional = false;
    }

    /// A snapshot is on disk: all files before it are of no use any more.
    pub fn finished(&mut self, snapshot: FinishedSnapshot) -> Replaced {
        self.files.insert(snapshot.name, snapshot.bytes);
        self.replaced_by(snapshot.name)
    }

    fn first_lane(&self) -> FileName {
        FileName { number: self.number, kind: files::Kind::Journal, lane: 0 }
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

/// Begins the files of this life, and finishes those of the lives before.
fn begin(
    folder: &Folder,
    plan: &Plan,
    files: &mut BTreeMap<FileName, u64>,
    read: &ReadAll,
) -> io::Result<NextFiles> {
    let next = plan.make()?;
    // After the next ones are there, or their epoch would be taken for that of a server that has stopped.
    complete(folder, files, read).inspect_err(|_| {
        // As far as that is possible nothing has been changed.
        next.lanes.iter().for_each(|lane| drop(folder.remove(lane.name)));
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
            let tail = log_buffer::read_tail(folder, *name, *bytes)?;
            *bytes = folder.end(*name, &tail, read.cut.get(name).copied())?;
            remove(&folder.buffer_at(*name))?;
        } else {
            folder.flush(*name)?;
        }
    }
    Ok(())
}
