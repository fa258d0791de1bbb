//! Aims 4 and 5: herds in other languages while every request floods, and Redis.

use std::io;

use super::super::address::SEED;
use super::super::bench::{Bench, how};
use super::super::contest::{Contest, load_of};
use super::super::herd::{Flood, flood};
use super::super::propagation::wait_until_linked;
use super::super::results::{Figures, Record, point};
use super::super::server::Start;
use super::super::turns::take_turns;
use super::super::variant::Variant;
use super::card::{Card, Finding};
use super::paired::ratio;
use super::verdict::Aim;
use super::{entrants, place};
use crate::load::Options;

/// The other herds; how many times their updates a second are aimed at with single requests, and with 64 at once.
const HERDS: [(&str, [f64; 2]); 3] =
    [("twisted", [8.0, 20.0]), ("asyncio", [8.0, 20.0]), ("node", [3.0, 20.0])];

/// Fifty connections to one of five servers. No client reports twice, so that every report reaches every server.
const FLOODS: [Flood; 2] = [
    Flood { name: "flood1", connections: 50, depth: 1, clients_per_second: 20_000, may_overtake: false },
    Flood { name: "flood64", connections: 50, depth: 64, clients_per_second: 40_000, may_overtake: false },
];

/// Pipeline depths, and what part of Redis's processor time for a request is aimed at in each.
const BESIDE_REDIS: [(u32, f64); 3] = [(1, 0.8), (16, 0.4), (64, 0.25)];

/// Connections to each.
const CONNECTIONS: u32 = 50;

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    if bench.wants_aim(&[4]) {
        herds(bench, card)?;
    }
    if bench.wants_aim(&[5]) {
        for (depth, most) in bench.either(vec![BESIDE_REDIS[0]], BESIDE_REDIS.to_vec()) {
            redis(bench, card, depth, most)?;
        }
    }
    Ok(())
}

fn herds(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    let names = ["threads"].into_iter().chain(HERDS.map(|(name, _)| name));
    let variants: Vec<Variant> = names.filter_map(|name| bench.variant(name)).collect();
    for (at, one) in FLOODS.into_iter().enumerate() {
        let (rounds, window) = (bench.rounds(1, 5), bench.window());
        let to = point(&[
            ("kind", "herds".to_owned()),
            ("graph", SEED.name.to_owned()),
            ("depth", one.depth.to_string()),
            ("connections", one.connections.to_string()),
        ]);
        let records = take_turns(bench, &to, &how(rounds, window), rounds, &variants, |bench, variant| {
            measure(bench, variant, one).map_err(|error| error.to_string())
        })?;
        for (name, aims) in HERDS {
            compare(card, &records, name, one, aims[at]);
        }
    }
    Ok(())
}

fn measure(bench: &Bench<'_>, variant: &Variant, one: Flood) -> io::Result<Figures> {
    let servers =
        bench.start(variant, Start { shape: SEED, extra: &[], cpu: None }).map_err(io::Error::other)?;
    wait_until_linked(&servers, "first")?;
    let figures = flood(&servers, variant, bench.window(), one)?;
    servers.stop().map_err(io::Error::other)?;
    Ok(figures)
}

fn compare(card: &mut Card, records: &[Record], name: &str, one: Flood, times: f64) {
    let place = format!("{name}, {}", place(one.depth, one.connections));
    for (what, figure, aim) in [
        ("updates a second, of the other herd's", "per_second", Aim::AtLeast(times)),
        ("processor time for an update, of the other herd's", "cpu_us_per_update", Aim::AtMost(0.1)),
    ] {
        let seen = ratio(records, "threads", name, figure);
        card.add(Finding { number: 4, what, place: place.clone(), aim, unit: "", seen });
    }
}

fn redis(bench: &mut Bench<'_>, card: &mut Card, depth: u32, most: f64) -> io::Result<()> {
    let contest = Contest {
        point: point(&[
            ("kind", "redis".to_owned()),
            ("depth", depth.to_string()),
            ("connections", CONNECTIONS.to_string()),
        ]),
        rounds: bench.rounds(1, 5),
        load: Options { depth, ..load_of(CONNECTIONS, bench.window()) },
        pinned: false,
        fresh: false,
    };
    let field = entrants(bench, &["threads", "redis"]);
    let records = contest.hold(bench, field)?;
    card.add(Finding {
        number: 5,
        what: "processor time for IAMAT, of Redis's for GEOADD",
        place: place(depth, CONNECTIONS),
        aim: Aim::AtMost(most),
        unit: "",
        seen: ratio(&records, "threads", "redis", "server_cpu_us"),
    });
    Ok(())
}
