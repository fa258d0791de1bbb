//! What was found in the folder of a journal, in words for the log.

use std::fmt;
use std::path::PathBuf;

/// What was found in the folder of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Clients known from it.
    pub clients: usize,
    /// Files and their bytes.
    pub files: usize,
    /// The bytes of all of them.
    pub bytes: u64,
    /// Bytes of a last commit that was not finished.
    pub cut_bytes: u64,
    /// Frames whose bytes are not those that were written.
    pub damaged_frames: u64,
    /// Bytes behind damage in which nothing can be found any more.
    pub unreadable_bytes: u64,
    /// Files that should be there, and are not.
    pub missing_files: u64,
    /// Files that others follow and that do not go on to their end.
    pub missing_ends: u64,
    /// Files with damage.
    pub damaged_files: Vec<PathBuf>,
    /// A file of others in a folder that is used for the first time.
    pub foreign: Option<String>,
    /// Whether neighbours may go on where they were.
    pub is_epoch_kept: bool,
}

impl Found {
    /// Whether something was damaged, so that everything must be written anew.
    pub fn needs_rewrite(&self) -> bool {
        !self.damaged_files.is_empty() || self.missing_files > 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found {
            clients,
            files,
            bytes,
            cut_bytes,
            damaged_frames,
            unreadable_bytes,
            missing_files,
            missing_ends,
            ..
        } = self;
        write!(f, "{clients} clients recovered from {bytes} bytes in {files} files")?;
        if *cut_bytes > 0 {
            write!(f, ", {cut_bytes} bytes of a commit cut off that nobody was promised")?;
        }
        if self.needs_rewrite() {
            write!(
                f,
                "; DAMAGE: {damaged_frames} frames wrong, {unreadable_bytes} bytes unreadable, {missing_files} files \
                 and the ends of {missing_ends} missing: reports may be lost that only this server had"
            )?;
            if !self.damaged_files.is_empty() {
                f.write_str("; these files are kept as *.damaged:")?;
            }
            self.damaged_files.iter().try_for_each(|path| write!(f, " {}", path.display()))?;
        }
        if *files > 0 && !self.is_epoch_kept {
            f.write_str("; neighbours tell and are told everything again")?;
        }
        Ok(())
    }
}
