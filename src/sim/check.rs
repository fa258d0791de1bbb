//! What must hold in a herd.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::environment::Environment;
use super::history::History;
use super::server::{Incarnation, Server};
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::update::{Source, Update, trimmed};

/// The heartbeats for which a herd that agrees is watched.
pub(super) const REST_HEARTBEATS: u32 = 4;

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
    #[error("{0} has not replicated everything to {1}")]
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
    #[error("no client has reported {0}")]
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
    #[error("{0} neighbours were ahead of what was replicated to them")]
    Ahead(u64),
    /// A sender had changes due and waited for nothing but its next heartbeat.
    #[error("{0} senders slept on what they owed")]
    Asleep(u64),
    /// Servers found that they had drifted apart, and nothing had made them.
    #[error("buckets were sent again {0} times")]
    Repaired(u64),
    /// A server that had crashed went on with numbers that it had given, in the same epoch.
    #[error("{0} servers gave numbers again")]
    Reused(u64),
    /// A server did not understand its neighbour.
    #[error("{0} lines between neighbours were refused")]
    Refused(u64),
}

/// Checks everything that must hold in a herd that has come to rest.
pub(super) fn all(servers: &[Server], env: &Environment) -> Result<Converged, Divergence> {
    let Environment { options, timeline, history, .. } = env;
    if history.repeated > 0 {
        return Err(Divergence::Repeated(history.repeated));
    }
    if !options.heartbeats && !timeline.is_over() {
        return Err(Divergence::NotQuiet(timeline.now_ns));
    }
    nothing_is_forged(servers, history)?;
    rest(servers, env)?;
    if must_agree(env) {
        nothing_is_lost(servers, history)?;
    }
    let messages_per_update_max = messages(env)?;
    match history {
        History { refused: 1.., .. } => return Err(Divergence::Refused(history.refused)),
        History { resent: 1.., .. } => return Err(Divergence::Resent(history.resent)),
        History { ahead: 1.., .. } => return Err(Divergence::Ahead(history.ahead)),
        History { asleep: 1.., .. } => return Err(Divergence::Asleep(history.asleep)),
        History { repairs: 1.., drifted: false, .. } => return Err(Divergence::Repaired(history.repairs)),
        History { reused: 1.., .. } => return Err(Divergence::Reused(history.reused)),
        History { .. } => {}
    }
    Ok(Converged {
        at_ns: history.changed_ns,
        clients: history.clients.len(),
        updates: history.updates,
        messages: history.messages,
        messages_per_update_max,
    })
}

/// Nothing is due on any link, and all servers agree.
pub(super) fn rest(servers: &[Server], env: &Environment) -> Result<(), Divergence> {
    nothing_is_owed(servers, env)?;
    if must_agree(env) { agreement(servers, &env.history) } else { Ok(()) }
}

/// The best that any server knows now of each client.
pub(super) fn floor(servers: &[Server], history: &History) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let best = |client: &Vec<u8>| {
        let known = running(servers).filter_map(|server| server.node.store().stored_line_of(client));
        Some((client.clone(), known.max_by(|a, b| order(a, b))?.to_vec()))
    };
    history.clients.iter().filter_map(best).collect()
}

/// Whether all servers must agree. A herd that was disturbed and does not catch up need not agree on what it missed.
fn must_agree(env: &Environment) -> bool {
    env.options.catch_up || !env.history.is_disturbed
}

fn nothing_is_owed(servers: &[Server], env: &Environment) -> Result<(), Divergence> {
    for server in servers {
        let Some(incarnation) = &server.incarnation else { continue };
        for (sender, far) in incarnation.senders.iter().zip(&server.links) {
            let last = Some(incarnation.node.store().last_seq());
            let acknowledged = sender.link.acknowledged_position() >= last || !env.options.heartbeats;
            let has_sent_all = sender.link.position() == last && acknowledged;
            let other = &servers[far.server];
            if other.incarnation.is_some() && env.network.wires[far.link].is_up && !has_sent_all {
                return Err(Divergence::Owing(server.name.to_string(), other.name.to_string()));
            }
        }
    }
    Ok(())
}

fn agreement(servers: &[Server], history: &History) -> Result<(), Divergence> {
    let mut running = running(servers);
    let Some(first) = running.next() else { return Ok(()) };
    for incarnation in running {
        let (server, other) = (incarnation.me.name.to_string(), first.me.name.to_string());
        let (a, b) = (incarnation.node.store(), first.node.store());
        for client in &history.clients {
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
fn nothing_is_lost(servers: &[Server], history: &History) -> Result<(), Divergence> {
    let Some(incarnation) = running(servers).next() else { return Ok(()) };
    let store = incarnation.node.store();
    let promised = history.acknowledged.iter().filter(|ack| {
        let server = &servers[ack.server];
        server.incarnation.is_some() && server.losses == ack.losses
    });
    for line in promised.map(|ack| &ack.line).chain(history.floor.values()) {
        let known = client_of(line).and_then(|client| store.stored_line_of(client));
        if !has_expired(history, line, store.expiry.cutoff_s())
            && known.is_none_or(|known| order(known, line) == Ordering::Less)
        {
            return Err(Divergence::Lost(shown(Some(line))));
        }
    }
    Ok(())
}

/// Whether a line is too old, or one that has overtaken it is, by the clock of another server.
fn has_expired(history: &History, line: &[u8], cutoff_s: u64) -> bool {
    let is_old = |line: &[u8]| received_s(line) < Some(cutoff_s);
    let overtakes = |other: &[u8]| {
        is_old(other) && client_of(other) == client_of(line) && order(other, line) != Ordering::Less
    };
    cutoff_s > 0 && (is_old(line) || history.acknowledged.iter().any(|ack| overtakes(&ack.line)))
}

fn nothing_is_forged(servers: &[Server], history: &History) -> Result<(), Divergence> {
    let stored = running(servers).flat_map(|incarnation| {
        history.clients.iter().filter_map(|client| incarnation.node.store().stored_line_of(client))
    });
    let mut unheard_of = stored.filter(|line| !history.has_made(line));
    match history.forged.as_deref().or_else(|| unheard_of.next()) {
        Some(line) => Err(Divergence::Forged(shown(Some(line)))),
        None => Ok(()),
    }
}

fn messages(env: &Environment) -> Result<u64, Divergence> {
    let bound = env.history.bound(&env.graph);
    let count = env.history.times_sent.values().copied().max().unwrap_or(0);
    // Anti-entropy sends once more what has drifted apart.
    if count > bound && !env.history.drifted { Err(Divergence::Messages { count, bound }) } else { Ok(count) }
}

fn running(servers: &[Server]) -> impl Iterator<Item = &Incarnation> {
    servers.iter().filter_map(|server| server.incarnation.as_ref())
}

/// The client that a stored line is of.
fn client_of(stored: &[u8]) -> Option<&[u8]> {
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
    update(one).cmp_stored(other.era, other.meta.moment, other.line)
}

fn shown(line: Option<&[u8]>) -> String {
    line.map_or_else(|| "nothing".into(), |line| String::from_utf8_lossy(line).trim_end().into())
}
