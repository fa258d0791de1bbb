//! Not how fast, but whether anything is lost when everybody talks at once.

use std::thread;

use crate::herd::{Herd, NAMES, Variant};
use crate::talk::{Talk, eventually};

const CLIENTS: usize = 50;

/// Reports of each client: several times what the buffers of a connection hold.
const REPORTS: usize = 2_000;

/// The lines that a client sends without waiting.
const DEPTH: usize = 100;

pub(crate) fn fifty_pipelining_clients_lose_nothing(variant: Variant) {
    let herd = Herd::of_five(variant);
    let addresses = NAMES.map(|name| herd.address(name));
    let last: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let at = client % NAMES.len();
                let talk = Talk::with(addresses[at]);
                scope.spawn(move || reports(talk, NAMES[at], client))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (client, line) in last.iter().enumerate() {
        for name in NAMES {
            let mut talk = herd.client(name);
            eventually(&format!("{line} at {name}"), || {
                let answer = talk.ask(&format!("WHATSAT client-{client} 10 1"));
                if answer.starts_with("AT ") {
                    talk.json();
                }
                (&answer == line).then_some(())
            });
        }
    }
}

/// Sends reports, [`DEPTH`] of them at once, and a question and an error among them; checks that every reply
/// comes and is the right one; returns the last report's.
fn reports(mut talk: Talk, server: &str, client: usize) -> String {
    let mut last = String::new();
    for burst in 0..REPORTS / DEPTH {
        let times = (1..=DEPTH).map(|at| burst * DEPTH + at);
        let mut lines: String = times
            .clone()
            .map(|time| format!("IAMAT client-{client} +34.0689-118.4451 {time}.5\r\n"))
            .collect();
        lines.push_str(&format!("WHATSAT client-{client} 10 20\nburst {burst}\n"));
        talk.send(lines);
        for time in times {
            last = talk.line();
            let good = last.starts_with(&format!("AT {server} +"))
                && last.ends_with(&format!(" client-{client} +34.0689-118.4451 {time}.5"));
            assert!(good, "the reply to report {time} of client {client}: {last}");
        }
        assert_eq!(talk.line(), last);
        assert_eq!(talk.json()["results"].as_array().map(Vec::len), Some(20));
        assert_eq!(talk.line(), format!("? burst {burst}"));
    }
    assert_eq!(talk.half_close().rest(), b"");
    last
}
