//! What one member of the herd decides: what it is, whom it knows, what it remembers.
//!
//! Methods with `&self` need a read lock of whoever shares a node between threads, those with `&mut self`
//! the write lock. None of them waits for anything.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::command::{Epoch, WhatsAt};
use super::link::{Due, Link};
use super::name::ServerName;
use super::search::Search;
use super::store::{Merged, Store, Teller};

/// What of a member never changes while it runs, so that it is shared without a lock.
#[derive(Debug)]
pub struct Identity {
    /// Its own name.
    pub name: ServerName,
    /// The members it has links to; elsewhere a neighbour is its index in this list.
    pub neighbours: Vec<ServerName>,
    /// This life of its memory.
    pub epoch: Epoch,
    /// Whether a neighbour is told what it missed. If not, a new connection starts at the present.
    pub catch_up: bool,
    /// How far a client's clock may be ahead of ours; `None` if any time is taken. A report from a far future would
    /// freeze its client there: no later one is news. What neighbours tell is always taken, or servers whose clocks
    /// or limits differ could not agree.
    pub clock_lead_max: Option<Duration>,
}

/// One member of the herd.
#[derive(Debug)]
pub struct Node {
    me: Arc<Identity>,
    store: Store,
}

/// What became of a settled batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Sightings that were news: stored, and to be passed on.
    pub news: usize,
    /// Sightings that were known or overtaken.
    pub stale: usize,
    /// Reports of clients that are new where no more are taken. Their replies have become error lines.
    pub refused: usize,
    /// Whether more may be refused soon: see [`Batch::keep_lines`].
    pub crowded: bool,
}

impl Identity {
    /// The index of the neighbour with this name.
    pub fn neighbour(&self, name: &ServerName) -> Option<usize> {
        self.neighbours.iter().position(|neighbour| neighbour == name)
    }
}

impl Node {
    /// A member that knows nothing yet.
    pub fn new(me: Arc<Identity>) -> Node {
        Node { me, store: Store::new() }
    }

    /// The same, where so many clients may bring themselves in. What neighbours tell is always kept.
    #[must_use]
    pub fn bounded(self, clients_max: usize) -> Node {
        Node { store: self.store.bounded(clients_max), ..self }
    }

    /// What never changes of this member.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.me
    }

    /// What this member remembers.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Merges all that is pending in the batch, in order. Its replies may be sent after this.
    pub fn settle(&mut self, batch: &mut Batch) -> Settled {
        let mut settled = Settled::default();
        let mut refused = Vec::new();
        for (index, entry) in batch.pending().enumerate() {
            match self.store.merge(&entry) {
                Merged::News => settled.news += 1,
                Merged::Stale => settled.stale += 1,
                Merged::Refused => refused.push(index),
            }
        }
        if !refused.is_empty() {
            batch.take_back(&refused);
        }
        batch.settled();
        Settled { refused: refused.len(), crowded: self.store.is_crowded(), ..settled }
    }

    /// The answer to a question so far as this member knows it; `None` for a client nobody has seen.
    pub fn search(&self, ask: &WhatsAt<'_>) -> Option<Search> {
        Search::new(self.store.line_of(ask.client.0.as_bytes())?, ask)
    }

    /// As whom a neighbour with this epoch tells us things. One that comes with another epoch has forgotten
    /// everything, so what its former life told us counts as not told by it.
    pub fn meet(&mut self, neighbour: usize, epoch: Epoch) -> Teller {
        Teller::neighbour(neighbour, epoch)
    }

    /// Where the walk of a new connection begins.
    pub fn start_position(&self) -> u64 {
        if self.me.catch_up { 0 } else { self.store.last_number() }
    }

    /// Appends the next lines that the link owes its neighbour, and says how far they reach; `None` when it
    /// owes nothing, or is not up.
    pub fn due(&self, link: &Link, out: &mut Vec<u8>) -> Option<Due> {
        let (teller, position) = link.progress()?;
        if position >= self.store.last_number() {
            return None;
        }
        Some(Due { reached: self.store.walk(position, teller, out) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_former_life_says_late_does_not_make_a_stranger_of_the_present_one() {
        let name = |text| ServerName::parse(text).unwrap();
        let me = Identity {
            name: name("Alford"),
            neighbours: vec![name("Parker")],
            epoch: Epoch(1),
            catch_up: true,
            clock_lead_max: None,
        };
        let mut node = Node::new(Arc::new(me));
        let (former, present) = (Epoch(2), Epoch(3));
        // Its hello overtakes the welcome of the server that it was.
        let conversation = node.meet(0, present);
        let late = node.meet(0, former);
        let link = node.meet(0, present);
        assert_ne!(late, conversation);
        assert_eq!(link, conversation, "the link would send back what the conversation is told");
    }
}
