//! The status line: what the member knows, how each link is, and all that is counted.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::{Member, neighbours};
use crate::config::CLOCK_LEAD_SUGGESTED;
use crate::logging::Escaped;
use crate::os::clock;
use crate::os::sync::Receiver;
use crate::proto::model::time::Moment;

/// How often is looked for what has expired: often enough for the shortest time after which a client can expire.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Has the status reported every so often, and drops what has expired, until a stop is asked for; returns by what.
pub fn report_every(
    member: &Member,
    report: impl Fn(),
    every: Duration,
    stop: &Receiver<&'static str>,
) -> Option<&'static str> {
    let wait = if member.me.expire_after.is_some() { every.min(EXPIRE_EVERY) } else { every };
    let mut report_at = clock::deadline(every);
    loop {
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
            Ok(by) => return Some(by),
        }
        member.expire(clock::now().seconds);
        if clock::instant() >= report_at {
            report();
            report_at = clock::deadline(every);
        }
    }
}

/// Reports the status of a member to which so many clients are connected.
pub fn report(member: &Member, connections_open: u32) {
    let (clients, digest, last_seq) =
        member.read(|node| (node.store().len(), node.store().digest().total(), node.store().last_seq()));
    log::info!(
        "status: clients={clients} digest={digest:016x} connections={connections_open} {}",
        member.metrics
    );
    let (bytes, bytes_max, tombstones) = member.read(|node| {
        let store = node.store();
        (store.memory_bytes(), node.memory_bytes_max(), store.tombstones())
    });
    log::info!(
        "status: memory: clients take {} KiB of the {} KiB that they may; {tombstones} are forgotten",
        bytes >> 10,
        bytes_max >> 10
    );
    if let Some(wal) = member.wal() {
        let (bytes, files) = wal.size();
        let how = wal.failure().map_or_else(|| "durable".to_owned(), |why| format!("reports {why}"));
        let behind = last_seq.saturating_sub(wal.durable_seq());
        log::info!("status: journal: {how}, {behind} changes not yet, {} KiB in {files} files", bytes >> 10);
    }
    if let Some(core) = member.core() {
        let status = member.read(|node| core.status(node.store()));
        log::info!("status: database {}: {status}", status.url);
    }
    for (index, neighbour, link) in neighbours::linked(member) {
        let flapping =
            if member.peers.is_flapping(index) { ", flapping: two servers have this name" } else { "" };
        let state = link.status(member.read(|node| link.lag(node.store())));
        log::info!("status: link to {}: {state}{flapping}", neighbour.name);
    }
}

/// The status in a few words, for those who see nothing but them.
pub fn summary(member: &Member, connections_open: u32) -> String {
    let clients = member.read(|node| node.store().len());
    let links: Vec<bool> = neighbours::linked(member).map(|(_, _, link)| link.is_up()).collect();
    let links_up = links.iter().filter(|&&is_up| is_up).count();
    let failure = member.wal().and_then(|wal| wal.failure());
    let journal = failure.map_or_else(String::new, |why| format!("; the journal: reports {why}"));
    format!(
        "clients known: {clients}, connected: {connections_open}; links up: {links_up} of {}{journal}",
        links.len()
    )
}

/// Warns of clients whose stored time is so far in the future that their reports are outdated until then.
pub fn warn_of_times_ahead(member: &Member, now: Moment) {
    let lead = member.me.clock_lead_max.unwrap_or(CLOCK_LEAD_SUGGESTED);
    let ahead = member.read(|node| {
        let mut clients = node.store().clients_after(now.after(lead));
        clients.next().map(|first| (first.to_vec(), clients.count()))
    });
    if let Some((client, others)) = ahead {
        log::warn!(
            "clients known with times from the future: {}, such as {}; their true reports are outdated until then: \
             set max_clock_lead in the herd file, or use `proxyherd forget`",
            others + 1,
            Escaped(&client)
        );
    }
}
