//! The status line: what the member knows, how each link is, and all that is counted.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::Member;
use crate::os::sync::Receiver;

/// Reports the status every so often, until a stop is asked for.
pub fn report_every(
    member: &Member,
    connections_open: impl Fn() -> u32,
    every: Duration,
    stop: &Receiver<()>,
) {
    while stop.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        report(member, connections_open());
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
    if let Some(wal) = member.wal() {
        let (bytes, files) = wal.size();
        let how = wal.failure().map_or_else(|| "durable".to_owned(), |why| format!("nothing {why}"));
        let behind = last_seq.saturating_sub(wal.durable_seq());
        log::info!("status: journal: {how}, {behind} changes not yet, {} KiB in {files} files", bytes >> 10);
    }
    for (neighbour, link) in member.me.neighbours.iter().zip(&member.links) {
        log::info!("status: link to {}: {}", neighbour.name, link.status(last_seq));
    }
}
