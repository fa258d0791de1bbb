//! The conversation of each neighbour that is here: a newer one that has proved itself ends the older.
//!
//! The older one may be half-open: its neighbour is gone, and no packet says so.

use std::net::Shutdown as Half;
use std::sync::Arc;

use super::conversation::Conversation;
use super::errands::Errand;
use super::shutdown::hang_up;
use super::slips::{self, Slip};
use super::sync::{Mutex, TcpStream};

/// By neighbour: the socket of its present conversation.
#[derive(Debug)]
pub(super) struct Callers {
    present: Vec<Mutex<Option<Arc<TcpStream>>>>,
}

impl Callers {
    /// Nobody is here of so many neighbours.
    pub(super) fn new(neighbours: usize) -> Callers {
        Callers { present: (0..neighbours).map(|_| Mutex::new(None)).collect() }
    }

    /// A neighbour has come in this connection. Cuts an older one, and says whether there was one.
    pub(super) fn come(&self, neighbour: usize, socket: &Arc<TcpStream>) -> bool {
        let present = &self.present[neighbour];
        let looked_up = slips::has(Slip::CallersLookedUpApart).then(|| present.lock().clone());
        let older = present.lock().replace(Arc::clone(socket));
        looked_up.unwrap_or(older).inspect(|older| hang_up(older, Half::Both)).is_some()
    }

    /// This connection of a neighbour has ended.
    pub(super) fn gone(&self, neighbour: usize, socket: &Arc<TcpStream>) {
        let mut present = self.present[neighbour].lock();
        let is_it = |present: &Arc<TcpStream>| Arc::ptr_eq(present, socket);
        if present.as_ref().is_some_and(is_it) || slips::has(Slip::NewerForgotten) {
            *present = None;
        }
    }
}

impl Conversation<'_> {
    /// A neighbour has proved that it is here.
    pub(super) fn meet(&mut self, neighbour: usize) {
        let shared = self.shared;
        let name = &shared.me.neighbours[neighbour].name;
        self.neighbour = Some(neighbour);
        if shared.callers.come(neighbour, self.socket) {
            shared.stats.callers_replaced.add(1);
            log::info!("neighbour {name} is here again, from {}: its older connection is cut", self.from);
        } else {
            log::info!("neighbour {name} is here, from {}", self.from);
        }
        self.admitted.said_hello();
        self.patience.said_hello();
        self.session.meet(&mut shared.node.write(), &mut self.batch);
        if let Some(commits) = &shared.commits {
            (self.owed, self.owes_welcome) = (commits.mark(), true);
        }
        shared.bells[neighbour].ring(Errand::Back);
    }
}
