//! A running member as what conversations need.

use std::sync::atomic::Ordering;

use super::Member;
use super::group_commit::{GroupCommit, Lsn};
use super::metrics::Event;
use super::peer_registry::Claimant;
use super::turn::Host;
use super::warnings::Source;
use crate::proto::line::batch::Batch;
use crate::proto::node::{Applied, Node};

impl Host for Member {
    fn apply(&self, batch: &mut Batch) -> (Applied, Lsn) {
        Member::apply(self, batch)
    }

    fn lsn(&self) -> Lsn {
        self.wal.as_ref().map_or(Lsn::default(), GroupCommit::lsn)
    }

    fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        Member::read(self, look)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Node) -> T) -> T {
        change(&mut self.node.write())
    }

    // Without the lock, which each new connection would take.
    fn explains(&self) -> bool {
        self.me.explains
    }

    fn has_wal(&self) -> bool {
        self.wal.is_some()
    }

    fn admits(&self, neighbour: usize, claimant: Claimant) -> bool {
        let Err(here) = self.peers.admits(neighbour, claimant) else { return true };
        let (name, at, there) = (&self.me.neighbours[neighbour].name, here.from, claimant.from);
        let copied = if here.epoch == claimant.epoch { " and an empty data folder" } else { "" };
        let what = format_args!(
            "two servers say that they are {name}: one at {at}, and one at {there}, which is kept out for now; stop \
             one, or give it a name{copied} of its own"
        );
        self.metrics.count_and_warn(Event::NameTaken, Source::Neighbour(neighbour), what);
        false
    }

    fn is_near_capacity(&self) -> bool {
        self.near_capacity.load(Ordering::Relaxed)
    }

    fn fetch(&self, client: &str) -> bool {
        Member::fetch(self, client)
    }
}
