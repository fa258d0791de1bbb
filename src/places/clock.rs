//! The one reading of the clock in this room.

use std::time::Instant;

/// Now, for deadlines, lifetimes and pauses. The rules take it as an argument, so that tests can make it up.
#[expect(
    clippy::disallowed_methods,
    reason = "calls over the network have deadlines; only this room reads them"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
