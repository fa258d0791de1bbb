//! What an update costs all servers of a herd: processor time, context switches, messages to neighbours.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::results::Figures;
use super::server::Servers;
use super::variant::Variant;
use crate::load::process::{Process, Switches};
use crate::load::{self, Options};

/// How often servers must log what they have counted, for [`told`].
pub(super) const STATUS_EVERY: [&str; 2] = ["--status-every", "1s"];

/// Until each has done so after the last update.
const STATUS_WAIT: Duration = Duration::from_millis(1_300);

/// What an update costs all servers when so many come a second, each of another client.
pub(super) fn paced(
    servers: &Servers,
    variant: &Variant,
    window: Duration,
    rate: f64,
) -> io::Result<Figures> {
    let options =
        Options { rate: Some(rate), clients: 1_000, ..paced_load(servers, variant, window, "paced", rate) };
    let switches = || servers.pids().into_iter().map(|pid| Switches::look(pid).all()).sum::<u64>();
    let (cpu, switched) = (cpu_seconds(servers)?, switches());
    let outcome = load::run(&options).map_err(io::Error::other)?;
    let (cpu, switched) = (cpu_seconds(servers)? - cpu, switches() - switched);
    let updates = (outcome.replies as f64).max(1.0);
    Ok(Figures::from([
        (format!("paced{rate}_cpu_us_per_update"), cpu * 1e6 / updates),
        (format!("paced{rate}_switches_per_update"), switched as f64 / updates),
    ]))
}

/// So many reports a second at the first server, over ten connections. No two loads of one herd may share a name.
pub(super) fn paced_load(
    servers: &Servers,
    variant: &Variant,
    duration: Duration,
    name: &str,
    rate: f64,
) -> Options {
    Options {
        rate: Some(rate),
        connections: 10,
        clients: 100,
        name: format!("{name}{rate}"),
        warm_up: Duration::ZERO,
        duration,
        ..servers.options(0, variant)
    }
}

/// The processor time that all servers have used so far.
pub(super) fn cpu_seconds(servers: &Servers) -> io::Result<f64> {
    let look = |pid: &u32| Process::look(*pid).map(|process| process.cpu_seconds);
    let sum = servers.pids().iter().map(look).sum::<Option<f64>>();
    sum.ok_or_else(|| io::Error::other("one of the servers has ended"))
}

/// The `AT` lines that servers have told each other so far, and the updates that the first of them has applied, once
/// nothing is under way any more.
pub(super) fn told(servers: &Servers) -> io::Result<(u64, u64)> {
    std::thread::sleep(STATUS_WAIT);
    let counts: Vec<_> = servers.logged("status: clients=").iter().map(|line| counters(line)).collect();
    let lines = counts.iter().map(|counts| counts.get("linklines").copied()).sum::<Option<u64>>();
    let applied = counts.first().and_then(|first| first.get("applied").copied());
    lines.zip(applied).ok_or_else(|| io::Error::other("a server has not logged what it has counted"))
}

/// `stopped: name=number ...`, whatever the style of the names.
pub(super) fn counters(line: &str) -> BTreeMap<String, u64> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs
        .filter_map(|(name, count)| Some((name.replace('_', "").to_lowercase(), count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_in_either_style() {
        let ours = counters("Alford: stopped: client_lines=7 peer_lines=3 link_bytes=250");
        let theirs = counters("stopped: ClientLines=7 PeerLines=3 LinkBytes=250");
        assert_eq!(ours, theirs);
        assert_eq!(ours["peerlines"], 3);
    }
}
