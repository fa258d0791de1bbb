//! A process that runs out of what the system grants it.

use crate::real::{RealHerd, ask, eventually, line};
use crate::transcripts::run::Talk as _;

/// Descriptors that the server may have, and more connections than that.
const DESCRIPTORS: usize = 64;
const CONNECTIONS: usize = 100;

#[test]
fn more_connections_than_descriptors_wait_and_are_served_when_others_close() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    herd.start_one("Bolden");
    herd.spawn_in_shell("Alford", &format!("ulimit -n {DESCRIPTORS};"));
    herd.wait_until_ready("Alford");
    let first = ask(&mut herd.client("Bolden"), "IAMAT kiwi +1+1 1");
    let kiwi = ["kiwi".to_owned()];
    herd.wait_until_agreed(&["Alford", "Bolden"], &kiwi, Some(&[first]));

    let mut all: Vec<_> = (0..CONNECTIONS).map(|_| herd.client("Alford")).collect();
    all.iter_mut().for_each(|talk| talk.send(b"hello\n").unwrap());
    // The links were there before, so this many are certainly served at once.
    all[..DESCRIPTORS / 2].iter_mut().for_each(|talk| assert_eq!(line(talk), "? hello"));
    eventually("it has said so in its log", || {
        herd.log("Alford").contains("raise the limit of open files").then_some(())
    });
    // Those who are in are served, and told by a neighbour, as ever.
    let second = ask(&mut herd.client("Bolden"), "IAMAT kiwi +2+2 2");
    eventually("the neighbour's news are known", || {
        let known = ask(&mut all[0], "WHATSAT kiwi 1 1");
        while known.starts_with("AT ") && !line(&mut all[0]).is_empty() {}
        (known == second).then_some(())
    });

    let mut waiting = all.split_off(DESCRIPTORS / 2);
    drop(all);
    // As the first leave, the others come in, and find their line answered.
    for talk in &mut waiting[..DESCRIPTORS / 2] {
        assert_eq!(line(talk), "? hello");
    }
    drop(waiting);
    let third = ask(&mut herd.client("Alford"), "IAMAT kiwi +3+3 3");
    herd.wait_until_agreed(&["Alford", "Bolden"], &kiwi, Some(&[third]));
    let warnings = herd.log("Alford").matches("raise the limit of open files").count();
    assert!(warnings < 10, "{warnings} warnings about one shortage");
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn a_server_without_descriptors_stops_like_any_other() {
    let mut herd = RealHerd::new(&["Alford"], &[], &[]);
    herd.spawn_in_shell("Alford", &format!("ulimit -n {DESCRIPTORS};"));
    herd.wait_until_ready("Alford");
    let mut all: Vec<_> = (0..CONNECTIONS).map(|_| herd.client("Alford")).collect();
    all[..DESCRIPTORS / 2].iter_mut().for_each(|talk| assert_eq!(ask(talk, "hello"), "? hello"));
    eventually("it has run out", || {
        herd.log("Alford").contains("raise the limit of open files").then_some(())
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}
