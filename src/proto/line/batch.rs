//! The updates and replies that a batch of lines leads to: updates are merged first, replies are sent after that.
//!
//! A driver lends one batch to its conversation and reuses it, so that a line costs no allocation. Merging
//! a batch at once takes the lock once, and keeps parsing and formatting outside of it.

use std::ops::Range;

use crate::proto::line::reason::{REASON_MARK, Reason};
use crate::proto::line::reply_prefix::ReplyPrefix;
use crate::proto::model::era::Era;
use crate::proto::model::location::Location;
use crate::proto::model::name::ClientId;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::model::time::{Moment, Skew, Timestamp};
use crate::proto::store::update::{MergeRule, Meta, Offered, Reached, Reject, Source, Span, Update, Updates};

/// Capacity that a batch keeps between uses. A batch that once carried a large answer gives the rest back.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Capacity that a conversation which is idle may keep: its next turn is likely to be one of a few lines.
pub const SMALL_BYTES_MAX: usize = 2 * 1024;

/// Replies in the order of their lines, and the updates that must be merged before they are sent.
#[derive(Debug, Default)]
pub struct Batch {
    replies: Vec<u8>,
    /// Neighbours' lines. A client's line stands in `replies`, because the reply is the `AT` line.
    learned: Vec<u8>,
    pending: Vec<Pending>,
    /// How far the neighbour has come with these: it counts once they are merged.
    reached: Option<Reached>,
    /// What the neighbour offers behind these.
    offered: Option<Offered>,
    /// The lines of reports as they came, while new clients may be rejected.
    originals: Vec<u8>,
    retains_originals: bool,
    has_rejects: bool,
    /// Replies to reports that were merged, while it may turn out that these do not become durable.
    acks: Vec<Ack>,
    is_durable: bool,
    /// Whether error lines to clients say why.
    explains: bool,
}

/// Where the reply to a report stands, and in it the client's name.
type Ack = (Range<usize>, usize);

/// An update that waits to be merged. It has 64 bytes, so that finding one by its index costs little.
#[derive(Debug)]
struct Pending {
    line: Span,
    meta: Meta,
    era: Era,
    rule: MergeRule,
    /// Whether it is a client's own report, so that its line stands in `replies`.
    is_report: bool,
    is_rejected: bool,
    /// Where in `originals` the report stands as it came; empty if it was not retained.
    original: Span,
}

impl Batch {
    /// A batch for a driver with a journal: until the replies are sent it may turn out that they must be withheld,
    /// because their reports do not become durable.
    pub fn durable() -> Batch {
        Batch { is_durable: true, ..Batch::default() }
    }

    /// The replies so far. They may be sent only when the batch is applied: a reply to a report is an acknowledgement.
    pub fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// Whether nothing waits to be merged.
    pub fn is_applied(&self) -> bool {
        self.pending.is_empty() && self.reached.is_none() && self.offered.is_none()
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        debug_assert!(self.is_applied(), "replies left before their updates were merged");
        self.replies.clear();
        self.acks.clear();
        self.replies.shrink_to(KEPT_BYTES_MAX);
    }

    /// Whether it has grown for many lines at once, so that it is worth lending to another conversation.
    pub fn has_grown(&self) -> bool {
        self.replies.capacity() > SMALL_BYTES_MAX || self.learned.capacity() > SMALL_BYTES_MAX
    }

    /// An empty one for the same conversation.
    pub fn emptied(&self) -> Batch {
        Batch { is_durable: self.is_durable, explains: self.explains, ..Batch::default() }
    }

    /// Whether the lines of reports are retained as they come, because reports may be rejected when they are merged and
    /// must then be copied back. A driver says before each turn what [`crate::proto::node::Applied::near_capacity`] was
    /// last, on whatever connection: it changes rarely, and where it comes too late a line is copied back with single
    /// spaces.
    pub fn retain_originals(&mut self, near_capacity: bool) {
        self.retains_originals = near_capacity;
    }

    /// Replies that a line was not understood: `? ` and a copy of it.
    pub fn refuse(&mut self, line: &[u8]) {
        self.replies.extend_from_slice(b"? ");
        self.replies.extend_from_slice(line);
        self.replies.push(b'\n');
    }

    /// Replies that a client's line was refused: `? ` and a copy of it, and why if that is to be said.
    pub fn refuse_because(&mut self, line: &[u8], reason: Reason) {
        self.refuse(line);
        if self.explains {
            self.replies.pop();
            push_reason(reason, &mut self.replies);
            self.replies.push(b'\n');
        }
    }

    /// Whether error lines to clients say why.
    pub fn explain(&mut self, explains: bool) {
        self.explains = explains;
    }

    /// Where a reply is to be appended that no method here makes.
    pub fn reply(&mut self) -> &mut Vec<u8> {
        &mut self.replies
    }

    /// Whether reports must come line by line, to be retained as they are.
    pub(crate) fn retains_originals(&self) -> bool {
        self.retains_originals
    }

    /// How many updates wait to be merged.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Replies to a client's report, which came as `line`, and notes it to be merged. The reply begins with `prefix`.
    pub(crate) fn report(
        &mut self,
        prefix: &ReplyPrefix,
        line: &[u8],
        received: Moment,
        client: ClientId<'_>,
        location: Location<'_>,
        time: Timestamp<'_>,
    ) {
        self.push_report(prefix, received, time.moment(), client.0.len(), |replies| {
            for (field, end) in [(client.0, b' '), (location.text(), b' '), (time.text(), b'\n')] {
                replies.extend_from_slice(field.as_bytes());
                replies.push(end);
            }
        });
        if let (true, Some(pending)) = (self.retains_originals, self.pending.last_mut()) {
            let start = self.originals.len();
            self.originals.extend_from_slice(line);
            pending.original = Span::new(start, self.originals.len());
        }
    }

    /// Replies to a client's report of which `push_fields` appends the three fields and a line feed, the client's name
    /// of `client_bytes` first, and notes it to be merged.
    #[inline(always)]
    pub(crate) fn push_report(
        &mut self,
        prefix: &ReplyPrefix,
        received: Moment,
        moment: Moment,
        client_bytes: usize,
        push_fields: impl FnOnce(&mut Vec<u8>),
    ) {
        let replies = &mut self.replies;
        let start = replies.len();
        prefix.push_to(Skew::between(received, moment), replies);
        let client = replies.len() - start;
        push_fields(replies);
        let line = Span::new(start, replies.len());
        let client = Span::new(client, client + client_bytes);
        let meta = Meta { client, moment, source: Source::CLIENT };
        self.push_pending(line, meta, Era::FIRST, MergeRule::LaterTime, true);
    }

    /// Notes a neighbour's sighting, to be merged.
    pub(crate) fn learn(&mut self, sighting: &Sighting<'_>, source: Source, rule: MergeRule) {
        let moment = sighting.time.moment();
        self.push_learned(sighting.client_range(), moment, source, rule, |out| sighting.push_to(out));
    }

    /// Notes what a neighbour has stored, to be merged.
    pub(crate) fn learn_stored(&mut self, stored: &StoredLine<'_>, source: Source) {
        let start = self.learned.len();
        stored.push_to(&mut self.learned);
        let line = Span::new(start, self.learned.len());
        let (start, end) = stored.client_range();
        let meta = Meta { client: Span::new(start, end), moment: stored.moment(), source };
        self.push_pending(line, meta, stored.era(), MergeRule::GreaterSighting, false);
    }

    /// Notes a neighbour's line, which `push_line` appends in the form in which it is stored.
    #[inline(always)]
    pub(crate) fn push_learned(
        &mut self,
        client: (usize, usize),
        moment: Moment,
        source: Source,
        rule: MergeRule,
        push_line: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.learned.len();
        push_line(&mut self.learned);
        let line = Span::new(start, self.learned.len());
        let meta = Meta { client: Span::new(client.0, client.1), moment, source };
        self.push_pending(line, meta, Era::FIRST, rule, false);
    }

    #[inline(always)]
    fn push_pending(&mut self, line: Span, meta: Meta, era: Era, rule: MergeRule, is_report: bool) {
        let (original, is_rejected) = (Span::default(), false);
        self.pending.push(Pending { line, meta, era, rule, is_report, is_rejected, original });
    }

    /// Notes how far a neighbour has come with the lines before.
    pub(crate) fn set_reached(&mut self, reached: Reached) {
        self.reached = Some(reached);
    }

    /// Notes what a neighbour offers. It is told that it is known if all is that it has offered since the last merge.
    pub(crate) fn offer(&mut self, neighbour: usize, position: u64, hashes: impl Iterator<Item = u64>) {
        let offered = self.offered.get_or_insert_default();
        (offered.neighbour, offered.position) = (neighbour, position);
        offered.hashes.extend(hashes);
    }

    /// Makes error lines of all replies to reports since the last were sent: their reports are not durable, for this
    /// reason. Returns how many.
    #[cold]
    pub fn nack(&mut self, why: &str) -> usize {
        let mut replies = Vec::with_capacity(self.replies.len());
        let mut copied = 0;
        for (Range { start, end }, client) in &self.acks {
            replies.extend_from_slice(&self.replies[copied..*start]);
            replies.extend_from_slice(format!("? {why}: IAMAT ").as_bytes());
            replies.extend_from_slice(&self.replies[start + client..*end - 1]);
            if self.explains {
                push_reason(Reason::NotDurable, &mut replies);
            }
            replies.push(b'\n');
            copied = *end;
        }
        replies.extend_from_slice(&self.replies[copied..]);
        self.replies = replies;
        let withheld = self.acks.len();
        self.acks.clear();
        withheld
    }

    /// Makes error lines of the replies to rejected reports.
    #[cold]
    fn refuse_rejected(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut replies = Vec::with_capacity(self.replies.len());
        let mut copied = 0;
        pending.retain_mut(|pending| {
            let Range { start, end } = pending.line.range();
            if !pending.is_report {
                return true;
            }
            replies.extend_from_slice(&self.replies[copied..start]);
            copied = end;
            if !pending.is_rejected {
                pending.line = Span::new(replies.len(), replies.len() + end - start);
                replies.extend_from_slice(&self.replies[start..end]);
                return true;
            }
            replies.extend_from_slice(b"? ");
            let original = &self.originals[pending.original.range()];
            if original.is_empty() {
                replies.extend_from_slice(b"IAMAT ");
                replies.extend_from_slice(&self.replies[start + pending.meta.client.start as usize..end - 1]);
            }
            replies.extend_from_slice(original);
            if self.explains {
                push_reason(Reason::Full, &mut replies);
            }
            replies.push(b'\n');
            false
        });
        replies.extend_from_slice(&self.replies[copied..]);
        self.replies = replies;
        self.pending = pending;
        self.has_rejects = false;
    }
}

fn push_reason(reason: Reason, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{REASON_MARK}{reason}").as_bytes());
}

impl Updates for Batch {
    #[inline(always)]
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let pending = self.pending.get(i)?;
        let &Pending { meta, era, rule, .. } = pending;
        let text = if pending.is_report { &self.replies } else { &self.learned };
        Some(Update { line: &text[pending.line.range()], meta, era, rule })
    }

    #[cold]
    fn reject(&mut self, i: usize, _: Reject) {
        self.pending[i].is_rejected = true;
        self.has_rejects = true;
    }

    fn reached(&self) -> Option<Reached> {
        self.reached
    }

    fn offered(&self) -> Option<&Offered> {
        self.offered.as_ref()
    }

    fn applied(&mut self) {
        if self.has_rejects {
            self.refuse_rejected();
        }
        if self.is_durable {
            let reports = self.pending.iter().filter(|pending| pending.is_report);
            self.acks.extend(reports.map(|report| (report.line.range(), report.meta.client.start as usize)));
        }
        self.pending.clear();
        self.learned.clear();
        (self.reached, self.offered) = (None, None);
        self.originals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_update_has_64_bytes() {
        assert_eq!(size_of::<Pending>(), 64);
    }
}
