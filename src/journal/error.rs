//! Why the folder of a journal is of no use, one sentence each. Nothing in it has been changed then.

use std::io;
use std::path::PathBuf;

use crate::proto::model::name::ServerName;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is something else in its place.
    #[error("the data directory {} is not a directory: choose another with --data-dir", .0.display())]
    NotADirectory(PathBuf),
    /// It is the root of all folders, which is never meant.
    #[error("the data directory is /, where other programs have their files: choose another with --data-dir")]
    Root,
    /// What should be locked is no file.
    #[error(
        "{} is no file, and so not the lock of a server: move it away, or choose another directory with --data-dir",
        .0.display()
    )]
    NotALock(PathBuf),
    /// The system does not let us.
    #[error("cannot use the data directory {}: {error}; mend that, or choose another with --data-dir", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another server: stop that one, or choose another with --data-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// It holds the journal of another server.
    #[error("{} is the journal of {owner}, not of {server}: choose another with --data-dir", path.display())]
    OfAnother {
        /// The file that says so.
        path: PathBuf,
        /// Whose it is.
        owner: ServerName,
        /// Whose it should be.
        server: ServerName,
    },
    /// A file with the name of a journal is none.
    #[error("{} is not a journal: move it away, or choose another directory with --data-dir", .0.display())]
    NotAJournal(PathBuf),
    /// A journal of another release.
    #[error("{} is a journal in another format ({version:?}): use the release that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says of its format.
        version: String,
    },
}
