//! A neighbour that a scenario plays, by the same rules as a server.

use std::io::{Read, Write};

use super::model::TcpStream;
use crate::os::random;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::model::time::Moment;
use crate::proto::node::Node;
use crate::proto::session::{Session, Step};

pub(super) struct Neighbour {
    socket: TcpStream,
    framing: Framing,
    session: Session,
    batch: Batch,
    pub(super) node: Node,
    /// The clients that it was sent, as often as it was.
    pub(super) received: Vec<String>,
}

impl Neighbour {
    /// With what it remembers, at the other end of a link.
    pub(super) fn new(socket: TcpStream, node: Node) -> Neighbour {
        let session = Session::peer(node.identity().clone(), random::ephemeral_key().unwrap());
        let framing = Framing::for_unauthenticated();
        Neighbour { socket, framing, session, batch: Batch::default(), node, received: Vec::new() }
    }

    /// Listens until it has welcomed the other side.
    pub(super) fn welcome(&mut self) {
        assert!(self.listen_until(|neighbour| neighbour.session.is_peer()));
    }

    /// Ends the link. What is left is what it remembers.
    pub(super) fn hang_up(self) -> Node {
        self.node
    }

    /// Listens until the link ends.
    pub(super) fn listen(&mut self) {
        self.listen_until(|_| false);
    }

    /// Listens until it has enough, or the link ends; returns whether it has enough.
    pub(super) fn listen_until(&mut self, enough: impl Fn(&Neighbour) -> bool) -> bool {
        loop {
            if enough(self) {
                return true;
            }
            match (&self.socket).read(self.framing.space()) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.framing.filled(count),
            }
            self.lines();
        }
    }

    fn lines(&mut self) {
        while let Some(line) = self.framing.next_line() {
            if let Line::Whole(text) = line
                && text.starts_with(b"AT ")
            {
                let client = text.split(|&byte| byte == b' ').nth(3).unwrap();
                self.received.push(String::from_utf8(client.to_vec()).unwrap());
            }
            let now = Moment { seconds: 0, nanos: 0 };
            let step = self.session.line(line, now, &mut self.batch);
            let (is_authenticated, heartbeat) = match step {
                Step::Authenticated(_) => (true, None),
                Step::Heartbeat(heartbeat) => (false, Some(heartbeat)),
                Step::Next => (false, None),
                Step::Secured | Step::Refused(_) | Step::Ask(_) | Step::Close(_) => {
                    panic!("a link says {step:?}")
                }
            };
            if is_authenticated {
                self.framing.authenticated();
                self.session.authenticate(&mut self.node, &mut self.batch);
            }
            self.node.apply(&mut self.batch, None);
            if let Some(heartbeat) = heartbeat {
                self.session.heartbeat(&self.node, &heartbeat, true, &mut self.batch);
            }
        }
        // If it does not arrive, the link has ended.
        let _ = (&self.socket).write_all(self.batch.replies());
        self.batch.sent();
    }
}
