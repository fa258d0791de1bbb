//! Aim 6: many connections. Are they alive, what do they cost, how fast do they come and go?

use std::io;

use super::super::bench::Bench;
use super::super::contest::{Contest, Entrant, load_of};
use super::super::results::{Figures, Record, point};
use super::card::{Card, Finding};
use super::entrants;
use super::paired::{figure, per_round, ratio};
use super::verdict::{Aim, Seen};
use crate::load::Options;

/// Live connections.
const LIVE: u32 = 16_000;

/// What the server is told to allow: the one that asked whether it is there may not have gone yet.
const ALLOWED: [&str; 2] = ["--connections-max", "16050"];

/// Addresses that they come from. Each closed connection keeps its port for a minute, and from few addresses a free one
/// would be long to find in the later rounds.
const SOURCES: u32 = 32;

/// A server of which a connection is a socket and nothing else.
const SOCKETS: &str = "echo-epoll";

/// Connections at once while they come and go.
const CHURN: [u32; 3] = [1, 16, 128];

/// Connections that come at one moment.
const STORM: u32 = 10_000;

/// As many live ones, and of a storm, in the small form.
const QUICK: u32 = 1_000;

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    live(bench, card)?;
    for connections in bench.either(vec![16], CHURN.to_vec()) {
        churn(bench, card, connections)?;
    }
    storm(bench, card)
}

/// All are open, answered once, and then kept busy. Each round has a server of its own.
fn live(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    let open = bench.either(QUICK, LIVE);
    let contest = Contest {
        point: point(&[("kind", "live".to_owned()), ("connections", open.to_string())]),
        rounds: bench.rounds(1, 5),
        load: Options { sources: Some(SOURCES), ..load_of(open, 2 * bench.window()) },
        pinned: false,
        fresh: true,
    };
    let variants = ["threads", SOCKETS].map(|name| bench.variant(name));
    let field = variants.iter().flatten().map(|it| Entrant::told(it, &it.name, &ALLOWED)).collect();
    let records = contest.hold(bench, field)?;
    let finding =
        |what, aim, unit, seen| Finding { number: 6, what, place: format!("C={open}"), aim, unit, seen };
    let answered = figure(&records, "threads", "connections_answered");
    card.add(finding("connections answered within the window", Aim::AtLeast(open.into()), "", answered));
    card.add(finding("memory above the socket's", Aim::AtMost(34.0), "KiB", memory(&records)));
    Ok(())
}

/// The server's own memory and the kernel's for one connection, without what the kernel has for both ends of one that
/// is only a socket.
fn memory(records: &[Record]) -> Seen {
    per_round(records, &["threads", SOCKETS], |rounds| {
        let kernel = |round: &Figures| round.get("kernel_bytes_per_connection").copied();
        let own = rounds[0].get("rss_bytes_per_connection")?;
        Some((own + kernel(rounds[0])? - kernel(rounds[1])?) / 1024.0)
    })
}

fn churn(bench: &mut Bench<'_>, card: &mut Card, connections: u32) -> io::Result<()> {
    let contest = Contest {
        point: point(&[("kind", "churn".to_owned()), ("connections", connections.to_string())]),
        rounds: bench.rounds(1, 5),
        load: Options { churn: true, ..load_of(connections, bench.window()) },
        pinned: false,
        fresh: false,
    };
    let field = entrants(bench, &["threads", "tokio"]);
    let records = contest.hold(bench, field)?;
    card.add(Finding {
        number: 6,
        what: "connections that come and go, of tokio's",
        place: format!("C={connections}"),
        aim: Aim::AtLeast(1.0),
        unit: "",
        seen: ratio(&records, "threads", "tokio", "per_second"),
    });
    Ok(())
}

/// Each round has a server of its own, for the threads that one storm leaves behind would serve the next.
fn storm(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    let connections = bench.either(QUICK, STORM);
    let contest = Contest {
        point: point(&[("kind", "storm".to_owned()), ("connections", connections.to_string())]),
        rounds: bench.rounds(1, 5),
        load: Options { storm: true, ..load_of(connections, bench.window()) },
        pinned: false,
        fresh: true,
    };
    let field = entrants(bench, &["threads", SOCKETS]);
    let records = contest.hold(bench, field)?;
    let place = format!("C={connections}");
    let finding = |what, aim, unit, seen| Finding { number: 6, what, place: place.clone(), aim, unit, seen };
    let took = figure(&records, "threads", "open_seconds");
    card.add(finding("storm, until all are answered", Aim::AtMost(0.25), "s", took));
    // What machine and generator take for it, whoever serves.
    let floor = figure(&records, SOCKETS, "open_seconds");
    card.add(finding("storm, the same of sockets alone", Aim::Stated, "s", floor));
    // The kernel counts an overflow as a drop too, but not on every version.
    let dropped = per_round(&records, &["threads"], |rounds| {
        Some(rounds[0].get("listen_overflows")?.max(*rounds[0].get("listen_drops")?))
    });
    card.add(finding("storm, SYNs dropped", Aim::Exactly(0.0), "SYNs", dropped));
    Ok(())
}
