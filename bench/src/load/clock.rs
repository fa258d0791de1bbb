//! The two clocks that the load generator reads.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the clock that only moves forward; the same clock that the timer of the open loop uses.
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// Nanoseconds of processor time that this process has used, in all its threads.
pub fn own_cpu_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

/// Today, to the second, such as `2026-01-31T12:00:00Z`.
pub fn date() -> String {
    let since_1970 = Duration::from_secs(wall_ns() / NS_PER_SECOND);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since_1970).to_string()
}

/// Nanoseconds in a second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// A length of time in nanoseconds.
pub fn ns(time: Duration) -> u64 {
    time.as_nanos() as u64
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // None of these clocks is ever negative.
    time.tv_sec as u64 * NS_PER_SECOND + time.tv_nsec as u64
}
