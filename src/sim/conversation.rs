//! The receiving side of a simulated server: what a connection's thread does with what it reads.

use std::sync::Arc;

use crate::proto::bug::Bug;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, LINE_BYTES_MAX, Line, PEER_LINE_BYTES_MAX};
use crate::proto::line::query::Query;
use crate::proto::model::sighting::at_line;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::auth::Nonce;
use crate::proto::session::{Session, Step};

/// Bytes read at once: as few as framing allows, for a herd of 200 has tens of thousands of conversations.
const READ_BYTES: usize = 1;

/// What a provider without places would answer.
const NO_PLACES: &str = r#"{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}"#;

/// A conversation with a client or a neighbour.
#[derive(Debug)]
pub(super) struct Conversation {
    me: Arc<Identity>,
    session: Session,
    /// Whether it is a client that talks.
    is_client: bool,
    framing: Framing,
    batch: Batch,
    /// Lines that a planted bug leaves for later.
    postponed: Vec<Vec<u8>>,
    /// What comes while it waits for a commit, if it does: it reads that when it goes on.
    pub unread: Option<Vec<u8>>,
}

/// What came of some bytes.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Replies, to be sent when all that was recorded is durable.
    pub replies: Vec<u8>,
    /// Sightings that were applied: every sender must be woken.
    pub news: usize,
    /// The neighbour that has come: its older connections end, and the sender to it must be woken.
    pub met: Option<usize>,
    /// Lines that were refused.
    pub refused: usize,
    /// Whether the connection must be closed.
    pub close: bool,
}

impl Heard {
    /// This, and what came after it.
    pub(super) fn and(mut self, after: Heard) -> Heard {
        self.replies.extend_from_slice(&after.replies);
        Heard {
            replies: self.replies,
            news: self.news + after.news,
            met: after.met.or(self.met),
            refused: self.refused + after.refused,
            close: self.close || after.close,
        }
    }
}

impl Conversation {
    pub(super) fn with_clients(me: &Arc<Identity>) -> Conversation {
        let framing = Framing::new(LINE_BYTES_MAX, READ_BYTES);
        let session = Session::client(me.clone());
        Conversation {
            me: me.clone(),
            session,
            is_client: true,
            framing,
            batch: Batch::default(),
            postponed: Vec::new(),
            unread: None,
        }
    }

    pub(super) fn with_peer(me: &Arc<Identity>, nonce: Nonce) -> Conversation {
        let mut framing = Framing::new(PEER_LINE_BYTES_MAX, READ_BYTES);
        if !me.has(Bug::CutLineBelieved) {
            framing = framing.whole_lines_only();
        }
        let session = Session::peer(me.clone(), nonce);
        Conversation {
            me: me.clone(),
            session,
            is_client: false,
            framing,
            batch: Batch::default(),
            postponed: Vec::new(),
            unread: None,
        }
    }

    /// Takes what was read at `received`, and appends what must become durable to the records, if there are any.
    pub(super) fn hear(
        &mut self,
        node: &mut Node,
        mut records: Option<&mut Vec<u8>>,
        mut bytes: &[u8],
        received: Moment,
    ) -> Heard {
        let mut heard = Heard::default();
        for line in std::mem::take(&mut self.postponed) {
            self.session.line(Line::Whole(&line), received, &mut self.batch);
        }
        while !bytes.is_empty() {
            let space = self.framing.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.framing.filled(count);
            bytes = &bytes[count..];
            self.lines(node, records.as_deref_mut(), received, &mut heard);
        }
        heard
    }

    /// Learns that nothing more will come.
    pub(super) fn end(&mut self, node: &mut Node, records: Option<&mut Vec<u8>>, received: Moment) -> Heard {
        let mut heard = Heard::default();
        self.framing.filled(0);
        self.lines(node, records, received, &mut heard);
        heard
    }

    fn lines(
        &mut self,
        node: &mut Node,
        mut records: Option<&mut Vec<u8>>,
        received: Moment,
        heard: &mut Heard,
    ) {
        let Conversation { me, session, framing, batch, postponed, .. } = self;
        let mut settle = |node: &mut Node, batch: &mut Batch| {
            node.apply(batch, records.as_deref_mut()).applied //
        };
        let replies_early = me.has(Bug::ReplyBeforeMerge) && self.is_client;
        if replies_early {
            heard.news += settle(node, batch);
            batch.sent();
        }
        while let Some(line) = framing.next_line() {
            let (Line::Whole(text) | Line::TooLong(text)) = line;
            if me.has(Bug::FirstArrivalWins) && is_tie(node, text) {
                continue;
            }
            if me.has(Bug::AckBeforeMerge) && session.is_peer() && text.starts_with(b"AT ") {
                postponed.push(text.to_vec());
                continue;
            }
            match session.line(line, received, batch) {
                Step::Next => {}
                Step::Refused(_) => heard.refused += 1,
                Step::Ask(ask) => {
                    heard.news += settle(node, batch);
                    match Query::of(node.store(), &ask) {
                        Some(search) => search.finish(NO_PLACES, batch.reply()),
                        None => batch.refuse(text),
                    }
                }
                Step::Authenticated(neighbour) => {
                    session.authenticate(node, batch);
                    heard.met = Some(neighbour);
                }
                Step::Heartbeat(beat) => {
                    heard.news += settle(node, batch);
                    session.heartbeat(node, &beat, true, batch);
                }
                Step::Close(_) => {
                    heard.refused += 1;
                    heard.close = true;
                    break;
                }
            }
            if me.has(Bug::OneLinePerRead) && session.is_peer() {
                break;
            }
        }
        heard.replies.extend_from_slice(batch.replies());
        if replies_early {
            return;
        }
        heard.news += settle(node, batch);
        batch.sent();
    }
}

/// Whether `line` tells of a client at exactly the time that is stored.
fn is_tie(node: &Node, line: &[u8]) -> bool {
    let Ok((told, _)) = at_line(line) else { return false };
    let stored = node.store().line_of(told.client.0.as_bytes());
    stored.and_then(|line| at_line(line).ok()).is_some_and(|(stored, _)| stored.time == told.time)
}
