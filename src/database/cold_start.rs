//! A server that knows nothing reads the database before it opens its ports, and one that has not come to the end of
//! that reads it again at its next start.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::engine::Engine;
use super::hearsay::Hearsay;
use crate::member::Member;
use crate::os::clock;

/// Between two attempts.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// How often it says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The file beside a journal that says that the database has not been read to its end.
const MARKER: &str = "database.unread";

/// Whether the start before has not come to the end of reading.
pub(super) fn is_unfinished(folder: &Path) -> bool {
    folder.join(MARKER).exists()
}

/// Says so on disk, before anything that is read may be there.
pub(super) fn begin(folder: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(MARKER))?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Says no more so.
pub(super) fn finish(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(MARKER)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads everything, and waits no longer than `wait_max` for a database that says nothing new. `report` is told how far
/// it is. Returns whether all could be read; what was read is there even if not.
pub(super) fn read(
    engine: &mut dyn Engine,
    member: &Member,
    wait_max: Duration,
    report: impl Fn(&str),
) -> bool {
    let (begun, report_at) = (clock::instant(), Cell::new(clock::deadline(REPORT_EVERY)));
    let (heard_at, pages_most) = (Cell::new(begun), Cell::new(0_u64));
    loop {
        // A scan begins again from its beginning: merging twice changes nothing. But what earlier attempts have read
        // is nothing new, so that a cluster without one of its primaries is not waited for longer.
        let mut pages = 0;
        let scanned = engine.scan(&mut |values| {
            Hearsay::of(values.iter().map(Vec::as_slice)).merge_into(member);
            pages += 1;
            if pages > pages_most.get() {
                pages_most.set(pages);
                heard_at.set(clock::instant());
            }
            if clock::instant() >= report_at.get() {
                report_at.set(clock::deadline(REPORT_EVERY));
                report(&format!("{} clients so far", member.read(|node| node.store().len())));
            }
        });
        let clients = member.read(|node| node.store().len());
        match scanned {
            Ok(()) => {
                let took = clock::instant().duration_since(begun).as_secs_f64();
                log::info!("the database knows {clients} clients, which were read in {took:.1} s");
                return true;
            }
            Err(error) if clock::instant().duration_since(heard_at.get()) >= wait_max => {
                let wait = humantime::format_duration(wait_max);
                log::warn!(
                    "the server starts with {clients} clients, because the database says nothing new for {wait}: \
                     {error}; start it again when all of the database is there, or wait longer with --database-wait"
                );
                return false;
            }
            Err(error) => {
                report(&format!("it is asked again, because {error}"));
                thread::sleep(RETRY_EVERY.min(wait_max));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::engine::{Change, EngineError, Point};
    use crate::tests::harness::alone;

    /// A database that answers the first page of each scan, and nothing else.
    struct FirstPage {
        scans: usize,
    }

    impl Engine for FirstPage {
        fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError> {
            self.scans += 1;
            assert!(self.scans < 100, "it is read for ever");
            each(vec![b"0000000000 000000000000000005. AT Alford +1 kiwi +1+1 5".to_vec()]);
            Err(EngineError::Silent)
        }

        fn begin_write(&mut self, _: &[Change]) -> Result<(), EngineError> {
            Err(EngineError::Silent)
        }

        fn finish_write(&mut self) -> Result<(), EngineError> {
            Err(EngineError::Silent)
        }

        fn read(&mut self, _: &str) -> Result<Option<Vec<u8>>, EngineError> {
            Err(EngineError::Silent)
        }

        fn append(&mut self, _: &mut Vec<Point>, _: u64) -> Result<(), EngineError> {
            Err(EngineError::Silent)
        }

        fn track(&mut self, _: &str) -> Result<Vec<Vec<u8>>, EngineError> {
            Err(EngineError::Silent)
        }

        fn parts(&self) -> usize {
            1
        }

        fn positions(&mut self, _: &str) -> Result<Vec<Option<String>>, EngineError> {
            Err(EngineError::Silent)
        }

        fn move_positions(&mut self, _: &str, _: &[Option<String>], _: &str) -> Result<bool, EngineError> {
            Err(EngineError::Silent)
        }
    }

    #[test]
    fn database_that_says_the_same_again_and_again_is_not_waited_for() {
        let server = alone();
        assert!(!read(&mut FirstPage { scans: 0 }, &server.member, Duration::from_millis(20), |_| {}));
        assert!(server.member.locate(b"kiwi").is_some());
    }

    #[test]
    fn marker_is_there_until_all_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_unfinished(folder.path()));
        begin(folder.path()).unwrap();
        begin(folder.path()).unwrap();
        assert!(is_unfinished(folder.path()));
        finish(folder.path()).unwrap();
        finish(folder.path()).unwrap();
        assert!(!is_unfinished(folder.path()));
    }
}
