//! The history of a run as seen from outside of the herd, as in Jepsen: enough to tell whether the herd is right.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use super::event::SenderId;
use super::graph::Graph;
use crate::proto::model::sighting::{Sighting, at_line};
use crate::proto::model::stored_line::at_part;
use crate::proto::node::Node;

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When a server last learned anything, in nanoseconds since the world began.
    pub changed_ns: u64,
    /// Whether anything has been cut or has crashed.
    pub is_disturbed: bool,
    /// The hash of every line that a server has made of a client's report.
    made: BTreeSet<u64>,
    /// A line that was replicated although no server has made it.
    pub forged: Option<Vec<u8>>,
    pub clients: BTreeSet<Vec<u8>>,
    pub acknowledged: Vec<Acknowledged>,
    /// The reports that were applied.
    pub updates: u64,
    /// The greatest line of each client anywhere when everything was healed.
    pub floor: BTreeMap<Vec<u8>, Vec<u8>>,
    links: Vec<(usize, usize)>,
    /// By link, and in each direction: the connections that were welcomed.
    connections: Vec<[u64; 2]>,
    /// The `AT` lines that were written to links.
    pub messages: u64,
    /// By the hash of a line: how often it was written.
    pub times_sent: BTreeMap<u64, u64>,
    /// Each of these counts is explained at the `Divergence` of that name, or of a similar one.
    pub repeated: u64,
    pub refused: u64,
    pub resent: u64,
    pub ahead: u64,
    pub asleep: u64,
    pub repairs: u64,
    /// How often a link was told to become lazy, and how often to become eager.
    pub prunes: u64,
    pub grafts: u64,
    pub reused: u64,
    /// Whether a test has made servers drift apart.
    pub drifted: bool,
}

#[derive(Debug)]
pub(super) struct Acknowledged {
    pub server: usize,
    /// How often the server had lost its memory by then.
    pub losses: u32,
    /// The bytes of records that its journal had by then.
    bytes: u64,
    pub line: Vec<u8>,
}

impl History {
    pub(super) fn new(graph: &Graph) -> History {
        let links = graph.links().to_vec();
        History { connections: vec![[0; 2]; links.len()], links, ..History::default() }
    }

    /// What a server promises with a reply to a client: that it knows from now on what it has stored now, or something
    /// greater.
    pub(super) fn promised(&mut self, node: &Node, reply: &[u8]) -> Option<Vec<u8>> {
        let reported = sighting(reply).filter(|reported| reported.origin == node.identity().name.as_str())?;
        self.made.insert(xxh3_64(reply));
        self.clients.insert(reported.client.0.as_bytes().to_vec());
        let stored = node.store().stored_line_of(reported.client.0.as_bytes());
        let is_overtaking = |line: &&[u8]| match at_part(line) {
            Some(at) => sighting(at).is_some_and(|stored| stored.time >= reported.time),
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

    /// A server has forgotten a client, and has this tombstone of it.
    pub(super) fn forgot(&mut self, tombstone: &[u8]) {
        self.made.insert(xxh3_64(tombstone));
        self.updates += 1;
    }

    /// A server has promised a line to a client.
    pub(super) fn acknowledged(&mut self, server: usize, losses: u32, bytes: u64, line: Vec<u8>) {
        self.acknowledged.push(Acknowledged { server, losses, bytes, line });
    }

    /// The power of a server has failed. It had not promised to have flushed more than these bytes of records.
    pub(super) fn tail_lost(&mut self, server: usize, bytes: u64) {
        self.acknowledged.retain(|ack| ack.server != server || ack.bytes <= bytes);
    }

    pub(super) fn connected(&mut self, sender: SenderId, link: usize) {
        self.connections[link][usize::from(self.links[link].0 != sender.server)] += 1;
    }

    /// A sender has written lines to the connection that has carried the `AT` lines `before`.
    pub(super) fn sent(&mut self, lines: &[u8], before: &mut BTreeSet<u64>) {
        for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|line| line.starts_with(b"AT ")) {
            let hash = xxh3_64(line);
            self.messages += 1;
            *self.times_sent.entry(hash).or_default() += 1;
            self.repeated += u64::from(!before.insert(hash) && !self.drifted);
            if !self.has_made(line) {
                self.forged = Some(line.to_vec());
            }
        }
    }

    /// A test has made up a line.
    #[cfg(test)]
    pub(super) fn made_up(&mut self, line: &[u8]) {
        self.drifted = true;
        self.made.insert(xxh3_64(line));
        if let Some(reported) = sighting(line) {
            self.clients.insert(reported.client.0.as_bytes().to_vec());
        }
    }

    /// The most often that one line may be written: once over each connection; and as long as every link has
    /// had one connection each way, never back to where a server first heard it.
    pub(super) fn bound(&self, graph: &Graph) -> u64 {
        let reconnected = self.connections.iter().flatten().any(|&times| times > 1);
        if reconnected { self.connections.iter().flatten().sum() } else { graph.messages_per_update() }
    }
}

fn sighting(line: &[u8]) -> Option<Sighting<'_>> {
    at_line(line).ok().map(|(sighting, _)| sighting)
}
