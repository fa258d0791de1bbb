//! The journal, used as the server uses it.

use std::fs;
use std::path::{Path, PathBuf};

use proxyherd::journal::{Journal, Opened};
use proxyherd::proto::model::epoch::Epoch;
use proxyherd::proto::model::name::ServerName;
use proxyherd::proto::wal::record::{FRAME_HEAD_BYTES, MAGIC, Next, next_frame};

use super::{Engine, Failure, Report};

pub(super) struct Log {
    journal: Journal,
    frame: Vec<u8>,
    is_synced: bool,
}

impl Log {
    pub(super) fn open(folder: &Path, is_synced: bool) -> Result<Log, Failure> {
        let Opened { journal, .. } = opened(folder, is_synced)?;
        Ok(Log { journal, frame: vec![0; FRAME_HEAD_BYTES], is_synced })
    }
}

impl Engine for Log {
    fn commit(&mut self, reports: &[Report]) -> Result<(), Failure> {
        self.frame.truncate(FRAME_HEAD_BYTES);
        reports.iter().for_each(|report| self.frame.extend_from_slice(&report.record));
        self.journal.append(&mut self.frame)?;
        if self.is_synced {
            self.journal.file().sync_data()?;
        }
        Ok(())
    }
}

/// What a server does when it starts.
pub(super) fn recover(folder: &Path) -> Result<usize, Failure> {
    Ok(opened(folder, false)?.memory.len())
}

/// Every payload, in the order of the commits.
pub(super) fn read_all(
    folder: &Path,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let files = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = files.collect::<Result<Vec<PathBuf>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|end| end == "log"));
    files.sort_unstable();
    for path in files {
        let bytes = fs::read(&path)?;
        let mut rest = bytes.strip_prefix(MAGIC).ok_or("a file of the journal does not begin as one")?;
        let mut is_heading = true;
        while !rest.is_empty() {
            let Next::Frame(payload) = next_frame(rest) else {
                return Err("a frame of the journal is not whole".into());
            };
            if !is_heading {
                each(payload)?;
            }
            is_heading = false;
            rest = &rest[FRAME_HEAD_BYTES + payload.len()..];
        }
    }
    Ok(())
}

fn opened(folder: &Path, is_synced: bool) -> Result<Opened, Failure> {
    let server = ServerName::parse("alice").map_err(|_| "`alice` is no name of a server")?;
    Ok(Journal::open(folder, &server, is_synced, Epoch(1), &mut |_, _| {})?)
}
