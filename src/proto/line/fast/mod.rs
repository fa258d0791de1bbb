//! The fast path: lines in canonical form, taken as many at once as stand in a buffer one behind the other. Clients'
//! reports and neighbours' `AT` lines nearly all have it.
//!
//! [`FastPath`] is all that others know of it. It comes to what the grammars of [`crate::proto::line::commands`] and
//! [`crate::proto::peering::grammar`] come to, which take every line, but costs a third.

mod at_line;
mod report;

use crate::proto::line::batch::Batch;
use crate::proto::line::fast::at_line::{CANONICAL_AT_BYTES_MAX, CanonicalAt};
use crate::proto::line::fast::report::{CANONICAL_BYTES_MIN, CLIENT, CanonicalReport, SecondsCache};
use crate::proto::line::framing::{Framing, LOOKAHEAD_BYTES};
use crate::proto::line::reply_prefix::{REPLY_PREFIX_BYTES_MAX, ReplyPrefix};
use crate::proto::model::time::Moment;
use crate::proto::store::update::{MergeRule, Source};

/// The most bytes of replies to one byte of canonical reports.
const REPLY_BYTES_PER_BYTE_MAX: usize =
    (REPLY_PREFIX_BYTES_MAX + CANONICAL_BYTES_MIN).div_ceil(CANONICAL_BYTES_MIN);

/// Reads canonical lines. It remembers the part of the last one's time that most lines have in common.
#[derive(Debug, Default)]
pub(crate) struct FastPath {
    seconds: SecondsCache,
}

impl FastPath {
    /// Takes a client's reports that came in at `received` from the front of what has been read, until a line has
    /// another form or a time after `latest`; returns how many. All replies have no more than `replies_bytes_max` bytes
    /// then. Reports whose original lines must be retained are not taken here.
    #[inline(always)]
    pub(crate) fn reports(
        &mut self,
        framing: &mut Framing,
        prefix: &ReplyPrefix,
        received: Moment,
        latest: Option<Moment>,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        if batch.retains_originals() {
            return 0;
        }
        let pending = batch.pending();
        let room = replies_bytes_max.saturating_sub(batch.replies().len());
        let Some(unread) = framing.peek(room / REPLY_BYTES_PER_BYTE_MAX, LOOKAHEAD_BYTES) else { return 0 };
        let (mut rest, mut window) = (unread, unread.first_chunk());
        while let Some(report) = window.and_then(|window| CanonicalReport::read(window, &mut self.seconds)) {
            // A line that has come whole has a window behind it. The rest of one that has not may seem to be what was
            // there before.
            let Some(behind) = rest.get(report.end..) else { break };
            let next = behind.first_chunk::<LOOKAHEAD_BYTES>();
            let (Some(line), Some(_)) = (window, next) else { break };
            if latest.is_some_and(|latest| report.moment > latest) {
                break;
            }
            let client_bytes = report.client_end - CLIENT;
            batch.push_report(prefix, received, report.moment, client_bytes, |replies| {
                // Copying all of the window costs less than copying as many bytes as the fields have.
                let end = replies.len() + report.end - CLIENT;
                replies.extend_from_slice(&line[CLIENT..]);
                replies.truncate(end);
            });
            (rest, window) = (behind, next);
        }
        let taken = unread.len() - rest.len();
        framing.consume(taken);
        (batch.pending() - pending) as u64
    }

    /// Takes a neighbour's `AT` lines from the front of what has been read, until a line has another form; returns how
    /// many. They are not replied to.
    pub(crate) fn sightings(&mut self, framing: &mut Framing, source: Source, batch: &mut Batch) -> u64 {
        let pending = batch.pending();
        let Some(unread) = framing.peek(usize::MAX, CANONICAL_AT_BYTES_MAX) else { return 0 };
        let mut rest = unread;
        while let Some(at) = CanonicalAt::read(rest, &mut self.seconds) {
            // As above.
            let Some((line, behind)) = rest.split_at_checked(at.end) else { break };
            if behind.len() < LOOKAHEAD_BYTES {
                break;
            }
            batch.push_learned(at.client, at.moment, source, MergeRule::GreaterSighting, |learned| {
                learned.extend_from_slice(line);
            });
            rest = behind;
        }
        let taken = unread.len() - rest.len();
        framing.consume(taken);
        (batch.pending() - pending) as u64
    }
}
