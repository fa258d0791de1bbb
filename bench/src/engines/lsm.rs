//! fjall: a log-structured merge tree with a journal of its own.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Failure, Report};

pub(super) struct Lsm {
    database: Database,
    clients: Keyspace,
    mode: PersistMode,
}

impl Lsm {
    pub(super) fn open(folder: &Path, is_synced: bool) -> Result<Lsm, Failure> {
        let database = Database::builder(folder).open()?;
        let clients = database.keyspace("clients", KeyspaceCreateOptions::default)?;
        let mode = if is_synced { PersistMode::SyncData } else { PersistMode::Buffer };
        Ok(Lsm { database, clients, mode })
    }
}

impl Engine for Lsm {
    fn commit(&mut self, reports: &[Report]) -> Result<(), Failure> {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for report in reports {
            batch.insert(&self.clients, report.client.as_str(), report.record.as_slice());
        }
        Ok(batch.commit()?)
    }
}

/// Every record, in the order of the clients' names.
pub(super) fn read_all(
    folder: &Path,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let engine = Lsm::open(folder, false)?;
    for entry in engine.clients.iter() {
        each(&entry.value()?)?;
    }
    Ok(())
}
