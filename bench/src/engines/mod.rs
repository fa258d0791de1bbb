//! Storage engines that the journal is measured against, behind what a journal asks of them.
//!
//! All of them keep the same bytes of a report: the record of the journal, which has the report's number and its `AT`
//! line. An engine keeps it under the name of the client.

mod btree;
mod log;
mod lsm;
pub mod rounds;
pub mod table;

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use proxyherd::proto::wal::record::{FRAME_HEAD_BYTES, Record};
use proxyherd::proto::wal::recovery::Recovery;

/// Why something could not be measured.
pub type Failure = Box<dyn Error + Send + Sync>;

/// An engine with what a commit of it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Candidate {
    /// The journal of the server; a commit is a call of `write`.
    LogOs,
    /// The journal, and each commit is flushed.
    LogSync,
    /// redb with `Durability::None`.
    RedbNone,
    /// redb with `Durability::Immediate`.
    RedbSync,
    /// fjall with `PersistMode::Buffer`.
    FjallOs,
    /// fjall with `PersistMode::SyncData`.
    FjallSync,
}

/// All of them, in the order of their turns.
pub const ALL: [Candidate; 6] = [
    Candidate::LogOs,
    Candidate::RedbNone,
    Candidate::FjallOs,
    Candidate::LogSync,
    Candidate::RedbSync,
    Candidate::FjallSync,
];

/// What is kept of one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose report it is.
    pub client: String,
    /// The record that a journal keeps of it.
    pub record: Vec<u8>,
}

/// An open engine.
pub trait Engine {
    /// Keeps all of these, or none.
    ///
    /// # Errors
    /// What the engine says.
    fn commit(&mut self, reports: &[Report]) -> Result<(), Failure>;
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Candidate::LogOs => "journal, os",
            Candidate::LogSync => "journal, sync",
            Candidate::RedbNone => "redb, None",
            Candidate::RedbSync => "redb, Immediate",
            Candidate::FjallOs => "fjall, Buffer",
            Candidate::FjallSync => "fjall, SyncData",
        })
    }
}

impl Candidate {
    /// Opens what is in a folder, or begins it.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(self, folder: &Path) -> Result<Box<dyn Engine>, Failure> {
        Ok(match self {
            Candidate::LogOs => Box::new(log::Log::open(folder, false)?),
            Candidate::LogSync => Box::new(log::Log::open(folder, true)?),
            Candidate::RedbNone => Box::new(btree::Btree::open(folder, false)?),
            Candidate::RedbSync => Box::new(btree::Btree::open(folder, true)?),
            Candidate::FjallOs => Box::new(lsm::Lsm::open(folder, false)?),
            Candidate::FjallSync => Box::new(lsm::Lsm::open(folder, true)?),
        })
    }

    /// Opens what is in a folder, and makes of it the memory that a server starts with. Returns how many clients it
    /// knows.
    ///
    /// # Errors
    /// What the engine says, or that something else came out than was put in.
    pub fn recover(self, folder: &Path) -> Result<usize, Failure> {
        if matches!(self, Candidate::LogOs | Candidate::LogSync) {
            return log::recover(folder);
        }
        let mut recovery = Recovery::new();
        self.read_all(folder, &mut |record| Ok(recovery.frame(record)?))?;
        let (memory, _) = recovery.finish("");
        Ok(memory.len())
    }

    /// Opens what is in a folder and gives every record of an engine, or every payload of the journal's frames.
    ///
    /// # Errors
    /// What the engine says, or whoever takes them.
    pub fn read_all(
        self,
        folder: &Path,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Candidate::LogOs | Candidate::LogSync => log::read_all(folder, each),
            Candidate::RedbNone | Candidate::RedbSync => btree::read_all(folder, each),
            Candidate::FjallOs | Candidate::FjallSync => lsm::read_all(folder, each),
        }
    }
}

impl Report {
    /// The report with this number, of one of `clients`. Some hundred bytes are kept of it.
    pub fn new(number: u64, client: u64) -> Report {
        let client = format!("phone-{client:08}.example");
        let line = format!(
            "AT alice +0.263873386 {client} +34.068930-118.445127 {}.918963997\n",
            1_700_000_000 + number
        );
        let mut record = Vec::with_capacity(FRAME_HEAD_BYTES + line.len());
        Record::Sighting(number, line.as_bytes()).push_to(&mut record);
        Report { client, record }
    }
}

/// The bytes that everything in a folder takes on disk.
///
/// # Errors
/// What the system says.
pub fn disk_bytes(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        // A file may be longer than what was written of it.
        sum += if found.is_dir() { disk_bytes(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proxyherd::proto::wal::record::records;

    #[test]
    fn every_candidate_gives_back_what_was_put_in() {
        let reports: Vec<Report> = (0..300).map(|number| Report::new(number + 1, number % 100)).collect();
        let newest: BTreeSet<Vec<u8>> = reports[200..].iter().map(|report| report.record.clone()).collect();
        for candidate in ALL {
            let folder = tempfile::tempdir().unwrap();
            let mut engine = candidate.open(folder.path()).unwrap();
            reports.chunks(7).for_each(|some| engine.commit(some).unwrap());
            drop(engine);
            let mut found = Vec::new();
            let mut each = |payload: &[u8]| -> Result<(), Failure> {
                for record in records(payload) {
                    found.push(Vec::new());
                    record?.push_to(found.last_mut().unwrap());
                }
                Ok(())
            };
            candidate.read_all(folder.path(), &mut each).unwrap();
            if matches!(candidate, Candidate::LogOs | Candidate::LogSync) {
                let all: Vec<Vec<u8>> = reports.iter().map(|report| report.record.clone()).collect();
                assert_eq!(found, all, "{candidate}");
            } else {
                assert_eq!(found.len(), 100, "{candidate}");
                assert_eq!(BTreeSet::from_iter(found), newest, "{candidate}");
            }
            assert_eq!(candidate.recover(folder.path()).unwrap(), 100, "{candidate}");
        }
    }
}
