//! The receiving side of a simulated server: what a connection's thread does with what it reads.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, LINE_BYTES_MAX, Line, PEER_LINE_BYTES_MAX};
use crate::proto::line::query::Query;
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
    session: Session,
    framing: Framing,
    batch: Batch,
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
        Conversation::new(Session::client(me.clone()), Framing::new(LINE_BYTES_MAX, READ_BYTES))
    }

    pub(super) fn with_peer(me: &Arc<Identity>, nonce: Nonce) -> Conversation {
        let framing = Framing::new(PEER_LINE_BYTES_MAX, READ_BYTES).whole_lines_only();
        Conversation::new(Session::peer(me.clone(), nonce), framing)
    }

    fn new(session: Session, framing: Framing) -> Conversation {
        Conversation { session, framing, batch: Batch::default(), unread: None }
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
        let Conversation { session, framing, batch, .. } = self;
        let mut settle = |node: &mut Node, batch: &mut Batch| {
            node.apply(batch, records.as_deref_mut()).applied //
        };
        while let Some(line) = framing.next_line() {
            let (Line::Whole(text) | Line::TooLong(text)) = line;
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
        }
        heard.replies.extend_from_slice(batch.replies());
        heard.news += settle(node, batch);
        batch.sent();
    }
}
