//! `proxyherd forget`, as an operator types it.

use crate::real::{FIVE, RealHerd, ask, eventually};

/// Its exit code, and all that it prints.
fn forget(herd: &RealHerd, server: &str, client: &str) -> (Option<i32>, String) {
    let output = herd.run(&["forget", server, client]);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// What is asked of a client, and the answer of a server that does not know it.
const QUESTION: &str = "WHATSAT kiwi 1 1";

#[test]
fn server_of_the_script_is_found() {
    let mut herd = RealHerd::new(&["Alford"], &[], &["--data-dir", "run/data/Alford"]);
    herd.start_one("Alford");
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1900000000").starts_with("AT "));
    // What a server that was killed has left is no server.
    std::fs::create_dir_all(herd.path("data/Alford")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(herd.path("data/Alford/admin.sock")).unwrap());
    assert_eq!(forget(&herd, "Alford", "kiwi"), (Some(0), "FORGOT kiwi\n".to_owned()));
    let output = herd.run(&["forget", "Alford", "kiwi", "--herd", "herd.toml"]);
    assert_eq!(output.status.code(), Some(0));
    let output = herd.run(&["forget", "Bolden", "kiwi", "--herd", "herd.toml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn client_is_forgotten_by_all_servers_and_by_those_that_were_away_and_are_killed() {
    let mut herd = RealHerd::five(&[]);
    let unknown = format!("? {QUESTION}");
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1900000000").starts_with("AT "));
    for server in FIVE {
        eventually("all know it", || {
            ask(&mut herd.client(server), QUESTION).starts_with("AT ").then_some(())
        });
    }
    herd.kill_one("Hamilton");
    assert_eq!(forget(&herd, "Powell", "kiwi"), (Some(0), "FORGOT kiwi\n".to_owned()));
    assert_eq!(forget(&herd, "Powell", "kiwi"), (Some(0), "FORGOT kiwi\n".to_owned()));
    let (code, complaint) = forget(&herd, "Hamilton", "kiwi");
    assert_eq!(code, Some(2));
    assert!(
        complaint.starts_with("proxyherd: no server runs with its journal in data/Hamilton"),
        "{complaint}"
    );
    for server in ["Alford", "Bolden", "Parker", "Powell"] {
        eventually("it is forgotten", || (ask(&mut herd.client(server), QUESTION) == unknown).then_some(()));
        herd.kill_one(server);
    }
    FIVE.iter().for_each(|server| herd.start_one(server));
    for server in FIVE {
        eventually("it stays forgotten", || {
            (ask(&mut herd.client(server), QUESTION) == unknown).then_some(())
        });
    }
    assert!(ask(&mut herd.client("Bolden"), "IAMAT kiwi +2+2 1700000000").starts_with("AT "));
    for server in FIVE {
        eventually("it begins again", || {
            ask(&mut herd.client(server), QUESTION).ends_with(" +2+2 1700000000").then_some(())
        });
    }
}
