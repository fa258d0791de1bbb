//! How the server's threads may come between each other: its own code on a model of locks, channels and sockets, in
//! thousands of schedules, each with other turns.
//!
//! Every scenario ends by itself unless a thread waits for ever. `PROXYHERD_SCHEDULES` says how many schedules each
//! has. That they find mistakes is shown by `tests/mutants`.

mod group_commit;
pub(crate) mod model;
mod neighbour;
mod scenarios;
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

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

/// A scenario that is not over after this number of steps goes round in circles.
const STEPS_MAX: usize = 100_000;

/// The deepest calls, those into a server that starts, need half of it.
const STACK_BYTES: usize = 256 * 1024;

/// Something that happens between threads, and what must be true at its end.
type Scenario = fn(&Stage);

/// Runs a scenario in `schedules` schedules: half of them with turns at random, and half by priorities.
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

#[expect(clippy::print_stdout, reason = "figures for those who ask for them with --nocapture")]
fn try_all_schedules_of(name: &str) {
    let schedules = std::env::var(SCHEDULES_VARIABLE).map_or(SCHEDULES, |count| count.parse().unwrap());
    let scenario = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
    let (tried, start) = (Arc::default(), clock::instant());
    run(scenario, schedules, &tried);
    let (count, seconds) = (tried.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    println!("{name}: {count} schedules in {seconds:.1} s, {:.0} a second", count as f64 / seconds);
    assert_eq!(count, schedules);
}

#[test]
fn changes_are_sent_once_and_at_once() {
    try_all_schedules_of("changes");
}

#[test]
fn slow_neighbour_keeps_no_client_waiting() {
    try_all_schedules_of("slow");
}

#[test]
fn legacy_neighbour_is_sent_changes_once_and_at_once() {
    try_all_schedules_of("legacy");
}

#[test]
fn stop_is_never_missed_and_loses_nothing_acknowledged() {
    try_all_schedules_of("stop");
}

#[test]
fn stop_ends_a_link_that_is_not_answered() {
    try_all_schedules_of("unanswered");
}

#[test]
fn neighbour_that_hangs_up_is_sent_the_rest_when_it_is_back() {
    try_all_schedules_of("hang-up");
}

#[test]
fn neighbour_that_hangs_up_at_rest_is_dialled_again() {
    try_all_schedules_of("hang-up at rest");
}

#[test]
fn cut_ends_every_read_write_and_pause() {
    try_all_schedules_of("streams");
}

#[test]
fn one_conversation_of_a_neighbour_stays() {
    try_all_schedules_of("peers");
}

#[test]
fn servers_pass_on_changes_once_and_stop_together() {
    try_all_schedules_of("herd");
}

#[test]
fn acknowledged_reports_are_durable_and_every_commit_ends() {
    try_all_schedules_of("commits");
}

#[test]
fn acknowledged_reports_in_lanes_are_durable_and_every_commit_ends() {
    try_all_schedules_of("commits in lanes");
}
