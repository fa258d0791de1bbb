//! The receiving side of a simulated server: what a connection's thread does with what it reads.

use std::sync::Arc;

use super::bug::{self, Bug};
use crate::proto::batch::Batch;
use crate::proto::framing::{Framing, LINE_BYTES_MAX, Line, PEER_LINE_BYTES_MAX};
use crate::proto::node::{Identity, Node};
use crate::proto::session::{Session, Step};
use crate::proto::time::Moment;

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
    bug: Option<Bug>,
}

/// What came of some bytes.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Replies, to be sent.
    pub replies: Vec<u8>,
    /// Sightings that were news: every sender must be woken.
    pub news: usize,
    /// The neighbour that has said hello: the sender to it must be woken.
    pub met: Option<usize>,
    /// Lines that were refused.
    pub refused: usize,
    /// Whether the connection must be closed.
    pub close: bool,
}

impl Conversation {
    pub(super) fn with_clients(me: &Arc<Identity>) -> Conversation {
        let framing = Framing::new(LINE_BYTES_MAX, READ_BYTES);
        Conversation { session: Session::client(me.clone()), framing, batch: Batch::default(), bug: None }
    }

    pub(super) fn with_peer(me: &Arc<Identity>, bug: Option<Bug>) -> Conversation {
        let mut framing = Framing::new(PEER_LINE_BYTES_MAX, READ_BYTES);
        if bug != Some(Bug::CutLineBelieved) {
            framing = framing.whole_lines_only();
        }
        Conversation { session: Session::peer(me.clone()), framing, batch: Batch::default(), bug }
    }

    /// Takes what was read at `received`.
    pub(super) fn hear(&mut self, node: &mut Node, mut bytes: &[u8], received: Moment) -> Heard {
        let mut heard = Heard::default();
        while !bytes.is_empty() {
            let space = self.framing.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.framing.filled(count);
            bytes = &bytes[count..];
            self.lines(node, received, &mut heard);
        }
        heard
    }

    /// Learns that nothing more will come.
    pub(super) fn end(&mut self, node: &mut Node, received: Moment) -> Heard {
        let mut heard = Heard::default();
        self.framing.filled(0);
        self.lines(node, received, &mut heard);
        heard
    }

    fn lines(&mut self, node: &mut Node, received: Moment, heard: &mut Heard) {
        let Conversation { session, framing, batch, bug } = self;
        while let Some(line) = framing.next_line() {
            let (Line::Whole(text) | Line::TooLong(text)) = line;
            if *bug == Some(Bug::FirstArrivalWins) && bug::is_tie(node, text) {
                continue;
            }
            match session.line(line, received, batch) {
                Step::Next => {}
                Step::Refused(_) => heard.refused += 1,
                Step::Ask(ask) => {
                    heard.news += node.settle(batch).news;
                    match node.search(&ask) {
                        Some(search) => search.finish(NO_PLACES, batch.reply()),
                        None => batch.refuse(text),
                    }
                }
                Step::Meet(neighbour, epoch) => {
                    session.meet(node, neighbour, epoch, batch);
                    heard.met = Some(neighbour);
                }
                Step::Close(_) => {
                    heard.refused += 1;
                    heard.close = true;
                    break;
                }
            }
            if *bug == Some(Bug::OneLinePerRead) {
                break;
            }
        }
        heard.news += node.settle(batch).news;
        heard.replies.extend_from_slice(batch.replies());
        batch.sent();
    }
}
