//! Framings lent to the conversations that have something to frame.
//!
//! A framing brings its buffer. An event-driven server holds far fewer half lines than connections, so a
//! connection that is idle between lines gives its framing back: that saves 8 KiB for each, and the buffers
//! in use stay in the processor's cache.

use proxyherd::proto::line::framing::Framing;

use crate::shared::Port;

/// Spare framings kept of each kind. What is given back beyond it is freed.
const SPARE_MAX: usize = 64;

/// Spare framings of both kinds.
#[derive(Debug, Default)]
pub struct Framings {
    clients: Vec<Framing>,
    peers: Vec<Framing>,
}

impl Framings {
    /// None yet.
    pub const fn new() -> Framings {
        Framings { clients: Vec::new(), peers: Vec::new() }
    }

    /// A framing in which nothing is left over.
    pub fn take(&mut self, port: Port) -> Framing {
        self.of(port).pop().unwrap_or_else(|| port.framing())
    }

    /// Takes back a framing whose stream goes on, and which is not in the middle of a line.
    pub fn give_back(&mut self, port: Port, framing: Framing) {
        debug_assert!(!framing.is_mid_line(), "the next conversation would get the rest of this line");
        let spare = self.of(port);
        if spare.len() < SPARE_MAX {
            spare.push(framing);
        }
    }

    fn of(&mut self, port: Port) -> &mut Vec<Framing> {
        match port {
            Port::Client => &mut self.clients,
            Port::Peer => &mut self.peers,
        }
    }
}
