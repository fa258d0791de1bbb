//! Servers that are killed, come back, or stop moving for a while.

use std::time::Duration;

use rustix::process::Signal;

use crate::real::{Connection, FIVE, RealHerd, ask, line, note, now};
use crate::transcripts::run::Talk as _;

/// What the herd must have agreed within, on any machine. The usual time is printed.
const AGREED_WITHIN: Duration = Duration::from_secs(10);

/// How long a neighbour stands still.
const STANDSTILL: Duration = Duration::from_secs(10);

/// How many clients report to a server whose neighbour stands still, and how often in all.
const CLIENTS: usize = 1_000;
const UPDATES: usize = 200_000;

/// What that may cost its neighbours. The records were there before, so it is what an allocator rounds up to; a
/// queue of all that was not sent would be 200,000 lines of 70 bytes.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

#[test]
fn the_herd_agrees_soon_after_its_articulation_server_was_killed_and_is_back() {
    let mut herd = RealHerd::five(&["--log-level", "info"]);
    let clients: Vec<String> = (0..200).map(|at| format!("client-{at}")).collect();
    let sides = ["Hamilton", "Alford", "Bolden", "Powell"];
    let report = |herd: &RealHerd, time: usize| {
        let mut talks: Vec<_> = sides.iter().map(|name| herd.client(name)).collect();
        let move_one = |(at, client): (usize, &String)| {
            // At each time a client is with another server, on this side of Parker or on that.
            ask(&mut talks[(at + time) % sides.len()], &format!("IAMAT {client} +{time}-{} {time}", at % 90))
        };
        clients.iter().enumerate().map(move_one).collect::<Vec<_>>()
    };
    let first = report(&herd, 1);
    herd.wait_until_agreed(&FIVE, &clients, Some(&first));

    herd.kill_one("Parker");
    let second = report(&herd, 2);
    herd.wait_until_agreed(&["Alford", "Bolden", "Powell"], &clients[..1], None);
    let cut_off = herd.answers("Hamilton", &clients);
    assert_ne!(cut_off, second, "Hamilton cannot know what happens beyond Parker");

    herd.spawn("Parker");
    let since = now();
    herd.wait_until_ready("Parker");
    herd.wait_until_agreed(&FIVE, &clients, Some(&second));
    let took = since.elapsed();
    note(format_args!("all five agree {took:?} after Parker was started again"));
    assert!(took < AGREED_WITHIN, "{took:?}");
}

#[test]
fn a_neighbour_that_stands_still_costs_bounded_memory_and_no_update() {
    let mut herd = RealHerd::five(&["--log-level", "info"]);
    let clients: Vec<String> = (0..CLIENTS).map(|at| format!("client-{at}")).collect();
    let mut talk = herd.client("Alford");
    let known = report_round(&mut talk, &clients, 1);
    herd.wait_until_agreed(&FIVE, &clients, Some(&known));

    herd.signal("Hamilton", Signal::STOP);
    let since = now();
    let before = ["Alford", "Parker"].map(|name| herd.resident_bytes(name));
    let mut newest = Vec::new();
    for round in 0..UPDATES / CLIENTS {
        newest = report_round(&mut talk, &clients, round + 2);
    }
    note(format_args!("{UPDATES} updates were taken in {:?}", since.elapsed()));
    let moving = ["Alford", "Bolden", "Parker", "Powell"];
    herd.wait_until_agreed(&moving, &clients, Some(&newest));
    let rest = STANDSTILL.saturating_sub(since.elapsed());
    assert!(!herd.ends_within("Hamilton", rest), "a server that stands still has ended");
    for (name, before) in ["Alford", "Parker"].into_iter().zip(before) {
        let growth = herd.resident_bytes(name).saturating_sub(before);
        note(format_args!("{name} has grown from {} KiB by {} KiB", before >> 10, growth >> 10));
        assert!(growth < GROWTH_BYTES_MAX, "{name} has grown by {growth} bytes");
    }

    herd.signal("Hamilton", Signal::CONT);
    let (_, took) = herd.wait_until_agreed(&FIVE, &clients, Some(&newest));
    note(format_args!("Hamilton knows the newest of all {CLIENTS} clients {took:?} after it moves again"));
}

/// Every client reports once, with `time`; returns the replies.
fn report_round(talk: &mut Connection, clients: &[String], time: usize) -> Vec<String> {
    let mut replies = Vec::with_capacity(clients.len());
    for some in clients.chunks(250) {
        let reports: String =
            some.iter().map(|client| format!("IAMAT {client} +34.068930-118.445127 {time}\n")).collect();
        talk.send(reports.as_bytes()).unwrap();
        replies.extend(some.iter().map(|_| line(talk)));
    }
    replies
}

#[test]
fn its_ports_are_free_at_once_for_the_next_process() {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    for killed in [true, false, true] {
        let mut open: Vec<_> = (0..20).map(|_| herd.client("Alford")).collect();
        for talk in &mut open {
            assert_eq!(ask(talk, "hello"), "? hello");
        }
        if killed {
            herd.kill_one("Alford");
        } else {
            assert_eq!(herd.terminate("Alford").0.code(), Some(0));
        }
        herd.start_one("Alford");
        let line = ask(&mut herd.client("Alford"), &format!("IAMAT kiwi-{killed} +1+1 5"));
        herd.wait_until_agreed(&["Alford", "Bolden"], &[format!("kiwi-{killed}")], None);
        assert!(line.starts_with("AT Alford +"), "{line}");
    }
}
