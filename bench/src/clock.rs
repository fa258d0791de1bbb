//! The one place that reads the clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proxyherd::proto::model::time::Moment;
use rustix::time::{ClockId, clock_gettime};

/// The time of day, for skews. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { seconds: since.as_secs(), nanos: since.subsec_nanos() }
}

/// The time since a moment that stays the same while the machine runs. It never jumps.
pub fn ticks() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The instant at which a wait that begins now is over.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}

/// How long it is until `deadline`; zero if it has passed.
pub fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(self::deadline(Duration::ZERO))
}
