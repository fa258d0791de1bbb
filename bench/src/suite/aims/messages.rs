//! Aim 7: messages for an update where nothing is conflated, which is 2E-(N-1) on E links and N servers.

use std::io;
use std::time::Duration;

use super::super::address::{CHAIN, MESH, SEED, Shape};
use super::super::bench::{Bench, how};
use super::super::herd::counters;
use super::super::propagation::{propagate, wait_until_linked};
use super::super::results::{Figures, point};
use super::super::server::{Servers, Start};
use super::super::turns::take_turns;
use super::card::{Card, Finding};
use super::paired::figure;
use super::verdict::Aim;

/// Updates of a round, one after the other.
const UPDATES: usize = 100;

/// How often servers log what they have counted.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Until each has done so after the last update.
const STATUS_WAIT: Duration = Duration::from_millis(1_300);

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    for shape in bench.either(vec![SEED], vec![SEED, CHAIN, MESH]) {
        let to = point(&[("kind", "messages".to_owned()), ("graph", shape.name.to_owned())]);
        let threads: Vec<_> = bench.variant("threads").into_iter().collect();
        let rounds = bench.rounds(1, 3);
        let records =
            take_turns(bench, &to, &how(rounds, STATUS_EVERY), rounds, &threads, |bench, threads| {
                let every = format!("{}s", STATUS_EVERY.as_secs());
                let extra = ["--log-level", "info", "--status-every", &every].map(str::to_owned);
                let servers = bench.start(threads, Start { shape, extra: &extra, cpu: None })?;
                let figures = count(&servers).map_err(|error| error.to_string())?;
                servers.stop()?;
                Ok(figures)
            })?;
        card.add(Finding {
            number: 7,
            what: "messages for an update",
            place: shape.name.to_owned(),
            aim: Aim::Exactly(expected(shape)),
            unit: "",
            seen: figure(&records, "threads", "messages_per_update"),
        });
    }
    Ok(())
}

/// 2E-(N-1): a server tells all neighbours but the one that it has first heard from.
fn expected(shape: Shape) -> f64 {
    (2 * shape.links.len() + 1 - shape.servers) as f64
}

/// What has been told when the herd has come to rest, and then for each of some updates. What is told while links come
/// up is told in another way.
fn count(servers: &Servers) -> io::Result<Figures> {
    let members = servers.herd.members();
    wait_until_linked(servers, "first")?;
    let before = messages(servers)?;
    propagate(members[0].client, members[members.len() - 1].client, "update", UPDATES)?;
    // All have them by the time that all have this one, which is an update too.
    wait_until_linked(servers, "last")?;
    let told = messages(servers)? - before;
    Ok(Figures::from([("messages_per_update".to_owned(), told as f64 / (UPDATES + 1) as f64)]))
}

/// All that servers have told each other so far, once nothing is under way any more.
fn messages(servers: &Servers) -> io::Result<u64> {
    std::thread::sleep(STATUS_WAIT);
    let lines = servers.logged("status: clients=");
    let told = lines.iter().map(|line| counters(line).get("linklines").copied());
    told.sum::<Option<u64>>().ok_or_else(|| io::Error::other("a server has not logged what it has counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_needs_a_message_a_link() {
        assert_eq!(expected(CHAIN), 4.0);
        assert_eq!(expected(SEED), 6.0);
        assert_eq!(expected(MESH), 16.0);
    }
}
