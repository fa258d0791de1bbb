//! Herds from seeds, with everything going wrong that can, must come to agree.
//!
//! A seed that fails is named with the command that replays it alone.

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::sim::check::{Converged, Divergence};
use crate::sim::faults::{FaultMix, Schedule};
use crate::sim::graph::Graph;
use crate::sim::{Crash, Durability, EPOCH_NS, Options, World};

/// The largest herd that is tried under faults. Larger ones, without faults, are measured in `bench`.
const LARGE_HERD: usize = 200;

/// The seeds of a full run. That it finds mistakes, and each within 200 of them, is shown by `tests/mutants`.
const SEEDS: u64 = 10_000;

/// Those of a run in which changes are sent at once.
const SEEDS_AT_ONCE: u64 = 3_000;

/// Hours that the herds of a full run live through, most of them in the partitions that last for a day.
const HOURS: u64 = 1_000;

/// The herd must agree within this time after everything works again. In heartbeats, silence may take four to be
/// noticed at the end of a stall, a hang-up is learned of up to three late, an answer waited for two, and a connection
/// to a slow server is made in two.
const SETTLE: Duration = Duration::from_secs(20);

/// Names one seed to be run alone.
const SEED_VARIABLE: &str = "PROXYHERD_SIM_SEED";

/// Says which seeds to run, as in `10000..90000`, for those who have more time: see `scripts/soak.sh`.
const SEEDS_VARIABLE: &str = "PROXYHERD_SIM_SEEDS";

/// Names the kinds of [`Divergence`] that are looked for, as in `Differs Repaired`, where a mutant must lead to one of
/// them: seeds with another one are passed over. See `scripts/mutants.sh`.
const KINDS_VARIABLE: &str = "PROXYHERD_SIM_FIND";

#[test]
fn ten_thousand_herds_converge() {
    let given = |variable| std::env::var(variable).ok();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let seeds = match (given(SEED_VARIABLE), given(SEEDS_VARIABLE)) {
        (Some(seed), _) => number(&seed)..number(&seed) + 1,
        (None, Some(seeds)) => {
            let (first, end) = seeds.split_once("..").unwrap_or(("0", &seeds));
            number(first)..number(end)
        }
        (None, None) => 0..SEEDS,
    };
    let hours = all_converge(seeds.clone(), false);
    assert!(hours >= HOURS || seeds.end - seeds.start < SEEDS, "only {hours} hours were lived through");
}

#[test]
fn herds_in_which_changes_are_sent_at_once_converge() {
    all_converge(0..SEEDS_AT_ONCE, true);
}

/// Runs these seeds, and returns how many hours their herds have lived through.
fn all_converge(seeds: Range<u64>, at_once: bool) -> u64 {
    let (next, lived_ns) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match live(seed, at_once) {
                        Ok(life) => lived_ns.fetch_add(life.lived_ns, Ordering::Relaxed),
                        Err(wrong) if !is_looked_for(&wrong) => 0,
                        Err(wrong) => panic!(
                            "seed {seed}: {wrong}\nto replay it: {SEED_VARIABLE}={seed} cargo test --lib convergence"
                        ),
                    };
                }
            });
        }
    });
    let hours = lived_ns.into_inner() / 3_600_000_000_000;
    let _ =
        writeln!(std::io::stderr(), "herds of the seeds {seeds:?} lived through {hours} hours and agreed");
    hours
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..40 {
        assert_eq!(live(seed, false), live(seed, false), "seed {seed}");
    }
    assert_ne!(live(1, false).map(|life| life.trace), live(2, false).map(|life| life.trace));
}

#[test]
fn an_update_costs_one_message_each_way_over_every_eager_link_less_one_per_other_server() {
    let mut rng = fastrand::Rng::with_seed(1);
    let graphs = [
        (Graph::default_herd(), 6),
        (Graph::herd_of_2022(), 8),
        (Graph::chain(2), 1),
        (Graph::chain(30), 29),
        (Graph::ring(9), 10),
        (Graph::star(50), 49),
        (Graph::mesh(8), 49),
        (Graph::connected(LARGE_HERD, 0, &mut rng), 199),
    ];
    for (graph, messages) in graphs {
        let servers = graph.names().len();
        assert_eq!(graph.messages_per_update(), messages);
        let mut world = World::new(7, graph, Options { has_tree: false, ..Options::default() });
        world.settle(SETTLE).unwrap();
        for time in 1..=5 {
            let before = world.messages();
            one_update(&mut world, time as usize % servers, time).unwrap();
            assert_eq!(world.messages() - before, messages);
        }
    }
}

#[test]
fn a_herd_that_does_not_catch_up_still_hears_what_changes_while_it_is_connected() {
    let mut world = World::new(3, Graph::chain(3), Options { catch_up: false, ..Options::default() });
    world.settle(SETTLE).unwrap();
    world.report(0, b"IAMAT before +1+1 100\n");
    world.settle(SETTLE).unwrap();
    world.cut(1);
    world.report(0, b"IAMAT meanwhile +1+1 100\n");
    world.run_for(Duration::from_secs(5));
    world.heal_all();
    world.settle(SETTLE).unwrap();
    world.report(0, b"IAMAT after +1+1 100\n");
    world.settle(SETTLE).unwrap();
    let known = ["before", "meanwhile", "after"].map(|client| world.line_of(2, client).is_some());
    assert_eq!(known, [true, false, true]);
}

#[test]
fn a_link_that_comes_back_carries_only_what_changed_meanwhile() {
    let mut world = World::new(5, Graph::chain(2), Options::default());
    world.settle(SETTLE).unwrap();
    for client in 0..500 {
        world.report(0, format!("IAMAT client-{client} +1+1 100\n").as_bytes());
    }
    world.settle(SETTLE).unwrap();
    world.cut(0);
    world.run_for(Duration::from_secs(1));
    for client in 0..10 {
        world.report(0, format!("IAMAT client-{client} +2+2 200\n").as_bytes());
    }
    let before = world.messages();
    world.heal_all();
    world.settle(SETTLE).unwrap();
    assert_eq!(world.messages() - before, 10);
}

#[test]
fn servers_that_have_drifted_apart_find_out_and_agree_again() {
    for seed in 0..20 {
        let mut world = World::new(seed, Graph::default_herd(), Options::default());
        world.settle(SETTLE).unwrap();
        for client in 0..50 {
            world.report(client % 5, format!("IAMAT client-{client} +1+1 100\n").as_bytes());
        }
        world.settle(SETTLE).unwrap();
        world.drift(seed as usize % 5, "AT Alford +0.5 client-7 +2+2 200\n");
        world.settle(SETTLE).unwrap();
        assert!(world.repairs() > 0);
        assert!((0..5).all(|server| world.line_of(server, "client-7").unwrap().ends_with(b" +2+2 200\n")));
    }
}

/// Whether it is of a kind that is looked for: any is, unless kinds are named.
fn is_looked_for(wrong: &Divergence) -> bool {
    let kinds = std::env::var(KINDS_VARIABLE).unwrap_or_default();
    let wrong = format!("{wrong:?}");
    let kind = wrong.split(['(', ' ']).next().unwrap();
    kinds.is_empty() || kinds.split(' ').any(|looked_for| looked_for == kind)
}

/// What became of a herd.
#[derive(Debug, PartialEq)]
struct Life {
    converged: Converged,
    lived_ns: u64,
    trace: u64,
}

/// The whole life of a herd: faults and reports, repair, agreement, and an update in the quiet after it.
fn live(seed: u64, at_once: bool) -> Result<Life, Divergence> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let servers_max = if rng.u16(..1_000) == 0 { LARGE_HERD } else { 8 };
    let graph = Graph::any(servers_max, &mut rng);
    let catch_up = rng.u8(..8) > 0;
    let durability = match rng.u8(..8) {
        0 => Durability::None,
        1..4 => Durability::Os,
        _ => Durability::Sync,
    };
    let options = Options { catch_up, durability, at_once, ..Options::default() };
    let mut world = World::new(seed, graph, options);
    let faults = if rng.u8(..5) == 0 { 0 } else { rng.usize(1..12) };
    if faults == 0 {
        world.settle(SETTLE)?;
    }
    if faults > 0 && catch_up && rng.u8(..5) == 0 {
        learn_again(&mut world, &mut rng)?;
    }
    let span_ms = match rng.u8(..200) {
        0..4 => 2 * 24 * 3_600_000,
        4..14 => 240_000,
        other => [50, 500, 5_000][usize::from(other) % 3],
    };
    let large = if rng.u8(..4) == 0 { 3 } else { 1 };
    let (clients, reports) = (large * rng.usize(1..100), large * rng.usize(1..200));
    let swizzle = faults > 0 && rng.u8(..10) == 0;
    let mix =
        FaultMix { span_ms, clients, reports, faults, forgets: 0, points: 0, swizzle, is_steady: false };
    Schedule::random(&world, mix, &mut rng).play(&mut world);
    world.heal_all();
    let mut converged = world.settle(SETTLE)?;
    if catch_up && rng.u8(..20) == 0 {
        converged = drift(&mut world, &mut rng)?;
    }
    for time in 1..=2 {
        let servers = world.graph().names().len();
        one_update(&mut world, rng.usize(..servers), time)?;
    }
    Ok(Life { converged, lived_ns: world.now_ns(), trace: world.trace() })
}

/// A server loses all that it knew, and is killed while neighbours tell it that again, with more than one walk is for.
fn learn_again(world: &mut World, rng: &mut fastrand::Rng) -> Result<Converged, Divergence> {
    world.settle(SETTLE)?;
    let servers = world.graph().names().len();
    let time = EPOCH_NS / 1_000_000_000;
    for client in 0..rng.u32(65..150) {
        world.report(rng.usize(..servers), format!("IAMAT old-{client}.example +1+1 {time}\n").as_bytes());
    }
    world.settle(SETTLE)?;
    // One that no third server tells the same.
    let links = world.graph().links();
    let degree = |&server: &usize| links.iter().filter(|&&(a, b)| a == server || b == server).count();
    let server = (0..servers).min_by_key(degree).unwrap();
    world.crash(server, Crash::DiskLost);
    world.restart(server);
    world.crash_in_commit(server);
    world.run_for(Duration::from_secs(1));
    world.heal_all();
    world.settle(SETTLE)
}

/// A server of a herd at rest comes to know something that no client has reported.
fn drift(world: &mut World, rng: &mut fastrand::Rng) -> Result<Converged, Divergence> {
    let time = EPOCH_NS / 1_000_000_000;
    world.report(0, format!("IAMAT drift.example +1+1 {time}\n").as_bytes());
    world.settle(SETTLE)?;
    let servers = world.graph().names().len();
    world.drift(rng.usize(..servers), &format!("AT Alford +0.5 drift.example +2+2 {}\n", time + 1));
    world.settle(SETTLE)
}

/// A client that only this function reports, so that in a herd at rest it is news everywhere.
fn one_update(world: &mut World, server: usize, time: u64) -> Result<(), Divergence> {
    let line = format!("IAMAT quiet.example +34.068930-118.445127 {}.{time:09}\n", EPOCH_NS / 1_000_000_000);
    let reply = world.report(server, line.as_bytes());
    world.settle(SETTLE)?;
    let (count, bound) = (world.messages_of(&reply), world.graph().messages_per_update());
    let least = world.graph().names().len() as u64 - 1;
    if (least..=bound).contains(&count) { Ok(()) } else { Err(Divergence::Messages { count, bound }) }
}
