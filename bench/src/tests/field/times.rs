//! The clocks of these tests, and the way they wait for what another process does.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::talk::WAIT;

/// Asks again and again until `found` has an answer, for what becomes true on another process's time.
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < WAIT, "not within {WAIT:?}: {what}");
        std::thread::yield_now();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own deadline; no rule of the herd depends on it")]
fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970-01-01 UTC.
#[expect(clippy::disallowed_methods, reason = "a test's own clock, to compare a server's with")]
pub(crate) fn unix_nanos() -> i128 {
    i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
