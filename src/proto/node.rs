//! What one member of the herd decides: its identity, its neighbours, its store.
//!
//! Threads that share a node need a read lock for the methods with `&self` and the write lock for those with
//! `&mut self`. No method waits for anything.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::{Reached, Source, Updates};
use crate::proto::store::{Merged, Store};
use crate::proto::wal::record::Record;
use crate::proto::wal::recovery::Recovered;

/// The durable watermark of a member without a journal: a crash loses everything, and the sequence numbers with it, so
/// that no change can come back.
pub const NO_WAL: u64 = u64::MAX;

/// The part of a member that never changes while it runs, so that it is shared without a lock.
#[derive(Debug)]
pub struct Identity {
    /// Its own name.
    pub name: ServerName,
    /// The members it has links to; elsewhere a neighbour is its index in this list.
    pub neighbours: Vec<Neighbour>,
    /// This life of its memory.
    pub epoch: Epoch,
    /// The secret that all members prove to each other; `None` where every server that gets through is believed.
    pub secret: Option<Secret>,
    /// Whether a neighbour is sent what it missed. If not, a new connection starts at the present.
    pub catch_up: bool,
    /// How far a client's clock may be ahead of ours; `None` if any time is taken. A report from a far future would
    /// freeze its client there: every later one would be outdated. Neighbours' lines are always taken, or servers whose
    /// clocks or limits differ could not agree.
    pub clock_lead_max: Option<Duration>,
}

/// A member that this one has a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: ServerName,
    /// How it is spoken to.
    pub dialect: Dialect,
}

/// How two servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As `PROTOCOL.md` says, on the peer port.
    Herd,
    /// As implementations of the original protocol do: bare `AT` lines to the client port, and never an answer.
    Legacy,
}

/// One member of the herd.
#[derive(Debug)]
pub struct Node {
    me: Arc<Identity>,
    store: Store,
    /// By neighbour: how far its changes have been merged.
    received: Vec<ReceivedUpTo>,
}

/// How far the changes of a neighbour have been merged, in one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReceivedUpTo {
    epoch: Epoch,
    up_to: u64,
}

/// What became of some updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many were stored, and are to be passed on.
    pub applied: usize,
    /// How many were known, or less than what is stored.
    pub outdated: usize,
    /// How many were not stored because no more clients may register themselves.
    pub rejected: usize,
    /// Whether more may be rejected soon: see [`Store::is_near_capacity`].
    pub near_capacity: bool,
}

impl Identity {
    /// A member that takes any time, sends what was missed, and asks for no proof.
    pub fn new(name: ServerName, neighbours: Vec<Neighbour>, epoch: Epoch) -> Identity {
        Identity { name, neighbours, epoch, secret: None, catch_up: true, clock_lead_max: None }
    }

    /// The source of what is learned from a neighbour with the memory of this epoch.
    pub(crate) fn source(&self, neighbour: usize, epoch: Epoch) -> Source {
        Source::neighbour(neighbour, epoch)
    }

    /// The index of the neighbour with this name, if it speaks our dialect.
    pub fn neighbour(&self, name: &ServerName) -> Option<usize> {
        let is_it = |neighbour: &Neighbour| neighbour.name == *name && neighbour.dialect == Dialect::Herd;
        self.neighbours.iter().position(is_it)
    }
}

impl Neighbour {
    /// One that speaks our dialect.
    pub fn herd(name: ServerName) -> Neighbour {
        Neighbour { name, dialect: Dialect::Herd }
    }
}

impl Node {
    /// A member with an empty store.
    pub fn new(me: Arc<Identity>) -> Node {
        let received = vec![ReceivedUpTo { epoch: me.epoch, up_to: 0 }; me.neighbours.len()];
        Node { me, store: Store::new(), received }
    }

    /// A member with what its journal has kept of a former run.
    pub fn from_recovered(me: Arc<Identity>, recovered: Recovered) -> Node {
        let mut node = Node::new(me);
        for (name, epoch, up_to) in recovered.received {
            if let Some(neighbour) = node.me.neighbour(&name) {
                node.received[neighbour] = ReceivedUpTo { epoch, up_to };
            }
        }
        Node { store: recovered.store, ..node }
    }

    /// Caps the clients that may register themselves. Replicated clients are never capped.
    #[must_use]
    pub fn bounded(self, clients_max: usize) -> Node {
        Node { store: self.store.bounded(clients_max), ..self }
    }

    /// The part of this member that never changes.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.me
    }

    /// The store of this member.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Merges these updates, in order, and appends what must become durable to the records, if there are any. The
    /// sender of the updates may be answered when the records are durable, or, without records, after this.
    // Never inlined: among what is around it, its loop would be short of registers.
    #[inline(never)]
    pub fn apply<U: Updates + ?Sized>(
        &mut self,
        updates: &mut U,
        mut records: Option<&mut Vec<u8>>,
    ) -> Applied {
        let (mut applied, mut rejected) = (0, 0);
        let mut index = 0;
        while let Some(update) = updates.get(index) {
            match self.store.merge(&update) {
                Merged::Applied => {
                    applied += 1;
                    if let Some(records) = &mut records {
                        Record::Sighting(self.store.last_seq(), update.line).push_to(records);
                    }
                }
                Merged::Outdated => {}
                Merged::Rejected(why) => {
                    rejected += 1;
                    updates.reject(index, why);
                }
            }
            index += 1;
        }
        if let Some(reached) = updates.reached() {
            self.record_reached(reached, &mut records);
            self.receive_up_to(reached);
        }
        updates.applied();
        let outdated = index - applied - rejected;
        Applied { applied, outdated, rejected, near_capacity: self.store.is_near_capacity() }
    }

    /// Sets the durable watermark: what a crash now would leave. Until first called, a crash loses everything.
    pub fn set_flushed(&mut self, flushed: Flushed) {
        self.store.set_flushed(flushed);
    }

    /// Appends records of how far the changes of all neighbours have been merged.
    pub fn record_received(&self, records: &mut Vec<u8>) {
        for (received, neighbour) in self.received.iter().zip(&self.me.neighbours) {
            if received.up_to > 0 {
                let name = neighbour.name.as_str();
                Record::ReceivedUpTo(name, received.epoch, received.up_to).push_to(records);
            }
        }
    }

    /// The sequence number up to which the changes of a neighbour in this epoch have been merged.
    pub fn received_up_to(&self, neighbour: usize, epoch: Epoch) -> u64 {
        let received = self.received[neighbour];
        if received.epoch == epoch { received.up_to } else { 0 }
    }

    /// Learns that a neighbour has come with the memory of this epoch. What its former life sent counts no more.
    pub(crate) fn begin_epoch(&mut self, neighbour: usize, epoch: Epoch) {
        let received = &mut self.received[neighbour];
        if received.epoch != epoch {
            *received = ReceivedUpTo { epoch, up_to: 0 };
        }
    }

    /// Changes what is stored without a change in the log, as a fault would.
    #[cfg(test)]
    pub(crate) fn plant(&mut self, line: &[u8]) {
        self.store.plant(line);
    }

    /// Records it where it comes to more than was merged: heartbeats of a herd at rest are not worth a record.
    fn record_reached(&self, reached: Reached, records: &mut Option<&mut Vec<u8>>) {
        let Some(records) = records else { return };
        let received = self.received[reached.neighbour];
        if received.epoch == reached.epoch && received.up_to < reached.up_to {
            let name = self.me.neighbours[reached.neighbour].name.as_str();
            Record::ReceivedUpTo(name, reached.epoch, reached.up_to).push_to(records);
        }
    }

    /// A late line of a replaced connection, which belongs to a former life, moves nothing.
    fn receive_up_to(&mut self, reached: Reached) {
        let received = &mut self.received[reached.neighbour];
        if received.epoch == reached.epoch {
            received.up_to = received.up_to.max(reached.up_to);
        }
    }
}
