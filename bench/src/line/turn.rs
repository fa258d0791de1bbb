//! A server without its sockets: what the threads of connections do between a read and a write.

use std::hint::black_box;
use std::sync::Arc;

use parking_lot::RwLock;
use proxyherd::net::listen::REPLIES_BYTES_MAX;
use proxyherd::proto::line::batch::Batch;
use proxyherd::proto::line::framing::{CLIENT_READ_BYTES, Framing, LINE_BYTES_MAX, Line};
use proxyherd::proto::model::epoch::Epoch;
use proxyherd::proto::model::name::ServerName;
use proxyherd::proto::model::time::Moment;
use proxyherd::proto::node::{Identity, Neighbour, Node};
use proxyherd::proto::peering::grammar::PEER_VERSION;
use proxyherd::proto::peering::noise::EphemeralKey;
use proxyherd::proto::session::{Session, Step};

use super::stream::{Pass, Speaker};
use crate::process::Failure;

/// The name of the server, which is in every reply.
pub const NAME: &str = "Alford";

/// The name of the neighbour that tells it of others.
pub const NEIGHBOUR: &str = "Hamilton";

/// A member of a herd, and one conversation with clients of it.
pub struct Server {
    node: RwLock<Node>,
    framing: Framing,
    session: Session,
    batch: Batch,
    filled: usize,
    news: u64,
    /// Lines that were no report.
    strange: u64,
    /// The bytes of all replies, and how many they should be.
    answered: usize,
    owed: usize,
}

impl Server {
    /// A server that knows no client, in conversation with this speaker. It has two neighbours, to which nothing is
    /// sent.
    ///
    /// # Errors
    /// If it has no name, or does not welcome its neighbour.
    pub fn new(speaker: Speaker) -> Result<Server, Failure> {
        let neighbours = [NEIGHBOUR, "Welsh"].map(ServerName::parse).into_iter();
        let neighbours = neighbours.map(|name| name.map(Neighbour::herd)).collect::<Result<_, _>>()?;
        let me = Arc::new(Identity::new(ServerName::parse(NAME)?, neighbours, Epoch(1)));
        let mut node = Node::new(Arc::clone(&me));
        let (session, framing) = match speaker {
            Speaker::Client => (Session::client(me), Framing::new(LINE_BYTES_MAX, CLIENT_READ_BYTES)),
            Speaker::Neighbour => (met(me, &mut node)?, Framing::for_peer()),
        };
        Ok(Server {
            node: RwLock::new(node),
            framing: framing.roomy(),
            session,
            batch: Batch::default(),
            filled: 0,
            news: 0,
            strange: 0,
            answered: 0,
            owed: 0,
        })
    }

    /// Takes all buffers of a pass, one `turn` for each. They are copied to where a read would put them.
    pub fn take(&mut self, pass: &Pass, received: Moment, turn: fn(&mut Server, Moment)) {
        for buffer in pass.buffers() {
            self.framing.space()[..buffer.len()].copy_from_slice(buffer);
            self.filled = buffer.len();
            turn(self, received);
            self.answered += self.batch.replies().len();
            self.batch.sent();
        }
        self.owed += pass.reply_bytes();
    }

    /// From the bytes in the buffer, which came at `received`, to the bytes of the replies.
    // Never inlined: callgrind can then tell it from what is around it, and there is one form of it.
    #[inline(never)]
    pub fn turn(&mut self, received: Moment) {
        self.framing.filled(self.filled);
        loop {
            self.session.canonical_lines(&mut self.framing, received, REPLIES_BYTES_MAX, &mut self.batch);
            let Some(line) = self.framing.next_line() else { break };
            match self.session.line(line, received, &mut self.batch) {
                Step::Next => {}
                Step::Refused(_)
                | Step::Ask(_)
                | Step::Secured
                | Step::Authenticated(_)
                | Step::Heartbeat(_)
                | Step::Close(_) => {
                    self.strange += 1;
                }
            }
        }
        let settled = self.node.write().apply(&mut self.batch, None);
        self.news += settled.applied as u64;
        black_box(self.batch.replies());
    }

    /// A turn that callgrind counts: [`super::instructions`] names this function to it.
    #[inline(never)]
    pub fn counted_turn(&mut self, received: Moment) {
        self.turn(received);
        // With nothing behind it the call would be a jump, and this function would have no end of its own.
        black_box(&self.news);
    }

    /// Checks that `lines` lines were all reports, all applied, and all answered.
    ///
    /// # Errors
    /// If not: then what was measured is something else.
    pub fn check(&self, lines: u64) -> Result<(), Failure> {
        let &Server { news, strange, answered, owed, .. } = self;
        if (news, strange, answered) == (lines, 0, owed) {
            return Ok(());
        }
        let replies = format!("the replies have {answered} bytes instead of {owed}");
        Err(format!("of {lines} lines {news} were news and {strange} no reports, {replies}").into())
    }
}

/// A conversation with a neighbour that has been welcomed.
fn met(me: Arc<Identity>, node: &mut Node) -> Result<Session, Failure> {
    let mut batch = Batch::default();
    let hello = format!("HELLO {PEER_VERSION} {NEIGHBOUR} {NAME} {:016x}", 2);
    let mut session = Session::peer(me, EphemeralKey([4; 32]));
    for line in [&hello, "READY"] {
        session.line(Line::Whole(line.as_bytes()), Moment::default(), &mut batch);
    }
    session.authenticate(node, &mut batch);
    if session.is_peer() { Ok(session) } else { Err("the neighbour is not welcomed".into()) }
}
