//! How the server's threads may come between each other: its own code on a model of locks, channels and sockets, in
//! thousands of schedules, each with other turns.
//!
//! Every scenario ends by itself if nobody waits for ever. `PROXYHERD_SCHEDULES` says how many schedules each has.

mod committing;
pub(super) mod model;
mod neighbour;
mod scenarios;
mod stage;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

use super::slips::Slip;
use crate::os::clock;
use scenarios::SCENARIOS;
use stage::Stage;

/// How many schedules of each scenario are tried.
const SCHEDULES: u64 = 10_000;

/// Instead of them.
const SCHEDULES_VARIABLE: &str = "PROXYHERD_SCHEDULES";

/// Turns at which a schedule of the second kind departs from the order of priorities that it begins with. Nearly all
/// known bugs need one or two.
const DEPARTURES: usize = 3;

/// A scenario that is not over after so many steps goes round in circles.
const STEPS_MAX: usize = 100_000;

/// The deepest calls, those into a server that starts, need half of it.
const STACK_BYTES: usize = 256 * 1024;

thread_local! {
    static PLANTED: Cell<Option<Slip>> = const { Cell::new(None) };
}

/// The slip that a test has planted in what it runs.
pub(super) fn planted() -> Option<Slip> {
    PLANTED.get()
}

/// Something that happens between threads, and what must be true at its end.
type Scenario = fn(&Stage);

/// Runs a scenario in so many schedules: half of them with turns at random, and half by priorities.
fn run(scenario: Scenario, schedules: u64, tried: &Arc<AtomicU64>) {
    let half = (schedules / 2) as usize;
    run_by(RandomScheduler::new_from_seed(1, half), scenario, tried);
    run_by(PctScheduler::new_from_seed(2, DEPARTURES, half), scenario, tried);
}

fn run_by(scheduler: impl Scheduler + 'static, scenario: Scenario, tried: &Arc<AtomicU64>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let (stage, tried) = (Stage::new(), Arc::clone(tried));
    Runner::new(scheduler, config).run(move || {
        tried.fetch_add(1, Ordering::Relaxed);
        model::restart();
        scenario(&stage);
    });
}

#[expect(clippy::print_stdout, reason = "figures for whoever asks for them with --nocapture")]
fn try_all_schedules_of(name: &str) {
    let schedules = std::env::var(SCHEDULES_VARIABLE).map_or(SCHEDULES, |count| count.parse().unwrap());
    let scenario = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
    let (tried, start) = (Arc::default(), clock::instant());
    run(scenario, schedules, &tried);
    let (count, seconds) = (tried.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    println!("{name}: {count} schedules in {seconds:.1} s, {:.0} a second", count as f64 / seconds);
    assert_eq!(count, schedules);
}

/// Tries schedules of a scenario until one fails with this slip in it, and returns how many that took.
fn schedules_until_found(slip: Slip, scenario: Scenario) -> Option<u64> {
    PLANTED.set(Some(slip));
    let tried = Arc::default();
    let found = catch_unwind(AssertUnwindSafe(|| run(scenario, SCHEDULES, &tried))).is_err();
    PLANTED.set(None);
    found.then(|| tried.load(Ordering::Relaxed))
}

#[test]
fn news_is_told_once_and_at_once() {
    try_all_schedules_of("news");
}

#[test]
fn a_classic_neighbour_is_told_news_once_and_at_once() {
    try_all_schedules_of("classic");
}

#[test]
fn a_stop_is_never_missed_and_nothing_acknowledged_is_lost_by_it() {
    try_all_schedules_of("stop");
}

#[test]
fn a_stop_ends_a_link_that_is_not_answered() {
    try_all_schedules_of("silent");
}

#[test]
fn a_neighbour_that_hangs_up_is_told_the_rest_when_it_is_back() {
    try_all_schedules_of("hang-up");
}

#[test]
fn nobody_reads_or_writes_or_pauses_after_the_cut() {
    try_all_schedules_of("sockets");
}

#[test]
fn one_connection_of_a_neighbour_stays() {
    try_all_schedules_of("callers");
}

#[test]
fn servers_pass_on_news_once_and_stop_together() {
    try_all_schedules_of("herd");
}

#[test]
fn what_is_acknowledged_is_kept_and_nobody_waits_for_ever_to_be_told() {
    try_all_schedules_of("commits");
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for whoever asks for them with --nocapture")]
fn every_slip_is_found() {
    let mut missed = Vec::new();
    for (slip, name) in [
        (Slip::MarkTakenOffLate, "news"),
        (Slip::RungBeforeMerge, "news"),
        (Slip::RungBeforeMerge, "classic"),
        (Slip::StopRungFirst, "classic"),
        (Slip::LocksReversed, "news"),
        (Slip::StopRungFirst, "stop"),
        (Slip::LastAckUnheard, "stop"),
        (Slip::DialUnregistered, "silent"),
        (Slip::HangUpRungFirst, "hang-up"),
        (Slip::RegisteredBlindly, "sockets"),
        (Slip::ClosedUnsaid, "sockets"),
        (Slip::CallersLookedUpApart, "callers"),
        (Slip::NewerForgotten, "callers"),
        (Slip::WritingNotPassedOn, "commits"),
        (Slip::KeptBeforeWritten, "commits"),
        (Slip::SnapshotBeforeCommit, "commits"),
    ] {
        let scenario = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
        let found = schedules_until_found(slip, scenario);
        println!("{slip:?}: {found:?} schedules of {name}");
        missed.extend(found.is_none().then_some(slip));
    }
    assert_eq!(missed, [], "not found in {SCHEDULES} schedules each");
}
