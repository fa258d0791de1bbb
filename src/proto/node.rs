//! What one member of the herd decides: what it is, whom it knows, what it remembers.
//!
//! Methods with `&self` need a read lock of whoever shares a node between threads, those with `&mut self`
//! the write lock. None of them waits for anything.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::bug::Bug;
use crate::proto::line::batch::{Batch, Reached};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;
use crate::proto::store::change_log::Flushed;
use crate::proto::store::update::Source;
use crate::proto::store::{Merged, Store};
use crate::proto::wal::record::Record;
use crate::proto::wal::recovery::Recovered;

/// The number of the last change that a crash could not undo, where it forgets everything, and numbers with it.
pub const NO_WAL: u64 = u64::MAX;

/// What of a member never changes while it runs, so that it is shared without a lock.
#[derive(Debug)]
pub struct Identity {
    /// Its own name.
    pub name: ServerName,
    /// The members it has links to; elsewhere a neighbour is its index in this list.
    pub neighbours: Vec<Neighbour>,
    /// This life of its memory.
    pub epoch: Epoch,
    /// What all members prove to each other; `None` where everybody who gets through is believed.
    pub secret: Option<Secret>,
    /// Whether a neighbour is told what it missed. If not, a new connection starts at the present.
    pub catch_up: bool,
    /// How far a client's clock may be ahead of ours; `None` if any time is taken. A report from a far future would
    /// freeze its client there: no later one is news. What neighbours tell is always taken, or servers whose clocks
    /// or limits differ could not agree.
    pub clock_lead_max: Option<Duration>,
    /// A mistake for the simulator to find.
    #[cfg(test)]
    pub(crate) bug: Option<Bug>,
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
    Classic,
}

/// One member of the herd.
#[derive(Debug)]
pub struct Node {
    me: Arc<Identity>,
    store: Store,
    /// By neighbour: what has been merged of what it told.
    heard: Vec<ReceivedUpTo>,
}

/// How far a neighbour has told us things, in one life of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReceivedUpTo {
    epoch: Epoch,
    position: u64,
}

/// What became of a settled batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
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
    /// A member that takes any time, tells what was missed, and asks for no proof.
    pub fn new(name: ServerName, neighbours: Vec<Neighbour>, epoch: Epoch) -> Identity {
        Identity {
            name,
            neighbours,
            epoch,
            secret: None,
            catch_up: true,
            clock_lead_max: None,
            #[cfg(test)]
            bug: None,
        }
    }

    /// As whom a neighbour with the memory of this epoch tells us things.
    pub(crate) fn teller(&self, neighbour: usize, epoch: Epoch) -> Source {
        Source::neighbour(neighbour, if self.has(Bug::TellerForLife) { Epoch::CLASSIC } else { epoch })
    }

    /// Whether a test has planted this mistake.
    #[cfg(test)]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Nobody plants mistakes outside of tests.
    #[cfg(not(test))]
    pub(crate) const fn has(&self, _: Bug) -> bool {
        false
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
    /// A member that knows nothing yet.
    pub fn new(me: Arc<Identity>) -> Node {
        let heard = vec![ReceivedUpTo { epoch: me.epoch, position: 0 }; me.neighbours.len()];
        Node { me, store: Store::new(), heard }
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
    pub fn settle(&mut self, batch: &mut Batch) -> Applied {
        self.settle_recorded(batch, None)
    }

    /// The same, and appends what is to be kept to the records. Its replies may be sent when these are.
    pub fn settle_recorded(&mut self, batch: &mut Batch, mut records: Option<&mut Vec<u8>>) -> Applied {
        let mut settled = Applied::default();
        let mut refused = Vec::new();
        if self.me.has(Bug::PositionRecordedFirst) {
            self.record_reached(batch, &mut records);
        }
        for entry in batch.pending() {
            match self.store.merge(&entry) {
                Merged::News => {
                    settled.news += 1;
                    if let Some(records) = &mut records {
                        Record::Sighting(self.store.last_seq(), entry.line).push_to(records);
                    }
                }
                Merged::Stale => settled.stale += 1,
                Merged::Refused => refused.push(settled.news + settled.stale + refused.len()),
            }
        }
        if let Some(reached) = batch.reached() {
            if !self.me.has(Bug::PositionRecordedFirst) {
                self.record_reached(batch, &mut records);
            }
            self.reached(reached);
        }
        if !refused.is_empty() {
            batch.take_back(&refused);
        }
        batch.settled();
        Applied { refused: refused.len(), crowded: self.store.is_crowded(), ..settled }
    }

    /// So much would be left by a crash now. Where nothing is said, it takes everything.
    pub fn keep(&mut self, kept: Flushed) {
        self.store.keep(kept);
    }

    /// What is remembered, with a memory of before if a journal has kept it.
    pub fn remembering(me: Arc<Identity>, memory: Recovered) -> Node {
        let mut node = Node::new(me);
        for (name, epoch, position) in memory.heard {
            if let Some(neighbour) = node.me.neighbour(&name) {
                node.heard[neighbour] = ReceivedUpTo { epoch, position };
            }
        }
        Node { store: memory.store, ..node }
    }

    /// Appends records of how far the neighbours have told us things.
    pub fn record_heard(&self, records: &mut Vec<u8>) {
        for (heard, neighbour) in self.heard.iter().zip(&self.me.neighbours) {
            if heard.position > 0 {
                Record::ReceivedUpTo(neighbour.name.as_str(), heard.epoch, heard.position).push_to(records);
            }
        }
    }

    /// Changes what is known without telling anybody, as a fault would.
    #[cfg(test)]
    pub(crate) fn plant(&mut self, line: &[u8]) {
        self.store.plant(line);
    }

    /// The position up to which we have merged what the neighbour told us in this epoch.
    pub fn heard(&self, neighbour: usize, epoch: Epoch) -> u64 {
        let heard = self.heard[neighbour];
        if heard.epoch == epoch { heard.position } else { 0 }
    }

    /// A neighbour has come, with the memory of this epoch. What its former life told us counts no more.
    pub(crate) fn meet(&mut self, neighbour: usize, epoch: Epoch) {
        let heard = &mut self.heard[neighbour];
        if heard.epoch != epoch {
            let position = if self.me.has(Bug::EpochIgnored) { heard.position } else { 0 };
            *heard = ReceivedUpTo { epoch, position };
        }
    }

    /// Where it comes to more than was known: beats of a herd at rest are not worth a record.
    fn record_reached(&self, batch: &Batch, records: &mut Option<&mut Vec<u8>>) {
        let (Some(records), Some(reached)) = (records, batch.reached()) else { return };
        let heard = self.heard[reached.neighbour];
        if heard.epoch == reached.epoch && heard.position < reached.position {
            let name = self.me.neighbours[reached.neighbour].name.as_str();
            Record::ReceivedUpTo(name, reached.epoch, reached.position).push_to(records);
        }
    }

    /// A late line of a connection that was replaced, of a former life, moves nothing.
    fn reached(&mut self, reached: Reached) {
        let heard = &mut self.heard[reached.neighbour];
        if heard.epoch == reached.epoch {
            heard.position = heard.position.max(reached.position);
        }
    }
}
