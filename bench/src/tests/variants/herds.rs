//! Herds of five: everybody hears of everything, and a server that was killed is told what it missed.

use crate::kinds::{CURRENT, CURRENT_TWO, Kind, LOOP, TEXTBOOK, THREADS, TUNED, TWO_LOOPS};
use crate::processes::{FIVE, Processes};
use crate::talk::{Talk, eventually};

/// More than one batch of a link, so that a server that comes back is told in several.
const CLIENTS: usize = 3_000;

#[test]
fn herd_of_tokio() {
    floods_and_catches_up([TUNED; 5]);
}

#[test]
fn herd_of_textbook_tokio() {
    floods_and_catches_up([TEXTBOOK; 5]);
}

#[test]
fn herd_of_tokio_on_a_thread_each() {
    floods_and_catches_up([CURRENT; 5]);
}

#[test]
fn herd_of_tokio_on_two_threads_each() {
    floods_and_catches_up([CURRENT_TWO; 5]);
}

#[test]
fn herd_of_epoll() {
    floods_and_catches_up([LOOP; 5]);
}

#[test]
fn herd_of_epoll_on_two_threads_each() {
    floods_and_catches_up([TWO_LOOPS; 5]);
}

#[test]
fn herd_of_all_kinds_around_threads() {
    floods_and_catches_up([LOOP, TUNED, TEXTBOOK, THREADS, TWO_LOOPS]);
}

#[test]
fn herd_of_all_kinds_around_tokio() {
    floods_and_catches_up([THREADS, LOOP, CURRENT, TUNED, THREADS]);
}

#[test]
fn herd_of_all_kinds_around_epoll() {
    floods_and_catches_up([TUNED, THREADS, THREADS, LOOP, CURRENT]);
}

fn floods_and_catches_up(kinds: [Kind; 5]) {
    let mut herd = Processes::five(kinds);
    for name in FIVE {
        let line = herd.client(name).ask(&format!("IAMAT of-{name} +34.068930-118.445127 1621464827.5"));
        assert!(line.starts_with(&format!("AT {name} ")), "{line}");
        FIVE.iter().for_each(|other| wait_for(&herd, other, &format!("of-{name}"), &line));
    }

    // Parker is the only link to Hamilton.
    herd.kill("Parker");
    let last = report_many(&mut herd.client("Alford"), "missed");
    let lonely = herd.client("Hamilton").ask("IAMAT lonely +1+1 5");
    wait_for(&herd, "Bolden", &format!("missed-{}", CLIENTS - 1), &last);
    assert_eq!(herd.client("Bolden").ask("WHATSAT lonely 1 1"), "? WHATSAT lonely 1 1");
    herd.start("Parker");
    for name in FIVE {
        wait_for(&herd, name, &format!("missed-{}", CLIENTS - 1), &last);
        wait_for(&herd, name, "lonely", &lonely);
        wait_for(&herd, name, "of-Parker", &answer(&herd, "Alford", "of-Parker"));
    }

    let last = report_many(&mut herd.client("Hamilton"), "after");
    FIVE.iter().for_each(|name| wait_for(&herd, name, &format!("after-{}", CLIENTS - 1), &last));
    for name in FIVE {
        assert_eq!(herd.terminate(name), Some(0), "{name}");
    }
}

/// Reports the places of many clients at once; returns the last reply.
fn report_many(talk: &mut Talk, client: &str) -> String {
    let lines: String =
        (0..CLIENTS).map(|number| format!("IAMAT {client}-{number} +34-118 1621464827.{number}\n")).collect();
    talk.send(lines);
    (0..CLIENTS).map(|_| talk.line()).last().unwrap()
}

/// Waits until a server's answer about a client is this `AT` line.
fn wait_for(herd: &Processes, server: &str, client: &str, line: &str) {
    eventually(&format!("{line} at {server}"), || (answer(herd, server, client) == line).then_some(()));
}

fn answer(herd: &Processes, server: &str, client: &str) -> String {
    herd.client(server).ask(&format!("WHATSAT {client} 10 1"))
}
