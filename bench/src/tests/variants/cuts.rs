//! Herds of five whose links break, go dark and heal while clients report: nothing acknowledged is lost, and all
//! servers come to know the same.

use std::ops::Range;
use std::sync::mpsc::channel;
use std::thread;

use crate::kinds::{Kind, LOOP, TEXTBOOK, THREADS, TUNED, TWO_LOOPS};
use crate::processes::{FIVE, Processes};
use crate::relay::Relay;
use crate::reports::Acknowledged;
use crate::talk::WAIT;

/// Rounds of reports at each server while links are cut: some thousands of reports, in about a second.
const ROUNDS: u64 = 60;

/// Rounds before a link has been noticed to be dark, and again after that.
const DARK_ROUNDS: u64 = 5;

#[test]
fn herd_of_threads() {
    heals([THREADS; 5]);
}

#[test]
fn herd_of_tokio() {
    heals([TUNED; 5]);
}

#[test]
fn herd_of_textbook_tokio() {
    heals([TEXTBOOK; 5]);
}

#[test]
fn herd_of_epoll() {
    heals([LOOP; 5]);
}

#[test]
fn herd_of_all_kinds() {
    heals([TWO_LOOPS, TUNED, LOOP, THREADS, TEXTBOOK]);
}

/// A link in one direction: who dials whom, over what.
struct Wire {
    ends: (String, String),
    relay: Relay,
}

fn heals(kinds: [Kind; 5]) {
    let mut wires = Vec::new();
    let herd = Processes::five_over(kinds, |from, to, address| {
        let wire = Wire { ends: (from.to_owned(), to.to_owned()), relay: Relay::new(address) };
        let dialled = wire.relay.address;
        wires.push(wire);
        dialled
    });
    thread::scope(|scope| {
        let _relays_whatever_happens = EndOfAll(&wires);
        wires.iter().for_each(|wire| wire.relay.run(scope));
        heals_over(herd, &wires);
    });
}

fn heals_over(mut herd: Processes, wires: &[Wire]) {
    let reports = Acknowledged::default();
    // Parker and Hamilton are on their own, and then Hamilton alone.
    let first = || both_ways(wires, &[("Alford", "Parker"), ("Bolden", "Parker")]).for_each(Relay::cut);
    let second = || {
        both_ways(wires, &[("Hamilton", "Parker"), ("Alford", "Powell")]).for_each(Relay::cut);
        both_ways(wires, &[("Alford", "Parker")]).for_each(Relay::heal);
    };
    report_everywhere(&herd, &reports, 1..ROUNDS, &[&first, &second]);
    wires.iter().for_each(|wire| wire.relay.heal());
    reports.wait_until_known(&herd, &FIVE);

    wires.iter().for_each(|wire| wire.relay.wait_until_up());
    let dark = || both_ways(wires, &[("Hamilton", "Parker"), ("Bolden", "Powell")]);
    dark().for_each(Relay::darken);
    report_everywhere(&herd, &reports, ROUNDS..ROUNDS + DARK_ROUNDS, &[]);
    dark().for_each(Relay::wait_until_given_up);
    report_everywhere(&herd, &reports, ROUNDS + DARK_ROUNDS..ROUNDS + 2 * DARK_ROUNDS, &[]);
    dark().for_each(Relay::heal);
    reports.wait_until_known(&herd, &FIVE);

    // A server that stops has told what it acknowledged just before.
    reports.report(&herd, "Hamilton", ROUNDS + 2 * DARK_ROUNDS..ROUNDS + 3 * DARK_ROUNDS, &channel().0);
    assert_eq!(herd.terminate("Hamilton"), Some(0));
    let others = FIVE.iter().filter(|&&name| name != "Hamilton");
    reports.wait_until_known(&herd, &others.clone().copied().collect::<Vec<_>>());
    for name in others {
        assert_eq!(herd.terminate(name), Some(0), "{name}");
    }
    for name in ["Hamilton", "Parker", "Bolden", "Powell"] {
        let silent = ["links_timed_out", "peers_timed_out"].map(|counter| herd.counted(name, counter));
        assert!(silent.iter().all(|&count| count > 0), "{name} has noticed {silent:?} silences");
    }
}

/// The wires between these servers, of either direction.
fn both_ways<'a>(wires: &'a [Wire], links: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Relay> {
    let is_meant = |&(from, to): &(&str, &str)| {
        links.contains(&(from, to)) || links.contains(&(to, from)) //
    };
    wires
        .iter()
        .filter(move |wire| is_meant(&(wire.ends.0.as_str(), wire.ends.1.as_str())))
        .map(|wire| &wire.relay)
}

/// Lets clients report at all servers at once, and takes the steps when equal parts of the reports are acknowledged.
fn report_everywhere(herd: &Processes, reports: &Acknowledged, rounds: Range<u64>, steps: &[&dyn Fn()]) {
    let part = FIVE.len() * (rounds.end - rounds.start) as usize / (steps.len() + 1);
    let (marks, come) = channel();
    thread::scope(|scope| {
        for server in FIVE {
            let (rounds, marks) = (rounds.clone(), marks.clone());
            scope.spawn(move || reports.report(herd, server, rounds, &marks));
        }
        drop(marks);
        for step in steps {
            (0..part).for_each(|_| come.recv_timeout(WAIT).unwrap());
            step();
        }
    });
}

/// Ends the threads of all relays, for a scope waits for them.
struct EndOfAll<'a>(&'a [Wire]);

impl Drop for EndOfAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|wire| wire.relay.end());
    }
}
