//! redb: a B-tree in one file, whose pages are copied when they change.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Engine, Failure, Report};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("clients");
const FILE: &str = "clients.redb";

pub(super) struct Btree {
    database: Database,
    durability: Durability,
}

impl Btree {
    pub(super) fn open(folder: &Path, is_synced: bool) -> Result<Btree, Failure> {
        let durability = if is_synced { Durability::Immediate } else { Durability::None };
        Ok(Btree { database: Database::create(folder.join(FILE))?, durability })
    }
}

impl Engine for Btree {
    fn commit(&mut self, reports: &[Report]) -> Result<(), Failure> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        let mut table = transaction.open_table(TABLE)?;
        for report in reports {
            table.insert(report.client.as_str(), report.record.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

/// Every record, in the order of the clients' names.
pub(super) fn read_all(
    folder: &Path,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let database = Database::create(folder.join(FILE))?;
    let reading = database.begin_read()?;
    let table = match reading.open_table(TABLE) {
        Ok(table) => table,
        // No commit that made it is there.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in table.iter()? {
        each(entry?.1.value())?;
    }
    Ok(())
}
