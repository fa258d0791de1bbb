//! Aims 1 and 3: replies a second beside the raw echo, which is the limit of the style, and beside tokio.

use std::io;

use super::super::bench::Bench;
use super::super::contest::{Contest, Entrant, load_of};
use super::super::results::point;
use super::super::variant::Variant;
use super::card::{Card, Finding};
use super::class::Class;
use super::paired::ratio;
use super::verdict::{Aim, Seen};
use super::{entrants, place};
use crate::load::Options;

/// Pipeline depths, and what part of the echo's rate is aimed at in each.
const DEPTHS: [(u32, f64); 3] = [(1, 0.95), (16, 0.80), (64, 0.70)];

const CONNECTIONS: [u32; 5] = [1, 16, 128, 1_000, 4_000];

/// Connections, and what part of tokio's rate is aimed at with as many.
const BESIDE_TOKIO: [(u32, f64); 3] = [(1, 1.0), (16, 1.0), (128, 0.95)];

/// Connections that are open, and how many of them send, as mobile clients are.
const OPEN: u32 = 10_000;
const ACTIVE: u32 = 100;

/// As many in the small form.
const OPEN_QUICK: u32 = 1_000;

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    for (depth, of_echo) in bench.either(vec![DEPTHS[0], DEPTHS[1]], DEPTHS.to_vec()) {
        for connections in bench.either(vec![16], CONNECTIONS.to_vec()) {
            busy(bench, card, depth, connections, of_echo)?;
        }
    }
    for (depth, _) in bench.either(vec![DEPTHS[0]], DEPTHS.to_vec()) {
        idle(bench, card, depth)?;
    }
    Ok(())
}

/// All connections send.
fn busy(
    bench: &mut Bench<'_>,
    card: &mut Card,
    depth: u32,
    connections: u32,
    of_echo: f64,
) -> io::Result<()> {
    let beside_tokio = BESIDE_TOKIO.iter().find(|(count, _)| *count == connections).map(|(_, aim)| *aim);
    let load = Options { depth, ..load_of(connections, bench.window()) };
    let mut field = entrants(bench, &["threads"]);
    let no_echo = match echo(bench, &load) {
        Ok(echo) => {
            field.push(Entrant::plain(echo));
            None
        }
        Err(why) => Some(Seen::Nothing(why)),
    };
    if beside_tokio.is_some() {
        field.extend(entrants(bench, &["tokio"]));
    }
    let contest = Contest {
        point: point(&[
            ("kind", "busy".to_owned()),
            ("depth", depth.to_string()),
            ("connections", connections.to_string()),
        ]),
        rounds: bench.rounds(1, 5),
        load,
        pinned: false,
        fresh: false,
    };
    let records = contest.hold(bench, field)?;
    let finding = |number, what, aim, seen| Finding {
        number,
        what,
        place: place(depth, connections),
        aim: Aim::AtLeast(aim),
        unit: "",
        seen,
    };
    let beside = |other| ratio(&records, "threads", other, "per_second");
    card.add(finding(1, "rate, of the echo's", of_echo, no_echo.unwrap_or_else(|| beside("echo"))));
    if let Some(aim) = beside_tokio {
        card.add(finding(3, "rate, of tokio's", aim, beside("tokio")));
    }
    Ok(())
}

/// The echo, in the class that the server is in under this load.
fn echo(bench: &Bench<'_>, load: &Options) -> Result<Variant, String> {
    let [threads, echo] =
        ["threads", "echo"].map(|name| bench.variant(name).ok_or(format!("{name} is not there")));
    Class::of(bench, &threads?, load)?.holds(echo?)
}

/// Thousands are open, and a few send.
fn idle(bench: &mut Bench<'_>, card: &mut Card, depth: u32) -> io::Result<()> {
    let open = bench.either(OPEN_QUICK, OPEN);
    let contest = Contest {
        point: point(&[
            ("kind", "idle".to_owned()),
            ("depth", depth.to_string()),
            ("open", open.to_string()),
            ("active", ACTIVE.to_string()),
        ]),
        rounds: bench.rounds(1, 5),
        load: Options { active: Some(ACTIVE), depth, ..load_of(open, bench.window()) },
        pinned: false,
        fresh: false,
    };
    let field = entrants(bench, &["threads", "tokio"]);
    let records = contest.hold(bench, field)?;
    card.add(Finding {
        number: 3,
        what: "rate, of tokio's",
        place: format!("P={depth}, {ACTIVE} of {open} active"),
        aim: Aim::AtLeast(1.0),
        unit: "",
        seen: ratio(&records, "threads", "tokio", "per_second"),
    });
    Ok(())
}
