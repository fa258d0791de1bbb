//! Dialling a neighbour until it is there, with back-off, and again when it was lost.

use std::io;
use std::time::Duration;

use super::neighbour::Neighbour;
use crate::member::link_log::FAILURES_UNTIL_WARNING;
use crate::os::clock;
use crate::proto::peering::backoff::Backoff;

/// A link that is lost sooner has come to nothing, because the neighbour is not understood or ends it each time: the
/// waits between attempts go on growing.
const STEADY_AFTER: Duration = Duration::from_secs(5);

/// A way to tell a neighbour what is due.
pub trait Dial {
    /// One connection, or one message.
    type Session;

    /// Reaches the neighbour.
    ///
    /// # Errors
    /// If it cannot be reached now.
    fn dial(&mut self) -> io::Result<Self::Session>;

    /// Tells it what is due, until the session ends. `was_away` says whether its absence was reported. Returns whether
    /// the neighbour was lost, so that the next attempt must wait.
    fn converse(&mut self, session: Self::Session, was_away: bool) -> bool;

    /// The neighbour could not be reached, `failures` times in a row.
    fn failed(&mut self, failures: u64, error: &io::Error);

    /// Whether another attempt is to be made.
    fn goes_on(&self) -> bool;
}

/// Keeps telling a neighbour what is due, until no further attempt is to be made.
pub fn run<D: Dial>(mut dial: D, neighbour: &Neighbour<'_>) {
    let mut backoff = Backoff::new();
    let mut failures = 0_u64;
    while dial.goes_on() {
        let is_lost = match dial.dial() {
            Ok(session) => {
                let (was_away, begun) =
                    (std::mem::take(&mut failures) >= FAILURES_UNTIL_WARNING, clock::instant());
                let is_lost = dial.converse(session, was_away);
                if !is_lost || clock::instant().duration_since(begun) >= STEADY_AFTER {
                    backoff.reset();
                }
                is_lost
            }
            Err(error) => {
                failures += 1;
                neighbour.came_to_nothing();
                dial.failed(failures, &error);
                true
            }
        };
        if is_lost {
            let wait = backoff.wait(fastrand::f32());
            neighbour.subscription.pause_until(clock::deadline(wait));
        }
    }
}
