//! The witness of a simulated herd: who has seen everything that is needed to tell whether it is right.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use super::check::sighting;
use super::event::SenderId;
use super::graph::Graph;
use crate::proto::model::stored_line::at_part;
use crate::proto::node::Node;

/// The history of a run as seen from outside.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The hash of every line that a server has made of a client's report.
    pub made: BTreeSet<u64>,
    /// A line that was replicated although no server has made it.
    pub forged: Option<Vec<u8>>,
    pub clients: BTreeSet<Vec<u8>>,
    pub acknowledged: Vec<Acknowledged>,
    /// The reports that were applied.
    pub updates: u64,
    /// The greatest line of each client anywhere when everything was healed.
    pub floor: BTreeMap<Vec<u8>, Vec<u8>>,
    links: Vec<(usize, usize)>,
    /// By link, and in each direction: the connections that were welcomed, and the lines that were written.
    connections: Vec<[u64; 2]>,
    pub messages: Vec<[u64; 2]>,
    /// By the hash of a line: how often it was written.
    pub times_told: BTreeMap<u64, u64>,
    pub repeated: u64,
    pub refused: u64,
    pub resent: u64,
    pub ahead: u64,
    pub asleep: u64,
    pub repairs: u64,
    pub reused: u64,
    /// Whether a test has made servers drift apart.
    pub drifted: bool,
}

#[derive(Debug)]
pub(super) struct Acknowledged {
    pub server: usize,
    pub lives: u32,
    /// The bytes of records that its journal had when it was acknowledged.
    mark: u64,
    pub line: Vec<u8>,
}

impl Witness {
    pub(super) fn new(graph: &Graph) -> Witness {
        let links = graph.links().to_vec();
        let zeros = vec![[0; 2]; links.len()];
        Witness { links, connections: zeros.clone(), messages: zeros, ..Witness::default() }
    }

    /// What a server promises with a reply to a client: that it knows from now on what it has stored now, or something
    /// greater.
    pub(super) fn promised(&mut self, node: &Node, reply: &[u8]) -> Option<Vec<u8>> {
        let told = sighting(reply).filter(|told| told.origin == node.identity().name.as_str())?;
        self.made.insert(xxh3_64(reply));
        self.clients.insert(told.client.0.as_bytes().to_vec());
        let stored = node.store().stored_line_of(told.client.0.as_bytes());
        let is_overtaking = |line: &&[u8]| match at_part(line) {
            Some(at) => sighting(at).is_some_and(|stored| stored.time >= told.time),
            None => true,
        };
        let overtaken_by = stored.filter(is_overtaking);
        self.updates += u64::from(overtaken_by.is_none_or(|line| at_part(line) == Some(reply)));
        Some(overtaken_by.unwrap_or(reply).to_vec())
    }

    /// Whether a server has made this line, or one that this is in a later era.
    pub(super) fn has_made(&self, stored: &[u8]) -> bool {
        self.made.contains(&xxh3_64(at_part(stored).unwrap_or(stored)))
    }

    /// A server has forgotten a client, with this tombstone.
    pub(super) fn forgot(&mut self, tombstone: &[u8]) {
        self.made.insert(xxh3_64(tombstone));
        self.updates += 1;
    }

    /// A server, in the life of that number, has promised a line to a client.
    pub(super) fn acknowledged(&mut self, server: usize, lives: u32, mark: u64, line: Vec<u8>) {
        self.acknowledged.push(Acknowledged { server, lives, mark, line });
    }

    /// The power of a server has failed, which had not promised to have flushed what came after the mark.
    pub(super) fn tail_lost(&mut self, server: usize, mark: u64) {
        self.acknowledged.retain(|ack| ack.server != server || ack.mark <= mark);
    }

    pub(super) fn connected(&mut self, sender: SenderId, link: usize) {
        let direction = self.direction(sender, link);
        self.connections[link][direction] += 1;
    }

    /// A sender has written a line to the connection that has carried the lines `before`.
    pub(super) fn told(&mut self, sender: SenderId, link: usize, line: &[u8], before: &mut BTreeSet<u64>) {
        let hash = xxh3_64(line);
        let direction = self.direction(sender, link);
        self.messages[link][direction] += 1;
        *self.times_told.entry(hash).or_default() += 1;
        self.repeated += u64::from(!before.insert(hash) && !self.drifted);
        if !self.has_made(line) {
            self.forged = Some(line.to_vec());
        }
    }

    /// A test has made up a line.
    #[cfg(test)]
    pub(super) fn made_up(&mut self, line: &[u8]) {
        self.drifted = true;
        self.made.insert(xxh3_64(line));
        if let Some(told) = sighting(line) {
            self.clients.insert(told.client.0.as_bytes().to_vec());
        }
    }

    fn direction(&self, sender: SenderId, link: usize) -> usize {
        usize::from(self.links[link].0 != sender.server)
    }

    pub(super) fn total(&self) -> u64 {
        self.messages.iter().flatten().sum()
    }

    /// The most often that one line may be written: once over each connection; and as long as every link has
    /// had one connection each way, never back to where a server first heard it.
    pub(super) fn bound(&self, graph: &Graph) -> u64 {
        let reconnected = self.connections.iter().flatten().any(|&times| times > 1);
        if reconnected { self.connections.iter().flatten().sum() } else { graph.messages_per_update() }
    }
}
