//! The links of a server: which there are now. They come and go with the herd file, each with a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::neighbour::{Neighbour, Shared};
use super::{legacy, link};
use crate::config::Address;
use crate::proto::node::Dialect;

/// The links that there are, by the indices of their neighbours.
pub struct Links<'a> {
    shared: Shared<'a>,
    present: Mutex<BTreeMap<usize, Arc<Neighbour<'a>>>>,
}

impl<'a> Links<'a> {
    /// None yet.
    pub fn new(shared: Shared<'a>) -> Links<'a> {
        Links { shared, present: Mutex::default() }
    }

    /// A link to the neighbour with this index, which follows the change log from now on; a thread is to run it.
    pub fn add(&self, index: usize, address: Address) -> Arc<Neighbour<'a>> {
        let neighbour = Arc::new(Neighbour::new(self.shared, index, address));
        self.present.lock().insert(index, Arc::clone(&neighbour));
        neighbour
    }

    /// The neighbour is dialled elsewhere from now on.
    pub fn move_to(&self, index: usize, address: Address) {
        if let Some(neighbour) = self.present.lock().get(&index) {
            neighbour.move_to(address);
        }
    }

    /// Has links to where a name does not lead any more end.
    pub fn check(&self) {
        self.present.lock().values().for_each(|neighbour| neighbour.check());
    }

    /// The link ends at once. The conversation that the neighbour has begun is the concern of another room.
    pub fn remove(&self, index: usize) {
        if let Some(neighbour) = self.present.lock().remove(&index) {
            neighbour.remove();
        }
    }
}

/// Keeps the link to a neighbour up until it is told to finish.
pub fn run(neighbour: &Neighbour<'_>) {
    let _running = neighbour.state().running.lock();
    match neighbour.shared.member.me.neighbours[neighbour.index].dialect {
        Dialect::Herd => link::run(neighbour),
        Dialect::Legacy => legacy::run(neighbour),
    }
}
