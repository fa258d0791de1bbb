//! A server that knows nothing reads the database before it opens its ports.

use std::cell::Cell;
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

/// Reads everything, and waits no longer than `wait_max` for a database that says nothing. `report` is told how far it
/// is. What is read is there even if not all of it could be.
pub(super) fn read(engine: &mut dyn Engine, member: &Member, wait_max: Duration, report: impl Fn(&str)) {
    let (begun, report_at) = (clock::instant(), Cell::new(clock::deadline(REPORT_EVERY)));
    let heard_at = Cell::new(begun);
    loop {
        // A scan begins again from its beginning: merging twice changes nothing.
        let scanned = engine.scan(&mut |values| {
            Hearsay::of(values.iter().map(Vec::as_slice)).merge_into(member);
            heard_at.set(clock::instant());
            if clock::instant() >= report_at.get() {
                report_at.set(clock::deadline(REPORT_EVERY));
                report(&format!("{} clients so far", member.read(|node| node.store().len())));
            }
        });
        let clients = member.read(|node| node.store().len());
        match scanned {
            Ok(()) => {
                let took = clock::instant().duration_since(begun).as_secs_f64();
                return log::info!("the database knows {clients} clients, which were read in {took:.1} s");
            }
            Err(error) if clock::instant().duration_since(heard_at.get()) >= wait_max => {
                let wait = humantime::format_duration(wait_max);
                return log::warn!(
                    "the server starts with {clients} clients, because the database says nothing for {wait}: {error}; \
                     start it again when the database is there, or wait longer with --database-wait"
                );
            }
            Err(error) => {
                report(&format!("it is asked again, because {error}"));
                thread::sleep(RETRY_EVERY.min(wait_max));
            }
        }
    }
}
