//! Usual reports, taken as many at once as stand in a buffer one behind the other.

use super::batch::Batch;
use super::framing::Framing;
use super::opening::OPENING_BYTES_MAX;
use super::session::Session;
use super::time::Moment;
use super::usual::{Usual, WINDOW_BYTES};

/// The most bytes of a reply to a usual report.
const REPLY_BYTES_MAX: usize = OPENING_BYTES_MAX + WINDOW_BYTES;

impl Session {
    /// Takes usual reports that came in at `received` from the front of what has been read, until a line has another
    /// form, or the replies have `replies_bytes_max` bytes; returns how many. It comes to the same as
    /// [`Framing::next_line`] and [`Session::line`] for each, which take every other line, but costs a third.
    // Not within its caller, which is then left with too few registers.
    #[inline(never)]
    pub fn reports(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        let (Some(ahead), true) = (framing.ahead(), self.takes_reports() && !batch.keeps_lines()) else {
            return 0;
        };
        let latest = self.latest(received);
        let Session { opening, hundreds, .. } = self;
        let unread = ahead.len() - WINDOW_BYTES;
        let (mut taken, mut lines) = (0, 0);
        let room = replies_bytes_max.saturating_sub(batch.replies().len());
        let lines_max = room.div_ceil(REPLY_BYTES_MAX) as u64;
        while lines < lines_max {
            let Some(rest) = ahead.get(taken..) else { break };
            let Some(window) = rest.first_chunk() else { break };
            let Some(usual) = Usual::read(window, hundreds) else { break };
            let end = taken + usual.end;
            // The rest of a line that has not come whole may seem to be what was there before.
            if end > unread || latest.is_some_and(|latest| usual.moment > latest) {
                break;
            }
            batch.usual(opening, window, &usual, received);
            taken = end;
            lines += 1;
        }
        framing.took(taken);
        lines
    }
}
