//! What stands in the log of a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::real::{RealHerd, ask, eventually, line};
use crate::transcripts::run::Talk as _;

#[test]
fn the_log_has_connections_requests_replies_floods_start_and_stop() {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--log-level", "debug"]);
    let mut talk = herd.client("Alford");
    let reply = ask(&mut talk, "IAMAT kiwi +34.068930-118.445127 1621464827.959498503");
    herd.wait_until_agreed(&["Alford", "Bolden"], &["kiwi".to_owned()], None);
    assert_eq!(ask(&mut talk, "hello there"), "? hello there");
    talk.half_close().unwrap();
    assert_eq!(talk.line(), Ok(None));
    eventually("Alford has noticed", || {
        let log = herd.log("Alford");
        let connected = log.matches(" connected\n").count();
        (log.matches(" disconnected\n").count() + 1 == connected).then_some(())
    });
    for name in ["Alford", "Bolden"] {
        assert_eq!(herd.terminate(name).0.code(), Some(0));
    }

    let alford = herd.log("Alford");
    let address = herd.address("Alford");
    for part in [
        &format!(" INFO Alford serves clients on {address}"),
        " INFO client 127.0.0.1:",
        " INFO peer 127.0.0.1:",
        " <- IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n",
        &format!(" -> {reply}\n"),
        " <- WHATSAT kiwi 1 1\n",
        " <- hello there\n",
        " -> ? hello there\n",
        " INFO link to Bolden is up\n",
        &format!(" DEBUG link to Bolden -> {reply}\n"),
        " INFO stopping\n",
        " INFO stopped: ",
    ] {
        assert!(alford.contains(part), "{part:?} is not in\n{alford}");
    }
    let bolden = herd.log("Bolden");
    let told = bolden.lines().find(|line| line.ends_with(&format!(" <- {reply}")));
    assert!(told.is_some_and(|line| line.contains(" DEBUG peer 127.0.0.1:")), "{told:?} in\n{bolden}");
    check_form("Alford", &alford);
    check_form("Bolden", &bolden);
}

#[test]
fn no_client_can_forge_a_line_of_the_log() {
    let mut herd = RealHerd::start(&["Alford"], &[], &["--log-level", "debug"]);
    let forgery = "[Alford] 2026-01-01T00:00:00.000000Z INFO forged";
    let mut talk = herd.client("Alford");
    let separators = ["\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\0", "\u{1b}[2J\u{8}", "\\n", "\u{9b}K"];
    for separator in separators {
        let sent = format!("x{separator}{forgery}");
        assert_eq!(ask(&mut talk, &sent), format!("? {sent}"));
        let name = format!("kiwi{}", separator.replace(['\r', '\u{b}', '\u{c}'], "-"));
        ask(&mut talk, &format!("IAMAT {name} +1+1 1"));
        ask(&mut talk, &format!("WHATSAT {name} 1 1"));
        while !line(&mut talk).is_empty() {}
    }
    talk.send(b"\xff\x80\x0d\xfe[Alford] forged\n").unwrap();
    talk.line().unwrap();
    // A line feed ends a request, so what comes after it is another one, and logged as one.
    assert_eq!(ask(&mut talk, forgery), format!("? {forgery}"));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));

    let log = herd.log("Alford");
    check_form("Alford", &log);
    for line in log.lines().filter(|line| line.contains("forged")) {
        assert!(line.contains("DEBUG client 127.0.0.1:"), "{line:?}");
    }
    // Each was logged twice, as a request and in its reply.
    assert_eq!(log.matches("forged").count(), 2 * (separators.len() + 2));
}

/// Every line has the server's name in brackets, the time in UTC with microseconds, the level, and no control
/// character.
fn check_form(name: &str, log: &str) {
    assert!(log.ends_with('\n'));
    for line in log.strip_suffix('\n').unwrap().split('\n') {
        let rest = line.strip_prefix(&format!("[{name}] ")).unwrap_or_else(|| panic!("{line:?}"));
        let (time, rest) = rest.split_once(' ').unwrap();
        let form: String = time.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000Z", "{line:?}");
        let (level, _) = rest.split_once(' ').unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line:?}");
        let safe = line.chars().all(|it| !it.is_control() && !['\u{2028}', '\u{2029}'].contains(&it));
        assert!(safe, "{line:?}");
    }
}

#[test]
fn at_the_default_level_nothing_that_a_client_says_is_logged() {
    let mut herd = RealHerd::start(&["Alford"], &[], &[]);
    let mut talk = herd.client("Alford");
    let rubbish = format!("rubbish {}\n", "x".repeat(1_000)).repeat(100);
    for _ in 0..20 {
        talk.send(rubbish.as_bytes()).unwrap();
        (0..100).for_each(|_| assert!(line(&mut talk).starts_with("? rubbish ")));
    }
    // Too long for a line, which closes the connection: each is refused, and one is told of.
    for _ in 0..200 {
        let mut talk = herd.client("Alford");
        talk.send("y".repeat(5_000).as_bytes()).unwrap();
        while talk.line().is_ok_and(|line| line.is_some()) {}
    }
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    assert!(!log.contains("rubbish") && log.len() < 100_000, "{} bytes", log.len());
    assert_eq!(log.matches(" WARN client 127.0.0.1:").count(), 1, "{log}");
    assert!(log.contains("199 more warnings of one kind were left out (over_line_bytes)"), "{log}");
}

#[test]
fn no_other_user_reads_what_a_server_writes() {
    let mut herd = RealHerd::start(&["Alford"], &[], &["--log-dir", "logs/of/it", "--log-level", "debug"]);
    ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1");
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    for file in ["logs/of/it/Alford.log", "data/Alford/journal-0000000001.log", "data/Alford/lock"] {
        assert_eq!(fs::metadata(herd.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    for folder in ["logs", "logs/of", "logs/of/it", "data", "data/Alford"] {
        assert_eq!(fs::metadata(herd.path(folder)).unwrap().permissions().mode() & 0o777, 0o700, "{folder}");
    }
    // One of an earlier release is hidden, too.
    let old = herd.path("data/Alford/journal-0000000001.log");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
    herd.start_one("Alford");
    assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn servers_of_which_one_has_no_secret_say_so() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    fs::write(herd.path("secret"), "0123456789abcdef").unwrap();
    herd.spawn_with_options("Alford", &["--secret-file", "secret"]);
    herd.spawn("Bolden");
    for (name, expected) in [
        ("Alford", &["is turned away: one of us has no secret: it has none"][..]),
        (
            "Bolden",
            &[
                "is turned away: one of us has no secret: we have none",
                "link to Alford: it refuses our HELLO (version 5): run the same release on both servers, give both",
            ],
        ),
    ] {
        herd.wait_until_ready(name);
        eventually("it says so", || {
            let log = herd.log(name);
            expected.iter().all(|words| log.contains(words)).then_some(())
        });
    }
}

#[test]
fn servers_with_two_secrets_say_so_and_show_no_proof() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--log-level", "trace"]);
    for (name, secret, mode) in
        [("Alford", "0123456789abcdef-a", 0o600), ("Bolden", "0123456789abcdef-b", 0o644)]
    {
        let file = herd.path(&format!("{name}.secret"));
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        herd.spawn_with_options(name, &["--secret-file", file.to_str().unwrap()]);
    }
    for name in ["Alford", "Bolden"] {
        herd.wait_until_ready(name);
        eventually("each side says so", || {
            let log = herd.log(name);
            (log.contains("is turned away: secret, herd or version differs")
                && log.contains(" WARN link to ")
                && log.contains(": secret, herd or version differs"))
            .then_some(())
        });
    }
    for name in ["Alford", "Bolden"] {
        assert_eq!(herd.terminate(name).0.code(), Some(0));
        let said = herd.log(name) + &herd.complaints(name);
        // Not even what a handshake says, on which guesses at the secret could be tried.
        let shown = said.lines().find(|line| line.contains("<- ") && line.contains("\\x"));
        assert_eq!(shown, None);
        let readable = said.contains("other users can read the secret file");
        assert_eq!(readable, name == "Bolden", "{said}");
    }
}
