//! What must hold in a herd.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::World;
use super::event::SenderId;
use super::server::Life;
use super::witness::Witness;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::sighting::at_line;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::peering::grammar::{Answer, answer};
use crate::proto::peering::link::HEARTBEAT_EVERY;
use crate::proto::store::update::{Source, Update, trimmed};

/// The heartbeats for which a herd that agrees is watched.
const REST_BEATS: u32 = 4;

/// A herd that agrees, and what that has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converged {
    /// When a server last learned anything, in nanoseconds since the world began.
    pub at_ns: u64,
    /// The clients that are known.
    pub clients: usize,
    /// The reports that the server that took them applied.
    pub updates: u64,
    /// The `AT` lines that were written to links.
    pub messages: u64,
    /// The most of them for one update.
    pub messages_per_update_max: u64,
}

/// What is wrong with a herd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// Its servers are not done with each other in time.
    #[error("things still happen at {0} ns")]
    NotQuiet(u64),
    /// A link did not come up, or owes something and does not send it.
    #[error("{0} has not told {1} everything")]
    Owing(String, String),
    /// Two servers know different things.
    #[error("{server} has {has:?} where {other} has {but:?}")]
    #[expect(missing_docs, reason = "the message says what they are")]
    Differs { server: String, other: String, has: String, but: String },
    /// Two servers have equal records, and their digests differ.
    #[error("the digest of {0} is not that of what it knows")]
    Digest(String),
    /// No server knows what one has acknowledged or known, or all know something older only.
    #[error("lost: {0}")]
    Lost(String),
    /// A server knows what no client has reported.
    #[error("nobody ever reported {0}")]
    Forged(String),
    /// A line was sent more often than the graph allows.
    #[error("a line was sent {count} times, at most {bound} are allowed")]
    #[expect(missing_docs, reason = "the message says what they are")]
    Messages { count: u64, bound: u64 },
    /// A line was sent twice over the same connection.
    #[error("{0} lines were sent again over the connection that had carried them")]
    Repeated(u64),
    /// A link began before the position up to which the neighbour has said to know everything.
    #[error("{0} links began again before what the neighbour has acknowledged")]
    Resent(u64),
    /// A neighbour has said to know more than there was.
    #[error("{0} neighbours were ahead of what they were told")]
    Ahead(u64),
    /// A sender had changes due and waited for nothing but its next heartbeat.
    #[error("{0} senders slept on what they owed")]
    Asleep(u64),
    /// Servers found that they had drifted apart, and nothing had made them.
    #[error("buckets were told again {0} times")]
    Repaired(u64),
    /// A server that had crashed went on with numbers that it had given, in the same epoch.
    #[error("{0} servers gave numbers again")]
    Reused(u64),
    /// A server did not understand its neighbour.
    #[error("{0} lines between neighbours were refused")]
    Refused(u64),
}

impl World {
    /// The `AT` lines written to all links so far.
    pub fn messages(&self) -> u64 {
        self.witness.total()
    }

    /// The `AT` lines written to a link so far: by its first server, and by its second.
    pub fn messages_on(&self, link: usize) -> [u64; 2] {
        self.witness.messages[link]
    }

    /// How often an `AT` line, with its line feed, has been written to links so far.
    pub fn messages_of(&self, line: &[u8]) -> u64 {
        self.witness.times_told.get(&xxh3_64(line)).copied().unwrap_or(0)
    }

    /// Runs until the herd agrees, and for a while longer, and checks everything that must hold.
    ///
    /// A herd that does not catch up, and was disturbed, need not agree on what it missed; it must be
    /// connected and truthful all the same.
    ///
    /// # Errors
    /// The first thing that is wrong: what is not done within `within` is not done at all.
    pub fn settle(&mut self, within: Duration) -> Result<Converged, Divergence> {
        let deadline_ns = self.now_ns.saturating_add(within.as_nanos() as u64);
        if self.options.heartbeats {
            while self.check_rest().is_err() && self.now_ns < deadline_ns && self.witness.repeated == 0 {
                self.happen_for(HEARTBEAT_EVERY);
            }
            // What is wrong with a rest shows when it goes on.
            self.happen_for(REST_BEATS * HEARTBEAT_EVERY);
        } else {
            self.happen_until(deadline_ns);
        }
        if self.witness.repeated > 0 {
            return Err(Divergence::Repeated(self.witness.repeated));
        }
        if !self.options.heartbeats && !self.queue.is_empty() {
            return Err(Divergence::NotQuiet(self.now_ns));
        }
        self.check_nothing_is_forged()?;
        self.check_rest()?;
        if self.options.catch_up || !self.disturbed {
            self.check_nothing_is_lost()?;
        }
        let messages_per_update_max = self.check_messages()?;
        match &self.witness {
            Witness { refused: 1.., .. } => return Err(Divergence::Refused(self.witness.refused)),
            Witness { resent: 1.., .. } => return Err(Divergence::Resent(self.witness.resent)),
            Witness { ahead: 1.., .. } => return Err(Divergence::Ahead(self.witness.ahead)),
            Witness { asleep: 1.., .. } => return Err(Divergence::Asleep(self.witness.asleep)),
            Witness { repairs: 1.., drifted: false, .. } => {
                return Err(Divergence::Repaired(self.witness.repairs));
            }
            Witness { reused: 1.., .. } => return Err(Divergence::Reused(self.witness.reused)),
            Witness { .. } => {}
        }
        Ok(Converged {
            at_ns: self.changed_ns,
            clients: self.witness.clients.len(),
            updates: self.witness.updates,
            messages: self.witness.total(),
            messages_per_update_max,
        })
    }

    /// How often a server has found that a neighbour has drifted away from it.
    pub fn repairs(&self) -> u64 {
        self.witness.repairs
    }

    fn happen_for(&mut self, time: Duration) {
        let until_ns = self.now_ns + time.as_nanos() as u64;
        self.happen_until(until_ns);
        self.now_ns = self.now_ns.max(until_ns);
    }

    /// Nothing is due on any link, and all servers agree.
    fn check_rest(&self) -> Result<(), Divergence> {
        self.check_nothing_is_owed()?;
        if self.options.catch_up || !self.disturbed { self.check_agreement() } else { Ok(()) }
    }

    /// A link has been welcomed with this line: it must go on where the neighbour is.
    pub(super) fn check_start(&mut self, id: SenderId, line: &[u8]) {
        let Some(life) = &self.servers[id.server].life else { return };
        let Ok(Answer::Welcome(welcome)) = answer(line) else { return };
        let began = life.senders[id.neighbour].link.position();
        let known = welcome.received_up_to <= life.node.store().last_seq();
        self.witness.ahead += u64::from(!known);
        self.witness.resent += u64::from(life.me.catch_up && known && began != Some(welcome.received_up_to));
    }

    /// Notes the best that any server knows.
    pub(super) fn remember_floor(&mut self) {
        let mut floor: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for client in &self.witness.clients {
            let known = self.lives().filter_map(|life| life.node.store().stored_line_of(client));
            if let Some(best) = known.max_by(|a, b| order(a, b)) {
                floor.insert(client.clone(), best.to_vec());
            }
        }
        self.witness.floor = floor;
    }

    fn check_nothing_is_owed(&self) -> Result<(), Divergence> {
        for server in &self.servers {
            let Some(life) = &server.life else { continue };
            for (sender, far) in life.senders.iter().zip(&server.neighbours) {
                let last = Some(life.node.store().last_seq());
                let acknowledged = sender.link.acknowledged_position() >= last || !self.options.heartbeats;
                let told_all = sender.link.position() == last && acknowledged;
                if self.servers[far.server].life.is_some() && self.wires[far.link].up && !told_all {
                    let to = self.servers[far.server].name.to_string();
                    return Err(Divergence::Owing(server.name.to_string(), to));
                }
            }
        }
        Ok(())
    }

    fn check_agreement(&self) -> Result<(), Divergence> {
        let mut lives = self.lives();
        let Some(first) = lives.next() else { return Ok(()) };
        for life in lives {
            let (server, other) = (life.me.name.to_string(), first.me.name.to_string());
            let (a, b) = (life.node.store(), first.node.store());
            for client in &self.witness.clients {
                if a.stored_line_of(client) != b.stored_line_of(client) {
                    let (has, but) = (shown(a.stored_line_of(client)), shown(b.stored_line_of(client)));
                    return Err(Divergence::Differs { server, other, has, but });
                }
            }
            if a.len() != b.len() {
                let count = |store: usize| format!("{store} clients");
                return Err(Divergence::Differs { server, other, has: count(a.len()), but: count(b.len()) });
            }
            if a.digest() != b.digest() {
                return Err(Divergence::Digest(server));
            }
        }
        Ok(())
    }

    /// Called when all agree, so that one server speaks for all.
    fn check_nothing_is_lost(&self) -> Result<(), Divergence> {
        let Some(life) = self.lives().next() else { return Ok(()) };
        let kept = self.witness.acknowledged.iter().filter(|ack| {
            let server = &self.servers[ack.server];
            server.life.is_some() && server.lives == ack.lives
        });
        for line in kept.map(|ack| &ack.line).chain(self.witness.floor.values()) {
            let known = client_of(line).and_then(|client| life.node.store().stored_line_of(client));
            if !self.has_expired(line, life.node.store().expiry.cutoff_s())
                && known.is_none_or(|known| order(known, line) == Ordering::Less)
            {
                return Err(Divergence::Lost(shown(Some(line))));
            }
        }
        Ok(())
    }

    /// Whether a line is too old, or one that has overtaken it is, by the clock of another server.
    fn has_expired(&self, line: &[u8], cutoff_s: u64) -> bool {
        let is_old = |line: &[u8]| received_s(line) < Some(cutoff_s);
        let overtakes = |other: &[u8]| {
            is_old(other) && client_of(other) == client_of(line) && order(other, line) != Ordering::Less
        };
        cutoff_s > 0 && (is_old(line) || self.witness.acknowledged.iter().any(|ack| overtakes(&ack.line)))
    }

    fn check_nothing_is_forged(&self) -> Result<(), Divergence> {
        let clients = &self.witness.clients;
        let stored = self.lives().flat_map(|life| {
            clients.iter().filter_map(|client| life.node.store().stored_line_of(client)) //
        });
        let mut unheard_of = stored.filter(|line| !self.witness.has_made(line));
        match self.witness.forged.as_deref().or_else(|| unheard_of.next()) {
            Some(line) => Err(Divergence::Forged(shown(Some(line)))),
            None => Ok(()),
        }
    }

    fn check_messages(&self) -> Result<u64, Divergence> {
        let bound = self.witness.bound(&self.graph);
        let count = self.witness.times_told.values().copied().max().unwrap_or(0);
        // Anti-entropy sends once more what has drifted apart.
        if count > bound && !self.witness.drifted {
            Err(Divergence::Messages { count, bound })
        } else {
            Ok(count)
        }
    }

    fn lives(&self) -> impl Iterator<Item = &Life> {
        self.servers.iter().filter_map(|server| server.life.as_ref())
    }
}

pub(super) fn sighting(line: &[u8]) -> Option<Sighting<'_>> {
    at_line(line).ok().map(|(sighting, _)| sighting)
}

/// The client that a stored line is of.
pub(super) fn client_of(stored: &[u8]) -> Option<&[u8]> {
    let (start, end) = StoredLine::parse(trimmed(stored)).ok()?.client_range();
    stored.get(start..end)
}

fn received_s(stored: &[u8]) -> Option<u64> {
    StoredLine::parse(trimmed(stored)).ok().map(|stored| stored.received_s())
}

/// The order of two lines that servers have sent or stored of one client.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let update = |line| Update::from_stored(line, Source::NONE).expect("a server's line is read back");
    let other = update(other);
    update(one).cmp_stored(other.era, other.moment, other.line)
}

fn shown(line: Option<&[u8]>) -> String {
    line.map_or_else(|| "nothing".into(), |line| String::from_utf8_lossy(line).trim_end().into())
}
