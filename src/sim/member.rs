//! A simulated server as its conversations know it: its node, and what it has recorded.

use std::cell::{Cell, RefCell};

use super::group_commit::GroupCommit;
use crate::member::turn::{Host, Lsn};
use crate::proto::line::batch::Batch;
use crate::proto::node::{Applied, Node};
use crate::proto::store::update::Updates;

/// A server that a conversation is with, for as long as it hears something. A simulation has one thread, so cells stand
/// where a running member has locks.
#[derive(Debug)]
pub(super) struct SimulatedMember<'a> {
    node: RefCell<&'a mut Node>,
    /// What it has recorded, if it records.
    wal: Option<RefCell<&'a mut GroupCommit>>,
    /// The lane in which it is recorded.
    lane: usize,
    /// Whether something was heard whose reply needs all that was recorded.
    needs_all: Cell<bool>,
}

impl<'a> SimulatedMember<'a> {
    pub(super) fn new(node: &'a mut Node, wal: Option<&'a mut GroupCommit>) -> SimulatedMember<'a> {
        let mut wal = wal;
        let lane = wal.as_mut().map_or(0, |wal| wal.next_lane());
        let needs_all = Cell::new(false);
        SimulatedMember { node: RefCell::new(node), wal: wal.map(RefCell::new), lane, needs_all }
    }

    /// Merges updates, and records them.
    pub(super) fn apply_updates<U: Updates>(&self, updates: &mut U) -> (Applied, Lsn) {
        let mut node = self.node.borrow_mut();
        let Some(wal) = &self.wal else { return (node.apply(updates, None), Lsn::default()) };
        let is_position = updates.reached().is_some();
        wal.borrow_mut().record(self.lane, node.store().last_seq() + 1, |records| {
            let applied = node.apply(updates, Some(records));
            let needs_all = self.needs_all.get() || applied.outdated > 0 || is_position;
            self.needs_all.set(needs_all);
            (applied, node.store().last_seq(), needs_all)
        })
    }

    /// Whether all that a reply promises is durable, so that it may leave.
    pub(super) fn is_durable(&self, needs_lsn: Lsn) -> bool {
        self.wal.as_ref().is_none_or(|wal| wal.borrow().is_durable(needs_lsn))
    }
}

impl Host for SimulatedMember<'_> {
    fn apply(&self, batch: &mut Batch) -> (Applied, Lsn) {
        self.apply_updates(batch)
    }

    fn lsn(&self) -> Lsn {
        self.needs_all.set(true);
        self.wal.as_ref().map_or(Lsn::default(), |wal| wal.borrow().lsn())
    }

    fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        look(&self.node.borrow())
    }

    fn write<T>(&self, change: impl FnOnce(&mut Node) -> T) -> T {
        change(&mut self.node.borrow_mut())
    }

    fn has_wal(&self) -> bool {
        self.wal.is_some()
    }

    fn is_near_capacity(&self) -> bool {
        self.node.borrow().store().is_near_capacity()
    }
}
