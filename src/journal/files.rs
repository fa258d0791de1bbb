//! The folder of a journal: its lock, which files in it are ours, and whose they are.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::OpenError;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::wal::record::{
    FRAME_HEAD_BYTES, Heading, MAGIC, MAGIC_OF_ANY_VERSION, MAGIC_OF_LANES, Next, Record, after_magic,
    next_frame, seal,
};

/// The file that is locked.
const LOCK: &str = "lock";

/// What a new file system has at its top.
const LOST_AND_FOUND: &str = "lost+found";

/// What an unfinished file's name ends with, and what that of a damaged one does.
pub(super) const UNFINISHED: &str = ".tmp";
pub(super) const DAMAGED: &str = ".damaged";

/// What the name of a log buffer ends with, behind that of its lane.
const BUFFER: &str = ".buffer";

/// The files tell where clients are, so no other user may read them.
pub(super) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Bytes at the beginning of a file that hold its heading.
const HEADING_BYTES_MAX: u64 = 512;

/// Names this run of the operating system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Snapshot,
    Journal,
}

/// The name of a file, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// The first lane has no number in its name.
    pub(super) lane: u8,
}

/// A folder that is ours alone.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// A file in it that is not ours, if the folder was not ours before.
    pub(super) foreign: Option<String>,
    /// Of the folder itself and of the file in it.
    _locks: std::sync::Arc<(File, File)>,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Snapshot => "snapshot",
            Kind::Journal => "journal",
        };
        write!(f, "{kind}-{:010}", self.number)?;
        if self.lane > 0 {
            write!(f, ".{}", self.lane)?;
        }
        f.write_str(".log")
    }
}

impl FromStr for FileName {
    type Err = ();

    fn from_str(text: &str) -> Result<FileName, ()> {
        let (kind, number) = text.strip_suffix(".log").and_then(|text| text.split_once('-')).ok_or(())?;
        let kind = match kind {
            "snapshot" if !number.contains('.') => Kind::Snapshot,
            "journal" => Kind::Journal,
            _ => return Err(()),
        };
        let (number, lane) = number.split_once('.').unwrap_or((number, "0"));
        let (number, lane) = (number.parse().map_err(|_| ())?, lane.parse().map_err(|_| ())?);
        let name = FileName { number, kind, lane };
        if name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

impl Folder {
    /// Makes the folder if it is missing, checks that all in it is the server's, and locks it.
    pub(super) fn lock(path: &Path, server: &ServerName) -> Result<Folder, OpenError> {
        let unusable = |error| OpenError::Unusable { path: path.to_owned(), error };
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory(path.to_owned())),
            Ok(_) if is_root(path) => return Err(OpenError::Root),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(path).map_err(unusable)?;
            }
            Err(error) => return Err(unusable(error)),
        }
        // Before anything is changed, for even a lock would be a change in a folder of somebody else.
        check_all(path, server)?;
        let foreign = foreign(path)?;
        let at = path.join(LOCK);
        if is_no_file(&at) {
            return Err(OpenError::NotALock(at));
        }
        // The folder's own lock stays when the file is removed, and the file's is the one that earlier releases know.
        let folder = File::open(path).map_err(unusable)?;
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            return Err(OpenError::InUse(path.to_owned()));
        }
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(at);
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        check_all(path, server)?;
        hide_files(path).map_err(unusable)?;
        Ok(Folder { path: path.to_owned(), foreign, _locks: (folder, lock).into() })
    }

    /// The files of the journal, in the order in which they are read.
    pub(super) fn files(&self) -> Result<Vec<FileName>, OpenError> {
        let (names, _) = self.files_and_unused()?;
        Ok(names)
    }

    /// The files of the journal, and those of lanes that were begun when the first one, which gets its name last, was
    /// not there yet: nothing was ever appended to them.
    fn files_and_unused(&self) -> Result<(Vec<FileName>, Vec<FileName>), OpenError> {
        let mut names: Vec<FileName> =
            list(&self.path)?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort_unstable();
        let all = names.clone();
        let is_used = |name: &FileName| {
            all.binary_search(&FileName { lane: 0, ..*name }).is_ok() || !is_only_heading(&self.at(*name))
        };
        Ok(names.into_iter().partition(is_used))
    }

    /// Where a file is.
    pub(super) fn at(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// Where the log buffer of a lane is, if it has one.
    pub(super) fn buffer_at(&self, name: FileName) -> PathBuf {
        self.path.join(format!("{name}{BUFFER}"))
    }

    /// Removes a file, and its log buffer first, which counts for nothing without it.
    pub(super) fn remove(&self, name: FileName) -> io::Result<()> {
        remove(&self.buffer_at(name))?;
        remove(&self.at(name))
    }

    pub(super) fn unusable(&self, error: io::Error) -> OpenError {
        OpenError::Unusable { path: self.path.clone(), error }
    }

    pub(super) fn bytes(&self, name: FileName) -> Result<u64, OpenError> {
        fs::metadata(self.at(name)).map(|file| file.len()).map_err(|error| self.unusable(error))
    }

    /// Writes behind a file what only its buffer has, cuts it to its first bytes, writes where it ends, and puts it on
    /// disk. Returns the bytes it has then.
    pub(super) fn end(&self, name: FileName, tail: &[u8], whole: Option<u64>) -> io::Result<u64> {
        let mut file = OpenOptions::new().append(true).open(self.at(name))?;
        file.write_all(tail)?;
        if let Some(bytes) = whole {
            file.set_len(bytes)?;
        }
        file.write_all(&end())?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    /// Puts a file on disk, which whoever wrote it may have been killed before.
    pub(super) fn flush(&self, name: FileName) -> io::Result<()> {
        File::open(self.at(name))?.sync_all()
    }

    /// Removes what was not finished.
    pub(super) fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let ours = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
            if ours.is_some_and(|name| name.parse::<FileName>().is_ok()) {
                remove(&self.path.join(name))?;
            }
        }
        let (_, unused) = self.files_and_unused().map_err(io::Error::other)?;
        unused.into_iter().try_for_each(|name| self.remove(name))?;
        flush_folder(&self.path)
    }
}

/// Whether a file holds nothing but a whole heading.
fn is_only_heading(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADING_BYTES_MAX).read_to_end(&mut beginning));
    let rest = read.ok().and_then(|_| after_magic(&beginning));
    rest.is_some_and(|rest| heading(rest).is_some_and(|(_, length)| length == rest.len()))
}

/// Whether something else than a file is there.
fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn is_root(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| path.parent().is_none())
}

/// A file in a folder that no server has used, and that holds others' files.
fn foreign(folder: &Path) -> Result<Option<String>, OpenError> {
    let mut names = list(folder)?;
    names.sort_unstable();
    let is_ours = |name: &String| name == LOCK || name.parse::<FileName>().is_ok();
    if names.iter().any(is_ours) {
        return Ok(None);
    }
    Ok(names.into_iter().find(|name| name != LOST_AND_FOUND))
}

/// The names of everything in a folder that is text.
fn list(folder: &Path) -> Result<Vec<String>, OpenError> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
    let names = names.map_err(|error| OpenError::Unusable { path: folder.to_owned(), error })?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// Earlier releases let all users read what they wrote.
fn hide_files(folder: &Path) -> io::Result<()> {
    for name in fs::read_dir(folder)? {
        let path = name?.path();
        let is_ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.parse::<FileName>().is_ok());
        if is_ours && fs::metadata(&path)?.permissions().mode() & 0o777 != FILE_MODE {
            fs::set_permissions(&path, Permissions::from_mode(FILE_MODE))?;
        }
    }
    Ok(())
}

/// Makes a folder and all that leads to it, on disk too.
fn make_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    for folder in missing {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        flush_folder(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn check_all(folder: &Path, server: &ServerName) -> Result<(), OpenError> {
    for name in list(folder)? {
        if name.parse::<FileName>().is_ok() {
            check(&folder.join(name), server)?;
        }
    }
    Ok(())
}

/// Whether a file may be a journal of the server, as far as its beginning says.
fn check(path: &Path, server: &ServerName) -> Result<(), OpenError> {
    // What is no file may let us wait for ever when it is opened.
    if is_no_file(path) {
        return Err(OpenError::NotAJournal(path.to_owned()));
    }
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADING_BYTES_MAX).read_to_end(&mut beginning));
    match read {
        Ok(_) => {}
        // Whoever runs there has removed it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::Unusable { path: path.to_owned(), error }),
    }
    let Some(rest) = after_magic(&beginning) else {
        // It was cut, which is for recovery to tell.
        if [MAGIC, MAGIC_OF_LANES].iter().any(|magic| magic.starts_with(&beginning)) {
            return Ok(());
        }
        let Some(version) = beginning.strip_prefix(MAGIC_OF_ANY_VERSION) else {
            return Err(OpenError::NotAJournal(path.to_owned()));
        };
        let version = version.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let version = String::from_utf8_lossy(&version[..version.len().min(16)]).into_owned();
        return Err(OpenError::Version { path: path.to_owned(), version });
    };
    match heading(rest) {
        Some((heading, _)) if heading.server != *server => {
            Err(OpenError::OfAnother { path: path.to_owned(), owner: heading.server, server: server.clone() })
        }
        _ => Ok(()),
    }
}

/// The heading that follows the magic, and the bytes that it takes.
pub(super) fn heading(bytes: &[u8]) -> Option<(Heading, usize)> {
    match next_frame(bytes) {
        Next::Frame(payload) => {
            let length = payload.len() + crate::proto::wal::record::FRAME_HEAD_BYTES;
            Heading::parse(payload).map(|heading| (heading, length))
        }
        Next::Damaged(_) | Next::Short(_) | Next::Lost => None,
    }
}

/// The name of this run of the operating system; where there is none, one that no other run has.
pub(super) fn boot(fresh: Epoch) -> String {
    let known = fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned());
    let usable = known.ok().filter(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    usable.unwrap_or_else(|| format!("unknown-{:016x}", fresh.0))
}

/// The last frame of a file.
pub(super) fn end() -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    Record::Stopped.push_to(&mut frame);
    seal(&mut frame);
    frame
}

/// Makes what happened to the names in a folder durable.
pub(super) fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
