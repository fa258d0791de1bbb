//! Herds from seeds, with everything going wrong that can, must come to agree.
//!
//! A seed that fails is named with the command that replays it alone.

use std::time::Duration;

use crate::sim::check::{Converged, Divergence};
use crate::sim::faults::{Measure, Plan};
use crate::sim::graph::Graph;
use crate::sim::{Bug, EPOCH_NS, Options, World};

/// The largest herd that is tried under faults. Larger ones, without faults, are measured in `bench`.
const LARGE_HERD: usize = 200;

/// The seeds of a full run, and those within which a planted bug must be found.
const SEEDS: u64 = 2_000;
const SEEDS_PER_BUG: u64 = 200;

/// The herd may take this long, of its own time, to come to rest: a hang-up may be learned of 3 s late.
const SETTLE: Duration = Duration::from_secs(60);

/// Names one seed to be run alone.
const SEED_VARIABLE: &str = "PROXYHERD_SIM_SEED";

/// Says how many seeds to run, for those who have more time.
const SEEDS_VARIABLE: &str = "PROXYHERD_SIM_SEEDS";

#[test]
fn two_thousand_herds_converge() {
    let given = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match given(SEED_VARIABLE) {
        Some(seed) => seed..seed + 1,
        None => 0..given(SEEDS_VARIABLE).unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(wrong) = live(seed, None) {
            panic!("seed {seed}: {wrong}\nto replay it: {SEED_VARIABLE}={seed} cargo test --lib convergence");
        }
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..40 {
        assert_eq!(live(seed, None), live(seed, None), "seed {seed}");
    }
    assert_ne!(live(1, None).map(|end| end.1), live(2, None).map(|end| end.1));
}

#[test]
fn planted_bugs_are_found() {
    type Expected = fn(&Divergence) -> bool;
    let bugs: [(Bug, Expected); _] = [
        (Bug::PositionBeforeWrite, |wrong| matches!(wrong, Divergence::Differs { .. })),
        (Bug::NoCatchUp, |wrong| matches!(wrong, Divergence::Differs { .. })),
        (Bug::ToldSentBack, |wrong| matches!(wrong, Divergence::Messages { .. })),
        (Bug::EpochKept, |wrong| matches!(wrong, Divergence::Differs { .. })),
        (Bug::FirstArrivalWins, |wrong| matches!(wrong, Divergence::Differs { .. })),
        (Bug::OneWalkPerErrand, |wrong| matches!(wrong, Divergence::Owing(..))),
        (Bug::OneLinePerRead, |wrong| matches!(wrong, Divergence::Differs { .. })),
        // Most halves of a line are refused; those cut in the time are believed.
        (Bug::CutLineBelieved, |wrong| matches!(wrong, Divergence::Refused(_) | Divergence::Forged(_))),
        (Bug::HangUpMissed, |wrong| matches!(wrong, Divergence::Owing(..))),
    ];
    for (bug, expected) in bugs {
        let mut found = (0..SEEDS_PER_BUG).filter_map(|seed| live(seed, Some(bug)).err());
        assert!(found.any(|wrong| expected(&wrong)), "{bug:?} was not found in {SEEDS_PER_BUG} seeds");
    }
}

#[test]
fn an_update_costs_one_message_each_way_over_every_link_less_one_per_other_server() {
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
        let mut world = World::new(7, graph, Options::default());
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

/// The whole life of a herd: faults and reports, repair, agreement, and an update in the quiet after it.
/// Also answers the trace of the run.
fn live(seed: u64, bug: Option<Bug>) -> Result<(Converged, u64), Divergence> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let servers_max = if rng.u8(..100) == 0 { LARGE_HERD } else { 12 };
    let graph = Graph::any(servers_max, &mut rng);
    let catch_up = rng.u8(..8) > 0;
    let mut world = World::new(seed, graph, Options { catch_up, bug });
    let faults = if rng.u8(..5) == 0 { 0 } else { rng.usize(1..12) };
    if faults == 0 {
        world.settle(SETTLE)?;
    }
    let span_ms = [50, 500, 5_000][rng.usize(..3)];
    let (clients, reports) = (rng.usize(1..100), rng.usize(1..200));
    let measure = Measure { span_ms, clients, reports, faults };
    let from_ns = world.now_ns();
    Plan::random(&world, from_ns, measure, &mut rng).play(&mut world);
    world.heal_all();
    let converged = world.settle(SETTLE)?;
    for time in 1..=2 {
        let servers = world.graph().names().len();
        one_update(&mut world, rng.usize(..servers), time)?;
    }
    Ok((converged, world.trace()))
}

/// A client that only this function reports, so that in a herd at rest it is news everywhere.
fn one_update(world: &mut World, server: usize, time: u64) -> Result<(), Divergence> {
    let line = format!("IAMAT quiet.example +34.068930-118.445127 {}.{time:09}\n", EPOCH_NS / 1_000_000_000);
    let reply = world.report(server, line.as_bytes());
    world.settle(SETTLE)?;
    let (count, bound) = (world.messages_of(&reply), world.graph().messages_per_update());
    if count == bound { Ok(()) } else { Err(Divergence::Messages { count, bound }) }
}
