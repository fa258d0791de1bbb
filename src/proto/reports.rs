//! Usual reports, taken as many at once as stand in a buffer one behind the other.

use super::batch::Batch;
use super::framing::Framing;
use super::opening::OPENING_BYTES_MAX;
use super::session::{Role, Session};
use super::time::Moment;
use super::usual::{USUAL_BYTES_MIN, Usual, WINDOW_BYTES};

/// The most bytes of replies to one byte of usual reports.
const REPLY_BYTES_PER_BYTE_MAX: usize = (OPENING_BYTES_MAX + USUAL_BYTES_MIN).div_ceil(USUAL_BYTES_MIN);

impl Session {
    /// Takes usual reports that came in at `received` from the front of what has been read, until a line has another
    /// form; returns how many. All replies have no more than `replies_bytes_max` bytes then. It comes to
    /// the same as [`Framing::next_line`] and [`Session::line`] for each, which take every line, but costs a third.
    pub fn reports(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        let room = replies_bytes_max.saturating_sub(batch.replies().len());
        let (Some(ahead), true) = (framing.ahead(room / REPLY_BYTES_PER_BYTE_MAX), self.may_report(batch))
        else {
            return 0;
        };
        let latest = self.latest(received);
        let Session { opening, hundreds, .. } = self;
        let before = batch.waiting();
        let (mut rest, mut window) = (ahead, ahead.first_chunk());
        while let Some(usual) = window.and_then(|window| Usual::read(window, hundreds)) {
            // A line that has come whole has a window behind it. The rest of one that has not may seem to be what was
            // there before.
            let Some(behind) = rest.get(usual.end..) else { break };
            let next = behind.first_chunk::<WINDOW_BYTES>();
            let (Some(report), Some(_)) = (window, next) else { break };
            if latest.is_some_and(|latest| usual.moment > latest) {
                break;
            }
            batch.usual(opening, report, &usual, received);
            (rest, window) = (behind, next);
        }
        let taken = ahead.len() - rest.len();
        framing.took(taken);
        (batch.waiting() - before) as u64
    }

    /// Whether reports are understood here, and need not be kept as they came.
    fn may_report(&self, batch: &Batch) -> bool {
        matches!(self.role, Role::Client | Role::Classic(_)) && !batch.keeps_lines()
    }

    /// The latest time that a report may have which comes in at `received`, if there is one.
    pub(super) fn latest(&self, received: Moment) -> Option<Moment> {
        self.me.clock_lead_max.map(|lead| received.after(lead))
    }
}
