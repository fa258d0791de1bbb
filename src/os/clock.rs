//! The clocks. Everything else is told what time it is, but for the log, whose lines have a stamp of their own, and
//! providers of places, which are told by a clock that tests can set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::sync;
use crate::proto::model::time::Moment;

/// The time of day, for skews. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { seconds: since.as_secs(), nanos: since.subsec_nanos() }
}

/// The time since a moment that stays the same while the machine runs. It never jumps.
pub fn ticks() -> Duration {
    sync::ticks()
}

/// Now, for what is compared with a deadline.
pub fn instant() -> Instant {
    deadline(Duration::ZERO)
}

/// The instant at which a wait that begins now is over.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}
