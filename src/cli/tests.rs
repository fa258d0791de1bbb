//! Command lines as they are typed, and the jobs that they mean.

mod addresses;
mod running;

use std::time::Duration;

use clap::error::ErrorKind;

use super::*;
use crate::client::Command;
use crate::config::{Limits, WhenFull};
use crate::proto::model::epoch::Epoch;

/// The job that `line`, split at spaces, asks for.
fn job(line: &str) -> Result<Job, ConfigError> {
    checked(Raw::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}")))
}

fn served(line: &str) -> Config {
    let Job::Serve(config) = job(line).unwrap() else { panic!("{line}") };
    *config
}

fn client_of(line: &str) -> client::Options {
    let Job::Client(options) = job(line).unwrap() else { panic!("{line}") };
    options
}

fn printed(line: &str) -> String {
    let Job::Print(text) = job(line).unwrap() else { panic!("{line}") };
    String::from_utf8(text).unwrap()
}

fn refused(line: &str) -> clap::Error {
    Raw::try_parse_from(line.split(' ')).expect_err(line)
}

#[test]
fn clap_finds_no_mistake_in_the_definitions() {
    Raw::command().debug_assert();
}

#[test]
fn a_server_needs_only_its_name() {
    let config = served("proxyherd serve Parker");
    assert_eq!(config.name.as_str(), "Parker");
    assert_eq!(config.member().client.port(), 12_553);
    assert_eq!(config.herd, Herd::built_in());
    assert_eq!(config.log, LogOptions::default());
    assert_eq!(config.places, PlacesArgs::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.clock_lead_max, None);
    assert_eq!(config.auth, Auth::Loopback);
}

#[test]
fn a_legacy_server_is_not_ours_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let herd = "links = [['A', 'B']]\n[servers.A]\nclient = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n\
                [servers.B]\nclient = '127.0.0.1:3'\nclassic = true\n";
    std::fs::write(&path, herd).unwrap();
    let serve = |name: &str| format!("proxyherd serve {name} --herd {}", path.display());
    assert_eq!(served(&serve("A")).identity(Epoch(1)).neighbours[0].dialect, Dialect::Legacy);
    let refused = job(&serve("B")).unwrap_err().to_string();
    assert!(refused.starts_with("B is marked classic in the herd file"), "{refused}");
}

#[test]
fn every_option_of_a_server_arrives() {
    let config = served(
        "proxyherd serve Alford --places file:p.geojson --places-url http://localhost:1/ --places-ca ca.pem \
         --google-key-file key --places-name-field title --places-deadline 60 --log-level warn --log-dir logs \
         --log-when-full drop --log-file-bytes-max 2GiB --log-files-max 3 --status-every 5s --insecure \
         --connections-max 77 --max-clock-lead 1day2h --connections-per-address-max 7 --watchers-max 6 \
         --hello-pending-max 8 --hello-time-max 3s --line-bytes-max 64KiB --line-time-max 40s \
         --idle-time-max never --idle-time-when-full 90s --vanished-time-max 10m --reply-time-max 1500ms \
         --output-bytes-max 1MiB --clients-max 5 --memory-max 7GiB --client-name-bytes-max 256 \
         --places-calls-max 6 --places-calls-per-minute 9 --places-calls-per-address 10 \
         --places-budget-per-minute 11 --places-budget-per-day 12 --explain --handshake-time-max 4s \
         --friends-max 13 --mqtt-packet-bytes-max 128KiB --mqtt-filters-max 14 --mqtt-in-flight-max 15 \
         --mqtt-relay --eager-links --http-base-path herd/two/",
    );
    let expected = LogOptions {
        dir: PathBuf::from("logs"),
        level: log::LevelFilter::Warn,
        when_full: WhenFull::Drop,
        file_bytes_max: 2 << 30,
        files_max: 3,
        status_every: Duration::from_secs(5),
    };
    assert_eq!(config.log, expected);
    let expected = PlacesArgs {
        name_field: Some("title".to_owned()),
        choice: "file:p.geojson".to_owned(),
        url: Some("http://localhost:1/".to_owned()),
        ca: Some(PathBuf::from("ca.pem")),
        google_key_file: Some(PathBuf::from("key")),
        deadline_s: 60,
        calls_max: 6,
        budget_per_minute: Some(11),
        budget_per_day: Some(12),
    };
    assert_eq!(config.places, expected);
    let expected = Limits {
        connections_max: 77,
        connections_per_address_max: Some(7),
        watchers_max: Some(6),
        hello_pending_max: 8,
        hello_time_max: Duration::from_secs(3),
        handshake_time_max: Duration::from_secs(4),
        line_bytes_max: 65_536,
        line_time_max: Duration::from_secs(40),
        idle_time_max: None,
        idle_time_when_full: Duration::from_secs(90),
        vanished_time_max: Duration::from_secs(600),
        reply_time_max: Duration::from_millis(1_500),
        output_bytes_max: 1 << 20,
        clients_max: 5,
        memory_bytes_max: Some(7 << 30),
        client_name_bytes_max: 256,
        places_calls_per_minute: 9,
        places_calls_per_address: 10,
        friends_max: 13,
        mqtt_packet_bytes_max: 128 << 10,
        mqtt_filters_max: 14,
        mqtt_in_flight_max: 15,
        ..Limits::default()
    };
    assert_eq!(config.limits, expected);
    assert_eq!(config.http_base_path.as_str(), "/herd/two");
    assert_eq!(config.clock_lead_max, Some(Duration::from_secs(26 * 3600)));
    assert_eq!(config.auth, Auth::Insecure);
    let flags = |config: &Config| [config.mqtt_relays, config.explains, !config.has_tree];
    assert_eq!([flags(&config), flags(&served("proxyherd serve Alford"))], [[true; 3], [false; 3]]);
    for level in log::LevelFilter::iter() {
        let line = format!("proxyherd serve Alford --log-level {}", level.as_str().to_lowercase());
        assert_eq!(served(&line).log.level, level);
    }
}

#[test]
fn sizes_are_bytes_or_have_a_binary_suffix() {
    let size = |text: &str| format!("proxyherd serve Alford --log-file-bytes-max {text}");
    for (text, bytes) in
        [("1000000", 1_000_000), ("256KiB", 256 << 10), ("64MiB", 64 << 20), ("1024GiB", 1 << 40)]
    {
        assert_eq!(served(&size(text)).log.file_bytes_max, bytes, "{text}");
    }
    for bad in [
        "0",
        "64KiB",
        "255KiB",
        "1025GiB",
        "64MB",
        "1.5GiB",
        "+64MiB",
        "MiB",
        "99999999999999999999",
        "9999999999999GiB",
        "é",
    ] {
        let refused = refused(&size(bad));
        assert_eq!(refused.kind(), ErrorKind::ValueValidation, "{bad}");
        let bounds = "it takes a size from 256 KiB to 1 TiB: a whole number of bytes, KiB, MiB or GiB";
        assert!(refused.to_string().contains(bounds), "{refused}");
    }
}

#[test]
fn numbers_have_bounds() {
    for line in [
        "proxyherd serve Alford --connections-max 0",
        "proxyherd serve Alford --connections-max 1000001",
        "proxyherd serve Alford --connections-per-address-max 0",
        "proxyherd serve Alford --hello-pending-max 0",
        "proxyherd serve Alford --hello-time-max 0s",
        "proxyherd serve Alford --hello-time-max 2",
        "proxyherd serve Alford --line-bytes-max 255",
        "proxyherd serve Alford --line-bytes-max 65KiB",
        "proxyherd serve Alford --line-time-max 25h",
        "proxyherd serve Alford --idle-time-max 1ms",
        "proxyherd serve Alford --vanished-time-max 3s",
        "proxyherd serve Alford --output-bytes-max 1KiB",
        "proxyherd serve Alford --clients-max 0",
        "proxyherd serve Alford --places-calls-max 0",
        "proxyherd serve Alford --places-calls-per-minute 0",
        "proxyherd serve Alford --log-files-max 0",
        "proxyherd serve Alford --log-files-max 1001",
    ] {
        assert_eq!(refused(line).kind(), ErrorKind::ValueValidation, "{line}");
    }
}

#[test]
fn a_server_must_be_of_the_herd() {
    let message = job("proxyherd serve Nobody").unwrap_err().to_string();
    assert!(message.starts_with("\"Nobody\" is not a server of the herd: choose one of Alford"), "{message}");
    assert!(job("proxyherd serve Alford --herd /nonexistent/herd.toml").is_err());
}

#[test]
fn the_server_may_be_left_out_before_a_request() {
    let alford =
        Target::Member(Herd::built_in().members()[0].name.clone(), "127.0.0.1:12550".parse().unwrap());
    let bolden =
        Target::Member(Herd::built_in().members()[1].name.clone(), "127.0.0.1:12551".parse().unwrap());
    let report = |time: Option<&str>| {
        let (client, location) = ("kiwi".to_owned(), "-33.8-151.2".to_owned());
        Some(Ask::IAmAt { client, location, time: time.map(str::to_owned) })
    };
    let question = |radius: &str| {
        let (client, radius, limit) = ("kiwi".to_owned(), radius.to_owned(), "5".to_owned());
        Some(Ask::WhatsAt { client, radius, limit })
    };
    let host = Target::Host("[::1]:12550".to_owned());
    for (line, server, ask) in [
        ("client", &alford, None),
        ("client Bolden", &bolden, None),
        ("client [::1]:12550", &host, None),
        ("client iamat kiwi -33.8-151.2", &alford, report(None)),
        ("client Bolden iamat kiwi -33.8-151.2", &bolden, report(None)),
        ("client Bolden iamat kiwi -33.8-151.2 1.50", &bolden, report(Some("1.50"))),
        // The server is the judge of numbers.
        ("client Bolden iamat kiwi -33.8-151.2 -1", &bolden, report(Some("-1"))),
        ("client whatsat kiwi 10 5", &alford, question("10")),
        ("client [::1]:12550 whatsat kiwi -1 5", &host, question("-1")),
    ] {
        let options = client_of(&format!("proxyherd {line}"));
        assert_eq!((&options.server, options.ask), (server, ask), "{line}");
    }
    assert!(job("proxyherd client Nobody").is_err());
    assert_eq!(refused("proxyherd client Alford iamat kiwi").kind(), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("proxyherd client Alford hello").kind(), ErrorKind::UnknownArgument);
}

#[test]
fn a_request_stays_one_line() {
    for bad in ["", "a b", "a\nIAMAT", "a\rb", "\x0b"] {
        let words = ["proxyherd", "client", "whatsat", bad, "1", "1"];
        assert_eq!(Raw::try_parse_from(words).unwrap_err().kind(), ErrorKind::ValueValidation, "{bad:?}");
    }
    // Not white space between the words of a line.
    assert!(Raw::try_parse_from(["proxyherd", "client", "whatsat", "a\u{a0}b", "1", "1"]).is_ok());
}

#[test]
fn the_herd_is_printed_in_three_forms() {
    let text = printed("proxyherd herd");
    assert_eq!(crate::config::parse(&text).unwrap(), Herd::suggested());
    assert!(text.contains("\nexpire_after = \"30d\"\n"), "{text}");
    assert!(text.contains("\nmax_clock_lead = \"24h\"\n"), "{text}");
    assert_eq!(
        printed("proxyherd herd --list").lines().next().unwrap(),
        "Alford 127.0.0.1:12550 127.0.0.1:12650"
    );
    let check = printed("proxyherd herd --check");
    assert!(check.starts_with(&crate::config::draw(&Herd::built_in())), "{check}");
    assert!(check.contains("5 servers, 5 links; every server reaches every other."), "{check}");
    assert_eq!(refused("proxyherd herd --list --check").kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn the_checked_file_may_be_named_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    std::fs::write(&path, "catch_up = false\n[servers.A]\nclient = '[::1]:1'\npeer = '[::1]:2'\n").unwrap();
    let path = path.display();
    for line in
        [format!("--check {path}"), format!("--check --herd {path}"), format!("--herd {path} --check")]
    {
        assert_eq!(
            printed(&format!("proxyherd herd {line}")),
            "A\n\n1 server, 0 links; every server reaches every other. \
             A server that was away is not told what it missed.\n"
        );
    }
    assert_eq!(printed(&format!("proxyherd herd --list --herd {path}")), "A [::1]:1 [::1]:2\n");
}

#[test]
fn help_has_examples_and_the_manual_has_every_command() {
    let mut command = Raw::command();
    command.build();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let help = sub.render_help().to_string();
        assert!(help.contains("Examples:\n  "), "{help}");
    }
    let manual = printed("proxyherd man");
    for part in [".TH proxyherd 1", "proxyherd\\-serve", "proxyherd\\-client\\-iamat", "connections\\-max"] {
        assert!(manual.contains(part), "{part} is missing in {manual}");
    }
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&format!("proxyherd completions {shell}"));
        assert!(script.contains("log-when-full") && script.contains("whatsat"), "{shell}");
    }
}

/// What people type, and what they are told to type instead.
#[test]
fn every_mistake_is_answered_by_what_to_do() {
    for (words, advice) in [
        ("serve Alford --connections-max 10k", "it takes a whole number from 1 to 1000000"),
        ("serve Alford --connections-max 0", "it takes a whole number from 1 to 1000000"),
        ("serve Alford --clients-max -1", "it takes a whole number from 1 to"),
        ("serve Alford --clients-max 1e6", "it takes a whole number from 1 to"),
        ("serve Alford --places-deadline 5s", "it takes a whole number from 1 to 60"),
        ("serve Alford --log-files-max all", "it takes a whole number from 1 to 1000"),
        ("serve Alford --log-file-bytes-max 64KiB", "KiB, MiB or GiB, such as 256KiB"),
        ("serve Alford --line-bytes-max 1MB", "it takes a size from 256 B to 64 KiB"),
        ("serve Alford --idle-time-max 30", "to 1day with its unit, such as 30s, or never"),
        ("serve Alford --status-every 1", "it takes a time from 10ms to 1day with its unit, such as 30s"),
        ("serve Alford --idle-time-max 0s", "it takes a time from 10ms to 1day with its unit"),
        ("serve Alford --log-level verbose", "[possible values: off, error, warn, info, debug, trace]"),
        ("serve Alford --durability fsync", "a similar value exists: 'sync'"),
        ("serve Alford --secret herd.secret", "a similar argument exists: '--secret-file'"),
        ("serve", "<NAME>"),
        ("srve Alford", "a similar subcommand exists: 'serve'"),
        ("serve Alford --herd", "a value is required for '--herd <FILE>'"),
        ("client whatsat kiwi", "<RADIUS>"),
        ("completions csh", "[possible values: bash, elvish, fish, powershell, zsh]"),
    ] {
        let message = refused(&format!("proxyherd {words}")).to_string();
        assert!(message.contains(advice), "{words}: {message}");
    }
    for (words, advice) in [
        ("serve alford", "choose one of Alford, "),
        ("serve Alford --herd /nowhere/herd.toml", "; `proxyherd herd` prints one to start from"),
        ("serve Alford --secret-file /nowhere/secret", "; `openssl rand -hex 32` makes a secret"),
        ("serve Alford --secret-file /dev/zero", "it is a device: name a file"),
        ("herd --check /", "it is a directory: name a file"),
        ("client localhost", "choose one of Alford, Bolden, Hamilton, Parker, Powell, or give HOST:PORT"),
    ] {
        let message = job(&format!("proxyherd {words}")).unwrap_err().to_string();
        assert!(message.contains(advice), "{words}: {message}");
    }
}

#[test]
fn what_a_refusal_suggests_is_taken() {
    let sizes = ["--log-file-bytes-max", "--line-bytes-max", "--output-bytes-max"];
    for option in sizes {
        let message = refused(&format!("proxyherd serve Alford {option} 0")).to_string();
        let such_as = message.split("such as ").nth(1).unwrap().split_whitespace().next().unwrap();
        served(&format!("proxyherd serve Alford {option} {such_as}"));
        let bounds = message.split(" from ").nth(1).unwrap().split(": a whole").next().unwrap();
        for bound in bounds.split(" to ") {
            let words = ["proxyherd", "serve", "Alford", option, bound];
            assert!(Raw::try_parse_from(words).is_ok(), "{option} {bound}");
        }
    }
}

#[test]
fn help_is_a_command_too() {
    for words in ["proxyherd help", "proxyherd help serve", "proxyherd help client"] {
        let help = refused(words);
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        assert!(help.to_string().contains("Examples:"), "{help}");
    }
}

#[test]
fn share_asks_the_first_server_if_no_other_is_named() {
    let Job::Ask(server, command) = job("proxyherd share jane --for 2h").unwrap() else { panic!() };
    assert_eq!((&*server.url, server.token_file), ("http://127.0.0.1:12750", None));
    assert_eq!(command, Command::Share("jane".to_owned(), "2h".to_owned()));
}

#[test]
fn forget_looks_where_servers_run() {
    let dirs = |line: &str| {
        let Job::Forget(dirs, client) = job(line).unwrap() else { panic!("{line}") };
        assert_eq!(client, "kiwi");
        dirs
    };
    let usual = ["data/Alford", "run/data/Alford"].map(PathBuf::from);
    assert_eq!(dirs("proxyherd forget Alford kiwi"), usual);
    // It is of another herd, perhaps.
    assert_eq!(dirs("proxyherd forget Zoe kiwi").len(), 2);
    assert_eq!(dirs("proxyherd forget Alford kiwi --data-dir d"), [PathBuf::from("d")]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    std::fs::write(&path, "[servers.A]\nclient = '[::1]:1'\npeer = '[::1]:2'\n").unwrap();
    assert_eq!(
        dirs(&format!("proxyherd forget A kiwi --herd {}", path.display()))[0],
        PathBuf::from("data/A")
    );
    let asked = |line: &str| matches!(job(line), Ok(Job::Ask(_, Command::Forget(it))) if it == "kiwi");
    assert!(asked("proxyherd forget kiwi") && asked("proxyherd forget Alford kiwi --token-file t"));
    let unknown =
        job(&format!("proxyherd forget Alford kiwi --herd {}", path.display())).unwrap_err().to_string();
    assert!(unknown.contains("choose one of A"), "{unknown}");
}
