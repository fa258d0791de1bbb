//! What all threads of a server share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::admission::Admission;
use super::beginners::Beginners;
use super::callers::Callers;
use super::commits::Commits;
use super::errands::Bell;
use super::listen::Output;
use super::shutdown::Sockets;
use super::stats::Stats;
use super::status::LinkState;
use super::sync::RwLock;
use super::turns::Turns;
use super::warnings::Warnings;
use crate::config::Limits;
use crate::places::Places;
use crate::proto::node::NO_WAL;
use crate::proto::node::{Identity, Node};

/// What all threads of a server share.
pub(super) struct Shared {
    pub(super) me: Arc<Identity>,
    pub(super) node: RwLock<Node>,
    /// What makes news survive, if anything does.
    pub(super) commits: Option<Commits>,
    /// One for every neighbour.
    pub(super) bells: Vec<Bell>,
    pub(super) places: Arc<dyn Places>,
    /// At questions that are answered from memory.
    pub(super) turns: Turns,
    pub(super) beginners: Beginners,
    pub(super) stats: Stats,
    /// How each link is.
    pub(super) links: Vec<LinkState>,
    /// Where neighbours of the classic dialect may come from.
    pub(super) classics: Vec<(IpAddr, Vec<usize>)>,
    /// The conversation of each neighbour that is here.
    pub(super) callers: Callers,
    pub(super) conversations: Sockets,
    /// Links that wait for the answer to their hello: nothing is owed there, so stopping does not wait for them.
    pub(super) dialling: Sockets,
    /// Links that are up.
    pub(super) link_sockets: Sockets,
    pub(super) admission: Admission,
    pub(super) limits: Limits,
    pub(super) output: Output,
    /// Whether new clients may be refused soon, as the last batch that was settled found it. Only a hint: the store
    /// decides, and what is known of it here may be late.
    pub(super) crowded: AtomicBool,
    pub(super) warnings: Warnings,
}

impl Shared {
    /// The number of the last change that no crash can undo, which is what neighbours may be told of.
    pub(super) fn kept_number(&self) -> u64 {
        self.commits.as_ref().map_or(NO_WAL, Commits::kept_number)
    }

    /// The neighbours of the classic dialect that are where this connection comes from.
    pub(super) fn classics_at(&self, from: SocketAddr) -> &[usize] {
        let address = from.ip().to_canonical();
        let there = self.classics.iter().find(|(classic, _)| *classic == address);
        there.map_or(&[], |(_, neighbours)| neighbours)
    }
}
