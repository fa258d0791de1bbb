//! What a batch of lines leads to: sightings to be merged, and replies to be sent after that.
//!
//! A driver lends one batch to its conversation and reuses it, so that a line costs no allocation. Merging
//! a batch at once takes the lock once, and keeps parsing and formatting outside of it.

use std::ops::Range;

use crate::proto::line::command::IAmAt;
use crate::proto::line::fast::at_line::CanonicalAt;
use crate::proto::line::fast::reply_prefix::ReplyPrefix;
use crate::proto::line::fast::report::{CLIENT, CanonicalReport, WINDOW_BYTES};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::time::{Moment, Skew};
use crate::proto::store::update::{MergeRule, Source, Update};

/// Capacity that a batch keeps between uses. A batch that once carried a large answer gives the rest back.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Replies in the order of their lines, and the sightings that must be merged before they are sent.
#[derive(Debug, Default)]
pub struct Batch {
    replies: Vec<u8>,
    /// The lines that neighbours told. A client's line stands in `replies`, for the reply is the `AT` line.
    told: Vec<u8>,
    pending: Vec<Pending>,
    /// How far the neighbour has come with these: it counts once they are merged.
    reached: Option<Reached>,
    /// The lines of reports as they came, while new clients may be refused.
    lines: Vec<u8>,
    keeps_lines: bool,
    /// Replies to reports that were merged, while it may turn out that these are not kept.
    promises: Vec<Promise>,
    keeps_promises: bool,
}

/// Where the reply to a report stands, and in it the client's name.
#[derive(Debug)]
struct Promise {
    line: Range<usize>,
    client: usize,
}

/// A neighbour, by its index, has said everything up to a position of an epoch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) neighbour: usize,
    pub(crate) epoch: Epoch,
    pub(crate) position: u64,
}

#[derive(Debug)]
struct Pending {
    line: Span,
    /// Where the client's name stands in the line.
    client: Span,
    moment: Moment,
    /// Where in `lines` the report stands as it came, if it was kept.
    original: Option<Span>,
    /// `None` for a client's own report.
    told: Option<(Source, MergeRule)>,
}

impl Pending {
    /// A client's own report, which has not been kept as it came.
    #[inline(always)]
    fn new(line: (usize, usize), client: (usize, usize), moment: Moment) -> Pending {
        let (line, client) = (Span::new(line.0, line.1), Span::new(client.0, client.1));
        Pending { line, client, moment, original: None, told: None }
    }
}

/// From where to where. What a batch holds has far less than four gigabytes.
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
    /// A batch for a driver that records what is merged: until the replies are sent they may turn out not to be true.
    pub fn breakable() -> Batch {
        Batch { keeps_promises: true, ..Batch::default() }
    }

    /// The replies so far. Only a settled batch may be sent: a reply to a report is a promise.
    pub fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// Whether nothing waits to be merged.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.reached.is_none()
    }

    /// Forgets the replies, which have been sent.
    pub fn sent(&mut self) {
        debug_assert!(self.is_settled(), "replies left before their sightings were merged");
        self.replies.clear();
        self.promises.clear();
        self.replies.shrink_to(KEPT_BYTES_MAX);
    }

    /// Whether the lines of reports are kept as they come, for reports may be refused when they are merged and must
    /// then be copied back. To be told before each turn what [`crate::proto::node::Applied::crowded`] said last, on
    /// whatever connection: it changes rarely, and where it comes too late a line is copied back with single spaces.
    pub fn keep_lines(&mut self, crowded: bool) {
        self.keeps_lines = crowded;
    }

    /// Replies that a line was not understood: `? ` and a copy of it.
    pub fn refuse(&mut self, line: &[u8]) {
        self.replies.extend_from_slice(b"? ");
        self.replies.extend_from_slice(line);
        self.replies.push(b'\n');
    }

    /// Where a reply is to be appended that is not for one of the methods here.
    pub fn reply(&mut self) -> &mut Vec<u8> {
        &mut self.replies
    }

    /// Whether reports must come line by line, to be kept as they are.
    pub(crate) fn keeps_lines(&self) -> bool {
        self.keeps_lines
    }

    /// How many sightings wait to be merged.
    pub(crate) fn waiting(&self) -> usize {
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
        let original = self.keeps_lines.then(|| {
            let start = self.lines.len();
            self.lines.extend_from_slice(line);
            Span::new(start, self.lines.len())
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
    pub(crate) fn tell(&mut self, sighting: &Sighting<'_>, teller: Source, newness: MergeRule) {
        let start = self.told.len();
        sighting.push_to(&mut self.told);
        let pending = Pending::new((start, self.told.len()), sighting.client_range(), sighting.time.moment());
        self.pending.push(Pending { told: Some((teller, newness)), ..pending });
    }

    /// The same for a line in its usual form, which is the one in which it is stored.
    #[inline(always)]
    pub(crate) fn push_canonical_at(
        &mut self,
        line: &[u8],
        usual: &CanonicalAt,
        teller: Source,
        newness: MergeRule,
    ) {
        let start = self.told.len();
        self.told.extend_from_slice(line);
        let pending = Pending::new((start, self.told.len()), usual.client, usual.moment);
        self.pending.push(Pending { told: Some((teller, newness)), ..pending });
    }

    /// Notes how far a neighbour has come with what it told before.
    pub(crate) fn tell_reached(&mut self, reached: Reached) {
        self.reached = Some(reached);
    }

    /// What holds when everything pending is merged.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// What waits to be merged, in order.
    pub(crate) fn pending(&self) -> impl Iterator<Item = Update<'_>> {
        self.pending.iter().map(|pending| {
            let (text, teller, newness) = match pending.told {
                None => (&self.replies, Source::CLIENT, MergeRule::LaterTime),
                Some((teller, newness)) => (&self.told, teller, newness),
            };
            let line = &text[pending.line.range()];
            let client = (pending.client.start as usize, pending.client.end as usize);
            Update { line, client, moment: pending.moment, teller, newness }
        })
    }

    /// Forgets what waited: it has been merged.
    pub(crate) fn settled(&mut self) {
        if self.keeps_promises {
            let reports = self.pending.iter().filter(|pending| pending.told.is_none());
            self.promises.extend(reports.map(|Pending { line, client, .. }| Promise {
                line: line.range(),
                client: client.start as usize,
            }));
        }
        self.pending.clear();
        self.told.clear();
        self.reached = None;
        self.lines.clear();
    }

    /// Makes error lines of all replies to reports since the last were sent: what was merged is not kept, for this
    /// reason. Returns how many.
    #[cold]
    pub fn break_promises(&mut self, why: &str) -> usize {
        let mut replies = Vec::with_capacity(self.replies.len());
        let mut copied = 0;
        for Promise { line: Range { start, end }, client } in &self.promises {
            replies.extend_from_slice(&self.replies[copied..*start]);
            replies.extend_from_slice(format!("? {why}: IAMAT ").as_bytes());
            replies.extend_from_slice(&self.replies[start + client..*end]);
            copied = *end;
        }
        replies.extend_from_slice(&self.replies[copied..]);
        self.replies = replies;
        let broken = self.promises.len();
        self.promises.clear();
        broken
    }

    /// Makes error lines of the replies to these pending reports, by their places in order.
    #[cold]
    pub(crate) fn take_back(&mut self, refused: &[usize]) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut replies = Vec::with_capacity(self.replies.len());
        let mut copied = 0;
        let mut refused = refused.iter().peekable();
        let mut index = 0;
        pending.retain_mut(|pending| {
            let is_refused = refused.next_if_eq(&&index).is_some();
            index += 1;
            let Range { start, end } = pending.line.range();
            if pending.told.is_some() {
                return true;
            }
            if !is_refused {
                replies.extend_from_slice(&self.replies[copied..start]);
                pending.line = Span::new(replies.len(), replies.len() + end - start);
                replies.extend_from_slice(&self.replies[start..end]);
                copied = end;
                return true;
            }
            replies.extend_from_slice(&self.replies[copied..start]);
            replies.extend_from_slice(b"? ");
            match pending.original {
                Some(original) => replies.extend_from_slice(&self.lines[original.range()]),
                None => {
                    replies.extend_from_slice(b"IAMAT ");
                    let fields = start + pending.client.start as usize..end - 1;
                    replies.extend_from_slice(&self.replies[fields]);
                }
            }
            replies.push(b'\n');
            copied = end;
            false
        });
        replies.extend_from_slice(&self.replies[copied..]);
        self.replies = replies;
        self.pending = pending;
    }
}
