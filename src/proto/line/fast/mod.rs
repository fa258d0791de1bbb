//! CanonicalReport lines, taken as many at once as stand in a buffer one behind the other: a client's reports, and what a
//! neighbour tells.

pub(crate) mod at_line;
pub(crate) mod reply_prefix;
pub(crate) mod report;

use crate::proto::line::batch::Batch;
use crate::proto::line::fast::at_line::{CANONICAL_AT_BYTES_MAX, CanonicalAt, OriginCache};
use crate::proto::line::fast::reply_prefix::REPLY_PREFIX_BYTES_MAX;
use crate::proto::line::fast::report::{CANONICAL_BYTES_MIN, CanonicalReport, SecondsCache, WINDOW_BYTES};
use crate::proto::line::framing::Framing;
use crate::proto::line::session::{Role, Session};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::time::Moment;
use crate::proto::store::update::MergeRule;

/// The most bytes of replies to one byte of usual reports.
const REPLY_BYTES_PER_BYTE_MAX: usize =
    (REPLY_PREFIX_BYTES_MAX + CANONICAL_BYTES_MIN).div_ceil(CANONICAL_BYTES_MIN);

/// What is known of the line before, which most lines have in common with it.
#[derive(Debug, Default)]
pub(crate) struct LineCache {
    hundreds: SecondsCache,
    origin: OriginCache,
}

impl Session {
    /// Takes usual lines that came in at `received` from the front of what has been read, until a line has another
    /// form; returns how many. All replies have no more than `replies_bytes_max` bytes then. It comes to
    /// the same as [`Framing::next_line`] and [`Session::line`] for each, which take every line, but costs a third.
    pub fn canonical_lines(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        let before = batch.pending();
        match self.role {
            // Reports that must be kept as they came are not taken here.
            Role::Client | Role::Legacy(_) if !batch.retains_originals() => {
                self.reports(framing, received, replies_bytes_max, batch);
            }
            Role::Peer(neighbour, epoch, _) => self.told(neighbour, epoch, framing, batch),
            Role::Client | Role::Legacy(_) | Role::Unauthenticated(_) | Role::Challenged(_) => {}
        }
        (batch.pending() - before) as u64
    }

    #[inline(always)]
    fn reports(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) {
        let room = replies_bytes_max.saturating_sub(batch.replies().len());
        let Some(ahead) = framing.ahead(room / REPLY_BYTES_PER_BYTE_MAX, WINDOW_BYTES) else { return };
        let latest = self.latest(received);
        let Session { opening, before: LineCache { hundreds, .. }, .. } = self;
        let (mut rest, mut window) = (ahead, ahead.first_chunk());
        while let Some(usual) = window.and_then(|window| CanonicalReport::read(window, hundreds)) {
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
    }

    /// What this neighbour tells. Nothing is replied to it.
    fn told(&mut self, neighbour: usize, epoch: Epoch, framing: &mut Framing, batch: &mut Batch) {
        let Some(ahead) = framing.ahead(usize::MAX, CANONICAL_AT_BYTES_MAX) else { return };
        let teller = self.me.source(neighbour, epoch);
        let LineCache { hundreds, origin } = &mut self.before;
        let mut rest = ahead;
        while let Some(usual) = CanonicalAt::read(rest, origin, hundreds) {
            // As above.
            let Some((line, behind)) = rest.split_at_checked(usual.end) else { break };
            if behind.len() < WINDOW_BYTES {
                break;
            }
            batch.push_canonical_at(line, &usual, teller, MergeRule::GreaterSighting);
            rest = behind;
        }
        let taken = ahead.len() - rest.len();
        framing.took(taken);
    }

    /// The latest time that a report may have which comes in at `received`, if there is one.
    pub(crate) fn latest(&self, received: Moment) -> Option<Moment> {
        self.me.clock_lead_max.map(|lead| received.after(lead))
    }
}
