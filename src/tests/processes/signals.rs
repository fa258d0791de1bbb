//! Signals that are not meant to end a server, and what the log says of those that are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Resource, Rlimit, Signal};

use crate::real::{RealHerd, ask, eventually};

const ALONE: (&[&str], &[(&str, &str)]) = (&["Alford"], &[]);

/// One server, started by the shell after these commands, that answers.
fn started_after(before: &str, options: &[&str]) -> RealHerd {
    let mut herd = RealHerd::new(ALONE.0, ALONE.1, options);
    herd.spawn_in_shell("Alford", before);
    herd.wait_until_ready("Alford");
    herd
}

/// Whether a server has taken all signals that were sent to it before, and lives.
fn lives(herd: &RealHerd) -> bool {
    ask(&mut herd.client("Alford"), "x") == "? x"
}

#[test]
fn signals_that_were_ignored_before_stay_so() {
    let mut herd = RealHerd::new(ALONE.0, ALONE.1, &[]);
    herd.spawn_through("Alford", "nohup");
    herd.wait_until_ready("Alford");
    herd.signal("Alford", Signal::HUP);
    assert!(lives(&herd));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    assert!(!herd.log("Alford").contains("SIGHUP"), "{}", herd.log("Alford"));

    // As a shell starts what it starts in the background: what is typed in the foreground is not for it.
    let mut herd = started_after("trap '' INT QUIT;", &[]);
    for signal in [Signal::INT, Signal::QUIT, Signal::INT] {
        herd.signal("Alford", signal);
    }
    assert!(lives(&herd));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    assert!(herd.log("Alford").contains(" INFO asked to stop by SIGTERM\n"), "{}", herd.log("Alford"));
}

#[test]
fn the_log_names_the_signal_that_ends_the_server() {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::QUIT, "SIGQUIT")] {
        let mut herd = RealHerd::start(ALONE.0, ALONE.1, &[]);
        // Those that end a server are caught after the ports are open, and before SIGHUP is answered.
        eventually("the server has caught them", || {
            herd.signal("Alford", Signal::HUP);
            herd.log("Alford").contains("SIGHUP").then_some(())
        });
        herd.signal("Alford", signal);
        assert_eq!(herd.ended("Alford").0.code(), Some(0));
        let log = herd.log("Alford");
        assert!(log.contains(&format!(" INFO asked to stop by {name}\n")), "{log}");
    }
}

#[test]
fn no_other_signal_ends_a_server() {
    let mut herd = RealHerd::start(ALONE.0, ALONE.1, &[]);
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::XFSZ, Signal::PIPE, Signal::HUP] {
        herd.signal("Alford", signal);
    }
    assert!(lives(&herd));
    eventually("it says so", || {
        herd.log("Alford").contains(" INFO SIGHUP: the log is opened again").then_some(())
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn a_hangup_opens_a_log_again_that_was_moved_away() {
    let mut herd = RealHerd::start(ALONE.0, ALONE.1, &["--log-level", "info"]);
    let (log, moved) = (herd.path("Alford.log"), herd.path("moved"));
    fs::rename(&log, &moved).unwrap();
    herd.signal("Alford", Signal::HUP);
    eventually("the log is there again", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("SIGHUP")).then_some(())
    });
    assert!(!fs::read_to_string(&moved).unwrap().contains("SIGHUP"));
}

#[test]
fn a_hangup_reads_the_access_file_again_and_a_wrong_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.toml");
    let printed = RealHerd::new(ALONE.0, ALONE.1, &[]).run(&["token", "new", "jane"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    fs::write(&file, printed.split("SIGHUP then:\n").nth(1).unwrap()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut herd = RealHerd::start(ALONE.0, ALONE.1, &["--access", file.to_str().unwrap()]);
    let mut says = |what: &str| {
        herd.signal("Alford", Signal::HUP);
        eventually(what, || herd.log("Alford").contains(what).then_some(()));
    };
    says("is read again: users 1, tokens 1");
    fs::write(&file, "[users.jane]\n[users.joe]\nadmin = 1\n").unwrap();
    says(" WARN the access file is as it was before: ");
    fs::write(&file, "[users.jane]\n[users.joe]\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    says("is read again: users 2, tokens 0");
    says(" WARN other users can read the access file ");
    assert!(lives(&herd));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    const LIMIT: u64 = 64 << 10;
    let mut herd = started_after("ulimit -S -f 128;", &["--log-level", "debug"]);
    let mut talk = herd.client("Alford");
    let long = "k".repeat(1_000);
    let mut acknowledged = Vec::new();
    let refused = eventually("the journal is full", || {
        let client = format!("{}-{long}", acknowledged.len());
        let reply = ask(&mut talk, &format!("IAMAT {client} +1+1 1"));
        if reply.starts_with("AT ") {
            acknowledged.push(client);
            return None;
        }
        Some(reply)
    });
    assert!(refused.starts_with("? cannot be kept now (file too large), try again later: "), "{refused}");
    assert!(herd.answers("Alford", &acknowledged).iter().all(|answer| answer.starts_with("AT ")));
    // Between two files of the log there is none for a moment.
    eventually("the log says so", || {
        let log = herd.log_so_far("Alford")
            + &fs::read_to_string(herd.path("Alford.log.old-1")).unwrap_or_default();
        log.contains("the journal cannot be written: ").then_some(())
    });
    // Each file of the log ends where the system lets none go on.
    for entry in fs::read_dir(herd.path(".")).unwrap() {
        let found = entry.unwrap();
        let whole = found.metadata().unwrap().len() <= LIMIT;
        assert!(whole, "{:?}", found.path());
        if found.file_name().to_str().unwrap().starts_with("Alford.log") {
            assert!(fs::read_to_string(found.path()).unwrap().ends_with('\n'), "{:?}", found.path());
        }
    }

    herd.limit("Alford", Resource::Fsize, Rlimit { current: Some(1 << 30), maximum: None });
    eventually("reports are acknowledged again", || {
        ask(&mut talk, "IAMAT last +1+1 1").starts_with("AT ").then_some(())
    });
    herd.kill_one("Alford");
    herd.start_one("Alford");
    assert!(herd.answers("Alford", &acknowledged).iter().all(|answer| answer.starts_with("AT ")));
}

/// The names that a question about a client at 1, 1 is answered with.
fn names(herd: &RealHerd) -> String {
    let reply =
        herd.run(&["client", &herd.address("Alford").to_string(), "whatsat", "kiwi", "10", "5"]).stdout;
    let lines = String::from_utf8(reply).unwrap();
    let names = lines.lines().filter_map(|line| line.trim().strip_prefix("\"name\": \""));
    names.map(|rest| rest.trim_end_matches(['"', ','])).collect::<Vec<_>>().join("+")
}

#[test]
fn a_hangup_reads_a_file_of_places_again_and_keeps_the_old_one_if_it_is_bad() {
    let feature = |name: &str| {
        format!(
            r#"{{"type":"Feature","properties":{{"name":"{name}"}},"geometry":{{"type":"Point","coordinates":[1,1]}}}}"#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("places.geojson");
    let option = format!("file:{}", file.display());
    fs::write(&file, feature("First")).unwrap();
    let mut herd = RealHerd::start(ALONE.0, ALONE.1, &["--places", &option]);
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 5").starts_with("AT "));
    assert_eq!(names(&herd), "First");

    fs::write(&file, format!("{}\n{}\n", feature("First"), feature("Second"))).unwrap();
    assert_eq!(names(&herd), "First", "it is read when that is asked for");
    herd.signal("Alford", Signal::HUP);
    eventually("the new places are there", || (names(&herd) == "First+Second").then_some(()));
    // The log has a thread of its own.
    eventually("it is logged", || herd.log_so_far("Alford").contains(" INFO places: 2 from ").then_some(()));

    for bad in ["<kml/>", "{\"type\": \"FeatureCollection\", \"features\": [3]}", ""] {
        let warnings = herd.log_so_far("Alford").matches("the places read before stay in use").count();
        fs::write(&file, bad).unwrap();
        herd.signal("Alford", Signal::HUP);
        eventually("it says that the file is bad", || {
            let log = herd.log_so_far("Alford");
            (log.matches("the places read before stay in use").count() > warnings).then_some(())
        });
        assert_eq!(names(&herd), "First+Second");
    }
    fs::remove_file(&file).unwrap();
    herd.signal("Alford", Signal::HUP);
    eventually("it says that the file is gone", || {
        herd.log_so_far("Alford").contains("cannot read").then_some(())
    });
    fs::write(&file, feature("Third")).unwrap();
    herd.signal("Alford", Signal::HUP);
    eventually("the newest are there", || (names(&herd) == "Third").then_some(()));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}
