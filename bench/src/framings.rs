//! Framings lent to the conversations that have something to frame.
//!
//! A framing brings its buffer. An event-driven server holds far fewer half lines than connections, so a
//! connection that is idle between lines gives its framing back: that saves 8 KiB for each, and the buffers
//! in use stay in the processor's cache.

use proxyherd::member::conversation::Conversation;
use proxyherd::proto::line::framing::Framing;

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

    /// A framing for the next bytes of this conversation, in which nothing is left over.
    pub fn take(&mut self, conversation: &Conversation) -> Framing {
        if conversation.is_client() {
            self.clients.pop().unwrap_or_else(Framing::for_client)
        } else if conversation.is_peer() {
            self.peers.pop().unwrap_or_else(Framing::for_peer)
        } else {
            Framing::for_unauthenticated()
        }
    }

    /// Takes back a framing whose stream goes on, and which is not in the middle of a line. That of a conversation that
    /// has yet to authenticate is freed, because no other may get it.
    pub fn give_back(&mut self, conversation: &Conversation, framing: Framing) {
        debug_assert!(!framing.is_mid_line(), "the next conversation would get the rest of this line");
        let spare = if conversation.is_client() { &mut self.clients } else { &mut self.peers };
        if spare.len() < SPARE_MAX && (conversation.is_client() || conversation.is_peer()) {
            spare.push(framing);
        }
    }
}
