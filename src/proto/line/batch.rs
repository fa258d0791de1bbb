//! The updates and replies that a batch of lines leads to: updates are merged first, replies are sent after that.
//!
//! A driver lends one batch to its conversation and reuses it, so that a line costs no allocation. Merging
//! a batch at once takes the lock once, and keeps parsing and formatting outside of it.

use std::ops::Range;

use crate::proto::line::command::IAmAt;
use crate::proto::line::fast::at_line::CanonicalAt;
use crate::proto::line::fast::reply_prefix::ReplyPrefix;
use crate::proto::line::fast::report::{CLIENT, CanonicalReport, WINDOW_BYTES};
use crate::proto::model::sighting::Sighting;
use crate::proto::model::time::{Moment, Skew};
use crate::proto::store::update::{MergeRule, Reached, Reject, Source, Update, Updates};

/// Capacity that a batch keeps between uses. A batch that once carried a large answer gives the rest back.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Replies in the order of their lines, and the updates that must be merged before they are sent.
#[derive(Debug, Default)]
pub struct Batch {
    replies: Vec<u8>,
    /// Neighbours' lines. A client's line stands in `replies`, because the reply is the `AT` line.
    learned: Vec<u8>,
    pending: Vec<Pending>,
    /// How far the neighbour has come with these: it counts once they are merged.
    reached: Option<Reached>,
    /// The lines of reports as they came, while new clients may be rejected.
    originals: Vec<u8>,
    retains_originals: bool,
    has_rejects: bool,
    /// Replies to reports that were merged, while it may turn out that these do not become durable.
    acks: Vec<Ack>,
    is_durable: bool,
}

/// Where the reply to a report stands, and in it the client's name.
#[derive(Debug)]
struct Ack {
    line: Range<usize>,
    client: usize,
}

/// An update that waits to be merged.
#[derive(Debug)]
struct Pending {
    line: Span,
    /// Where the client's name stands in the line.
    client: Span,
    moment: Moment,
    /// Where in `originals` the report stands as it came, if it was retained.
    original: Option<Span>,
    /// `None` for a client's own report.
    learned: Option<(Source, MergeRule)>,
    is_rejected: bool,
}

impl Pending {
    /// A client's own report, which is not retained as it came.
    #[inline(always)]
    fn new(line: (usize, usize), client: (usize, usize), moment: Moment) -> Pending {
        let (line, client) = (Span::new(line.0, line.1), Span::new(client.0, client.1));
        Pending { line, client, moment, original: None, learned: None, is_rejected: false }
    }
}

/// From where to where. A batch holds far less than four gigabytes.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
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
        self.pending.is_empty() && self.reached.is_none()
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        debug_assert!(self.is_applied(), "replies left before their updates were merged");
        self.replies.clear();
        self.acks.clear();
        self.replies.shrink_to(KEPT_BYTES_MAX);
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

    /// The same as [`Batch::report`] for a report in its usual form, at the start of this window.
    #[inline(always)]
    pub(crate) fn usual(
        &mut self,
        opening: &ReplyPrefix,
        window: &[u8; WINDOW_BYTES],
        usual: &CanonicalReport,
        received: Moment,
    ) {
        let out = &mut self.replies;
        let start = out.len();
        opening.push_to(Skew::between(received, usual.moment), out);
        let client = out.len() - start;
        // Copying all of the window costs less than copying as many bytes as the fields have.
        let end = out.len() + usual.end - CLIENT;
        out.extend_from_slice(&window[CLIENT..]);
        out.truncate(end);
        let client = (client, client + usual.client_end - CLIENT);
        self.pending.push(Pending::new((start, out.len()), client, usual.moment));
    }

    /// Replies to a client's report, which came as `line`, and notes it to be merged. Replies begin with `opening`.
    pub(crate) fn report(
        &mut self,
        opening: &ReplyPrefix,
        line: &[u8],
        report: &IAmAt<'_>,
        received: Moment,
    ) {
        let original = self.retains_originals.then(|| {
            let start = self.originals.len();
            self.originals.extend_from_slice(line);
            Span::new(start, self.originals.len())
        });
        let out = &mut self.replies;
        let start = out.len();
        opening.push_to(Skew::between(received, report.time.moment()), out);
        let client = out.len() - start;
        out.extend_from_slice(report.client.0.as_bytes());
        let client_end = out.len() - start;
        out.push(b' ');
        out.extend_from_slice(report.location.text().as_bytes());
        out.push(b' ');
        out.extend_from_slice(report.time.text().as_bytes());
        out.push(b'\n');
        let pending = Pending::new((start, out.len()), (client, client_end), report.time.moment());
        self.pending.push(Pending { original, ..pending });
    }

    /// Notes what a neighbour told, to be merged.
    pub(crate) fn tell(&mut self, sighting: &Sighting<'_>, source: Source, rule: MergeRule) {
        let start = self.learned.len();
        sighting.push_to(&mut self.learned);
        let pending =
            Pending::new((start, self.learned.len()), sighting.client_range(), sighting.time.moment());
        self.pending.push(Pending { learned: Some((source, rule)), ..pending });
    }

    /// The same for a line in its usual form, which is the one in which it is stored.
    #[inline(always)]
    pub(crate) fn push_canonical_at(
        &mut self,
        line: &[u8],
        usual: &CanonicalAt,
        source: Source,
        rule: MergeRule,
    ) {
        let start = self.learned.len();
        self.learned.extend_from_slice(line);
        let pending = Pending::new((start, self.learned.len()), usual.client, usual.moment);
        self.pending.push(Pending { learned: Some((source, rule)), ..pending });
    }

    /// Notes how far a neighbour has come with what it told before.
    pub(crate) fn tell_reached(&mut self, reached: Reached) {
        self.reached = Some(reached);
    }

    /// Makes error lines of all replies to reports since the last were sent: their reports are not durable, for this
    /// reason. Returns how many.
    #[cold]
    pub fn nack(&mut self, why: &str) -> usize {
        let mut replies = Vec::with_capacity(self.replies.len());
        let mut copied = 0;
        for Ack { line: Range { start, end }, client } in &self.acks {
            replies.extend_from_slice(&self.replies[copied..*start]);
            replies.extend_from_slice(format!("? {why}: IAMAT ").as_bytes());
            replies.extend_from_slice(&self.replies[start + client..*end]);
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
            if pending.learned.is_some() {
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
            match pending.original {
                Some(original) => replies.extend_from_slice(&self.originals[original.range()]),
                None => {
                    replies.extend_from_slice(b"IAMAT ");
                    let fields = start + pending.client.start as usize..end - 1;
                    replies.extend_from_slice(&self.replies[fields]);
                }
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

impl Updates for Batch {
    #[inline(always)]
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let pending = self.pending.get(i)?;
        let (text, source, rule) = match pending.learned {
            None => (&self.replies, Source::CLIENT, MergeRule::LaterTime),
            Some((source, rule)) => (&self.learned, source, rule),
        };
        let line = &text[pending.line.range()];
        let client = (pending.client.start as usize, pending.client.end as usize);
        Some(Update { line, client, moment: pending.moment, source, rule })
    }

    #[cold]
    fn reject(&mut self, i: usize, _: Reject) {
        self.pending[i].is_rejected = true;
        self.has_rejects = true;
    }

    fn reached(&self) -> Option<Reached> {
        self.reached
    }

    fn applied(&mut self) {
        if self.has_rejects {
            self.refuse_rejected();
        }
        if self.is_durable {
            let reports = self.pending.iter().filter(|pending| pending.learned.is_none());
            self.acks.extend(reports.map(|Pending { line, client, .. }| Ack {
                line: line.range(),
                client: client.start as usize,
            }));
        }
        self.pending.clear();
        self.learned.clear();
        self.reached = None;
        self.originals.clear();
    }
}
