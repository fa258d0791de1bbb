//! What one member of the herd decides: its identity, its neighbours, its store.
//!
//! Threads that share a node need a read lock for the methods with `&self` and the write lock for those with
//! `&mut self`. No method waits for anything.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;
pub use crate::proto::neighbours::{Dialect, Neighbour, Neighbours};
use crate::proto::store::bounds::Bounds;
use crate::proto::store::change_log::Flushed;
use crate::proto::store::terms::{MemoryBounds, Terms};
use crate::proto::store::update::{Reached, Reject, Source, Updates};
use crate::proto::store::{Merged, PLACES_MAX, Place, Store};
use crate::proto::tree::{Tree, Verdict};
use crate::proto::wal::record::Record;
use crate::proto::wal::recovery::Recovered;

/// The durable watermark of a member without a journal: a crash loses everything, and the sequence numbers with it, so
/// that no change can come back.
pub const NO_WAL: u64 = u64::MAX;

/// The most bytes of the name of a client that registers itself, if nothing else is asked for: no name of a phone or a
/// topic of a broker was seen with half of them, and each byte takes memory on every server.
pub const CLIENT_NAME_BYTES_MAX: usize = 1_024;

/// The part of a member that never changes while it runs, but for links that come and go, so that it is shared without
/// a lock.
#[derive(Debug)]
pub struct Identity {
    /// Its own name.
    pub name: ServerName,
    /// The members it has links to; elsewhere a neighbour is its index in this list.
    pub neighbours: Neighbours,
    /// This life of its memory.
    pub epoch: Epoch,
    /// The secrets of the herd: the first is used, and all are accepted. With none, every server that gets through is
    /// believed.
    pub secrets: Vec<Secret>,
    /// Whether a neighbour is sent what it missed. If not, a new connection starts at the present.
    pub catch_up: bool,
    /// Whether updates take a tree through the herd, if neighbours do so too. If not, every link carries every line.
    pub has_tree: bool,
    /// How far a client's clock may be ahead of ours; `None` if any time is taken. A report from a far future would
    /// freeze its client there: every later one would be outdated. Neighbours' lines are always taken, or servers whose
    /// clocks or limits differ could not agree.
    pub clock_lead_max: Option<Duration>,
    /// The most bytes that the name of a client which registers itself may have.
    pub client_name_bytes_max: usize,
    /// After so long without a report a client is dropped; `None` if it never is.
    pub expire_after: Option<Duration>,
    /// Whether error lines to clients say why.
    pub explains: bool,
}

/// One member of the herd.
#[derive(Debug)]
pub struct Node {
    me: Arc<Identity>,
    store: Store,
    /// By neighbour: how far its changes have been merged.
    received: Vec<ReceivedUpTo>,
    /// Whether that is recorded with the changes that it covers.
    records_positions: bool,
    memory: MemoryBounds,
    tree: Tree,
    /// Of the batch that is being merged; kept for the next, so that it costs no allocation.
    places: Vec<Place>,
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
    /// Why, the last of them.
    pub rejected_why: Option<Reject>,
    /// Whether more may be rejected soon: see [`Store::is_near_capacity`].
    pub near_capacity: bool,
    /// Whether the neighbour that has sent them must be told to prune its link.
    pub prunes: bool,
    /// What it is told of what it has offered.
    pub verdict: Option<Verdict>,
}

impl Identity {
    /// A member that takes any time, sends what was missed, and has no secret.
    pub fn new(name: ServerName, neighbours: Vec<Neighbour>, epoch: Epoch) -> Identity {
        Identity {
            name,
            neighbours: neighbours.into(),
            epoch,
            secrets: Vec::new(),
            catch_up: true,
            has_tree: true,
            clock_lead_max: None,
            client_name_bytes_max: CLIENT_NAME_BYTES_MAX,
            expire_after: None,
            explains: false,
        }
    }

    /// The source of what is learned from a neighbour with the memory of this epoch.
    pub(crate) fn source(&self, neighbour: usize, epoch: Epoch) -> Source {
        Source::neighbour(neighbour, epoch)
    }

    /// The index of the neighbour with this name, if there is a link to it and it speaks our dialect.
    pub fn neighbour(&self, name: &ServerName) -> Option<usize> {
        let is_it = |neighbour: &Neighbour| neighbour.name == *name && neighbour.dialect == Dialect::Herd;
        self.neighbours.linked().find(|(_, neighbour)| is_it(neighbour)).map(|(index, _)| index)
    }
}

impl Node {
    /// A member with an empty store.
    pub fn new(me: Arc<Identity>) -> Node {
        let received = vec![ReceivedUpTo { epoch: me.epoch, up_to: 0 }; me.neighbours.len()];
        let bounds = Bounds { clock_lead_max: me.clock_lead_max, ..Bounds::default() };
        let memory = MemoryBounds::new(bounds.memory_bytes_max, me.neighbours.len());
        let tree = Tree::new(me.neighbours.len(), me.epoch.0);
        let store = Store::new().bounded(bounds);
        Node { me, store, received, records_positions: true, memory, tree, places: Vec::new() }
    }

    /// A member with what its journal has kept of a former run.
    pub fn from_recovered(me: Arc<Identity>, recovered: Recovered) -> Node {
        let mut node = Node::new(me);
        for (name, epoch, up_to) in recovered.received {
            if let Some(neighbour) = node.me.neighbour(&name) {
                node.received[neighbour] = ReceivedUpTo { epoch, up_to };
            }
        }
        let bounds = Bounds { clock_lead_max: node.me.clock_lead_max, ..Bounds::default() };
        Node { store: recovered.store.bounded(bounds), ..node }
    }

    /// Sets whether records say how far a neighbour's changes have been merged, in the order of the merges. Where
    /// records reach the disk in another order, a driver records it by itself ([`Node::record_received`]).
    #[must_use]
    pub fn with_positions_recorded(self, records_positions: bool) -> Node {
        Node { records_positions, ..self }
    }

    /// Bounds the clients that may register themselves, in number and in bytes of memory. Replicated clients are never
    /// refused.
    #[must_use]
    pub fn bounded(self, clients_max: usize, memory_bytes_max: u64) -> Node {
        let bounds = Bounds { clients_max, memory_bytes_max, ..self.store.bounds };
        let memory = MemoryBounds::new(memory_bytes_max, self.me.neighbours.len());
        Node { store: self.store.bounded(bounds), memory, ..self }
    }

    /// Reckons with an index beside the store that takes so many bytes for each client.
    #[must_use]
    pub fn with_index(self, bytes_per_client: usize) -> Node {
        let bounds = Bounds { index_bytes_per_client: bytes_per_client, ..self.store.bounds };
        Node { store: self.store.bounded(bounds), ..self }
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
        let (mut applied, mut rejected, mut rejected_why) = (0, 0, None);
        let mut prunes = false;
        let mut places = std::mem::take(&mut self.places);
        let mut index = 0;
        while let Some(update) = updates.get(index) {
            if index.is_multiple_of(PLACES_MAX) {
                self.store.look_ahead(updates, index, &mut places);
            }
            match self.store.merge_at(places.pop(), &update) {
                Merged::Applied => {
                    applied += 1;
                    self.tree.merged(update.meta.source, self.store.newest_hash());
                    if let Some(records) = &mut records {
                        Record::Sighting(self.store.last_seq(), update.line).push_to(records);
                    }
                }
                Merged::AppliedInEra => {
                    applied += 1;
                    self.tree.merged(update.meta.source, self.store.newest_hash());
                    if let (Some(records), Some(line)) = (&mut records, self.store.newest_line()) {
                        Record::Sighting(self.store.last_seq(), line).push_to(records);
                    }
                }
                Merged::Outdated => prunes |= self.tree.outdated(&update),
                Merged::Rejected(why) => {
                    rejected += 1;
                    rejected_why = Some(why);
                    updates.reject(index, why);
                }
            }
            index += 1;
        }
        self.places = places;
        if let Some(reached) = updates.reached() {
            self.record_reached(reached, &mut records);
            self.receive_up_to(reached);
            if let Some(terms) = reached.terms {
                self.hear_terms(reached.neighbour, terms);
                let may_prune = reached.may_prune && self.me.catch_up && self.me.has_tree;
                self.tree.heartbeat(reached.neighbour, may_prune);
            }
        }
        let verdict = updates.offered().map(|offered| self.tree.offered(offered));
        updates.applied();
        let outdated = index - applied - rejected;
        let near_capacity = self.store.is_near_capacity();
        Applied { applied, outdated, rejected, rejected_why, near_capacity, prunes, verdict }
    }

    /// Sets the durable watermark: what a crash now would leave. Until first called, a crash loses everything.
    pub fn set_flushed(&mut self, flushed: Flushed) {
        self.store.set_flushed(flushed);
    }

    /// Appends records of how far the changes of all neighbours have been merged.
    pub fn record_received(&self, records: &mut Vec<u8>) {
        for (received, neighbour) in self.received.iter().zip(self.me.neighbours.iter()) {
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

    /// Which links carry lines.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Learns that a neighbour has come with the memory of this epoch. What its former life sent counts no more.
    pub(crate) fn begin_epoch(&mut self, neighbour: usize, epoch: Epoch) {
        self.tree.begin(neighbour);
        let received = &mut self.received[neighbour];
        if received.epoch != epoch {
            *received = ReceivedUpTo { epoch, up_to: 0 };
        }
    }

    /// What is told to a neighbour in a heartbeat beside positions.
    pub fn terms_for(&self, neighbour: usize) -> Terms {
        Terms { cutoff_s: self.store.expiry.cutoff_s(), memory: self.memory.told_to(neighbour) }
    }

    /// The least memory that any server of the herd has for clients, as far as is known here.
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory.least()
    }

    /// Learns that it is `now_s` seconds since 1970, and drops what has expired of a few records. Returns how many were
    /// dropped, and whether this is to be called again at once.
    pub fn expire(&mut self, now_s: u64) -> (usize, bool) {
        let Some(expire_after) = self.me.expire_after else { return (0, false) };
        self.store.expiry.set_clock(now_s, expire_after);
        self.store.sweep()
    }

    /// Makes room for one more neighbour, which is about to get the next index.
    pub fn add_neighbour(&mut self) {
        self.received.push(ReceivedUpTo { epoch: self.me.epoch, up_to: 0 });
        self.memory.add_neighbour();
        self.tree.add_neighbour();
    }

    /// A neighbour is one no longer: its bounds are not ours any more. What of its changes has been merged stays known,
    /// because it may be one again.
    pub fn forget_terms(&mut self, neighbour: usize) {
        self.memory.forget(neighbour);
        self.store.bounds.memory_bytes_max = self.memory.least();
    }

    fn hear_terms(&mut self, neighbour: usize, terms: Terms) {
        self.store.expiry.adopt(terms.cutoff_s);
        self.memory.hear(neighbour, terms.memory);
        self.store.bounds.memory_bytes_max = self.memory.least();
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
        let is_further = received.epoch == reached.epoch && received.up_to < reached.up_to;
        if is_further && self.records_positions {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::LOOK_AHEAD_CLIENTS_MIN;
    use crate::proto::store::digest::record_hash;
    use crate::proto::store::update::{Update, trimmed};

    struct Lines<'a>(Vec<Update<'a>>);

    impl Updates for Lines<'_> {
        fn get(&self, i: usize) -> Option<Update<'_>> {
            self.0.get(i).copied()
        }

        fn reject(&mut self, _: usize, _: Reject) {}
    }

    #[test]
    fn a_batch_of_any_size_is_merged_as_its_updates_one_by_one() {
        let mut random = fastrand::Rng::with_seed(3);
        let me = Arc::new(Identity::new(ServerName::parse("A").unwrap(), Vec::new(), Epoch(1)));
        let (mut node, mut model) = (Node::new(me), Store::new());
        // The second time there are so many clients that they are looked up ahead.
        let sizes = || (0..200).chain([1_000]);
        for size in sizes().chain([2 * LOOK_AHEAD_CLIENTS_MIN as u32]).chain(sizes()) {
            // Few clients, so that a batch has the first report of one and more of it; some are long.
            let lines: Vec<String> = (0..size)
                .map(|_| {
                    let client = format!("c{}", random.u32(..2 * size + 1));
                    let client = if random.u8(..9) == 0 { client.repeat(40) } else { client };
                    format!("AT A +1 {client} +1+1 {}\n", random.u32(1..500))
                })
                .collect();
            let updates =
                lines.iter().map(|line| Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap());
            let mut batch = Lines(updates.collect());
            let expected = batch.0.iter().filter(|update| model.merge(update) == Merged::Applied).count();
            let mut records = Vec::new();
            let applied = node.apply(&mut batch, Some(&mut records));
            assert_eq!((applied.applied, applied.applied + applied.outdated), (expected, size as usize));
            assert_eq!(records.is_empty(), expected == 0);
            assert_eq!(node.store().digest(), model.digest());
            let newest = node.store().newest_line().map(|line| record_hash(trimmed(line)));
            assert_eq!(node.store().newest_hash(), newest.unwrap_or_default());
            assert_eq!(
                (node.store().len(), node.store().last_seq(), node.store().line_bytes()),
                (model.len(), model.last_seq(), model.line_bytes())
            );
        }
    }
}
