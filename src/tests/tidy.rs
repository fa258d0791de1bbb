//! The house rules as tests: which room may know which, how long a file may be, what is not written here.

mod homes;
mod lexer;
mod rings;
mod rules;
mod tokens;
mod uses;
mod walls;

use std::path::{Path, PathBuf};
use std::process::Command;

use homes::check_homes;
use rings::{check_layers, check_rings};
use rules::{Finding, check, check_packages, check_top_level};

/// A finding that is as it should be.
struct Allowed {
    path: &'static str,
    found: &'static str,
    /// Why it has to be; a reader must be able to disagree.
    reason: &'static str,
}

/// Keep it short: an entry that is not needed any more is a failure, too.
const ALLOWED: &[Allowed] = &[Allowed {
    path: "src/tests/interleavings/model/watched.rs",
    found: "sleep",
    reason: "in the model of threads a sleep is one step of the schedule, and takes no time",
}];

#[test]
fn the_house_is_tidy() {
    let files = files();
    assert!(files.len() > 10, "the tests look at the wrong folder: {}", root().display());
    let mut findings = check_top_level(files.iter().map(|(path, _)| path.as_str()));
    findings.extend(files.iter().flat_map(|(path, text)| check(path, text)));
    findings.extend(order_of_files(&files));
    let (allowed, broken): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(is_allowed);
    assert!(broken.is_empty(), "{} rules broken\n{}", broken.len(), lines(&broken));
    for entry in ALLOWED {
        assert!(entry.reason.contains(' '), "{}: give a reason in a sentence", entry.path);
        let needed = allowed.iter().any(|finding| finding.path == entry.path && finding.found == entry.found);
        assert!(needed, "{}: `{}` is not found any more, take it off ALLOWED", entry.path, entry.found);
    }
}

#[test]
fn no_async_runtime_and_no_openssl_enters_the_server() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "-p", "proxyherd", "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    assert!(text.lines().any(|line| line.starts_with("parking_lot ")), "not the server's tree:\n{text}");
    let findings = check_packages(&text);
    assert!(findings.is_empty(), "{}", lines(&findings));
}

#[test]
fn every_rule_finds_what_breaks_it() {
    for (path, text, found) in [
        ("src/proto/store.rs", "use std::net::TcpStream;", "std::net"),
        ("src/proto/store.rs", "use std::{fmt, io};", "std::{"),
        ("src/proto/store.rs", "fn f(now: Instant) {}", "Instant"),
        ("src/proto/store.rs", "log::debug!(\"x\");", "log::"),
        ("src/proto/store.rs", "use crate::server::Server;", "crate::server"),
        ("src/proto/store.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}", "std::fs"),
        ("src/proto/mod.rs", "use super::server;", "super::server"),
        ("src/sim/world.rs", "use crossbeam_channel::bounded;", "crossbeam_channel"),
        ("src/sim/world.rs", "use crate::config::Herd;", "crate::config"),
        ("src/sim/world.rs", "use crate::member::Member;", "crate::member"),
        ("src/sim/world.rs", "use crate::member::turnstile::Permit;", "crate::member"),
        ("src/config.rs", "use crate::{places, proto};", "crate::{"),
        ("src/config/herd.rs", "use crate::places::Places;", "crate::places"),
        ("src/places/google.rs", "use crate::cli::Serve;", "crate::cli"),
        ("src/journal/mod.rs", "use crate::config::Durability;", "crate::config"),
        ("src/journal/files.rs", "log::warn!(\"oh\");", "log::"),
        ("src/logging/mod.rs", "log::warn!(\"oh\");", "log::warn!"),
        ("src/server/accept.rs", "use crate::client;", "crate::client"),
        ("src/os/clock.rs", "use crate::member::Member;", "crate::member"),
        ("src/net/accept.rs", "use crate::proto::line;", "crate::proto"),
        ("src/net/accept.rs", "use crate::member::Member;", "crate::member"),
        ("src/net/mod.rs", "use super::member;", "super::member"),
        ("src/member/mod.rs", "use crate::net::Stream;", "crate::net"),
        ("src/member/status.rs", "fn f(s: &TcpStream) {}", "TcpStream"),
        ("src/frontend/line.rs", "use crate::peering::Link;", "crate::peering"),
        ("src/peering/dialer.rs", "use crate::server::Server;", "crate::server"),
        ("src/database/mod.rs", "use crate::frontend::Protocol;", "crate::frontend"),
        ("src/config/mod.rs", "use crate::os::clock;", "crate::os"),
        ("bench/src/load.rs", "use proxyherd::server::Server;", "proxyherd::server"),
        ("bench/src/load.rs", "use proxyherd::peering::link;", "proxyherd::peering"),
        ("src/server/link.rs", "async fn run() {}", "async fn"),
        ("src/server/link.rs", "let x = f().await;", ".await"),
        ("src/cli.rs", "use tokio::net;", "tokio"),
        ("src/cli.rs", "// TODO: later", "TODO"),
        ("src/cli.rs", "fn f() { todo!() }", "todo!"),
        ("src/cli.rs", "fn f() { unimplemented!() }", "unimplemented!"),
        ("scripts/run.sh", "# FIXME", "FIXME"),
        ("src/tests/flood.rs", "#[test]\n#[ignore]\nfn f() {}", "#[ignore"),
        ("src/tests/flood.rs", "#[ignore = \"slow\"]\nfn f() {}", "#[ignore"),
        ("src/tests/flood.rs", "std::thread::sleep(d);", "sleep"),
        ("src/cli.rs", "#[cfg(test)]\nmod tests {\n    fn f() { sleep(d) }\n}", "sleep"),
        ("src/cli.rs", "#[cfg(test)]\nmod tests {\n}\n\nfn hidden() {}", "fn hidden() {}"),
        ("src/cli.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("bench/src/lib.rs", "#![allow(unsafe_code)]", "unsafe_code"),
        ("src/cli.rs", "mod helpers {}", "helpers"),
        ("src/cli.rs", "pub struct LinkManager;", "LinkManager"),
        ("src/server/utils.rs", "fn f() {}", "utils"),
        ("src/misc/a.rs", "fn f() {}", "misc"),
        ("README.md", concat!("see /wo", "rk/notes"), concat!("/wo", "rk/")),
        ("scripts/run.sh", concat!("cd /ro", "ot/x"), concat!("/ro", "ot/")),
    ] {
        let text = if path.ends_with(".rs") { format!("//! A job.\n{text}\n") } else { text.to_string() };
        let findings = check(path, &text);
        assert_eq!(findings.len(), 1, "{path}: {text}\n{}", lines(&findings));
        assert_eq!(findings[0].found, found, "{path}: {text}");
        assert!(!findings[0].advice.is_empty());
    }
}

#[test]
fn lengths_are_found_where_they_are_passed() {
    let findings = |path: &str, text: &str| check(path, text);
    let long = |lines: usize| format!("//! A job.\n{}", "fn f() {}\n".repeat(lines - 1));
    assert_eq!(findings("src/cli.rs", &long(400)), []);
    assert_eq!(findings("src/cli.rs", &long(401))[0].found, "401 lines");
    assert_eq!(findings("src/main.rs", &long(71))[0].found, "71 lines");
    assert_eq!(findings("bench/src/load.rs", &long(401))[0].found, "401 lines");
    assert_eq!(findings("src/os/mapping.rs", &long(81))[0].found, "81 lines");
    assert_eq!(findings("src/tests/flood.rs", &long(900)), []);
    let with_tests =
        format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", long(400), "    fn f() {}\n".repeat(400));
    assert_eq!(findings("src/cli.rs", &with_tests), []);

    let wide = format!("//! A job.\n// {}\n", "é".repeat(118));
    assert_eq!(findings("src/cli.rs", &wide)[0].line, 2);
    assert_eq!(findings("src/cli.rs", &wide.replacen('é', "", 1)), []);
    assert_eq!(findings("README.md", &wide), [], "a table or a real answer may be wide");
    assert_eq!(findings("src/cli.rs", "fn f() {}\n")[0].line, 1, "the job of the file is missing");
}

#[test]
fn what_is_only_spoken_of_breaks_nothing() {
    for (path, text) in [
        ("src/proto/store.rs", "// Neither std::net nor an Instant is used here; see crate::server.\n"),
        ("src/proto/store.rs", "/// Not `tokio`, no `.await`.\nfn catalog() { catalog::f(\"std::io\") }\n"),
        ("src/places/mod.rs", "use crate::proto::line::query;\nuse std::io;\nlog::info!(\"x\");\n"),
        ("src/server/clock.rs", "use crate::{config, places};\nfn f() { std::thread::sleep(d) }\n"),
        ("src/server/mod.rs", "use super::config;\nfn set_handler() {}\nstruct Handlers2;\n"),
        ("bench/src/event.rs", "async fn f() { tokio::g().await }\n"),
        ("bench/fuzz/corpus/grammar/found", "IAMAT FIXME +1+1 5\n"),
    ] {
        let text = format!("//! A job.\n{text}");
        let grouped = |finding: &Finding| finding.found != "crate::{";
        let findings: Vec<Finding> = check(path, &text).into_iter().filter(grouped).collect();
        assert!(findings.is_empty(), "{}", lines(&findings));
    }
}

#[test]
fn strange_packages_and_top_level_entries_are_found() {
    let tree = "proxyherd v0.1.0 (/x)\nmio v1.0.0\ntokio-util-like v1\nparking_lot v0.12.5\n";
    assert_eq!(check_packages(tree).iter().map(|f| f.found.as_str()).collect::<Vec<_>>(), ["mio"]);
    let paths = [
        "Cargo.toml",
        ".ci/run",
        "src/lib.rs",
        "notes.txt",
        "docs/a.md",
        "docs/b.md",
        "LICENSE",
        "findings/a.sh",
    ];
    let findings = check_top_level(paths.into_iter());
    assert_eq!(findings.iter().map(|f| f.found.as_str()).collect::<Vec<_>>(), ["docs", "notes.txt"]);
}

/// Each method away from the file of its type, each import ring, and each use upwards through the layers.
fn order_of_files(files: &[(String, String)]) -> Vec<Finding> {
    let code =
        |path: &str| path.starts_with("src/") && path.ends_with(".rs") && !path.starts_with("src/tests/");
    let homes = files.iter().filter(|(path, _)| code(path)).flat_map(|(path, text)| check_homes(path, text));
    homes.chain(check_rings("src", files)).chain(check_layers("src", files)).collect()
}

fn is_allowed(finding: &Finding) -> bool {
    ALLOWED.iter().any(|entry| entry.path == finding.path && entry.found == finding.found)
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}\n")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text files of the project with their paths: what git tracks or would track, or without git everything
/// but what is built and what runs.
fn files() -> Vec<(String, String)> {
    let git = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let paths: Vec<String> = match git {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_string).collect()
        }
        Ok(_) | Err(_) => walk(root()),
    };
    // A tracked file may be deleted, and some are pictures.
    let read = |path: String| std::fs::read_to_string(root().join(&path)).ok().map(|text| (path, text));
    paths.into_iter().filter_map(read).collect()
}

fn walk(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let skipped = folder == root() && ["target", "run", ".git"].contains(&name.as_str());
        match path.is_dir() {
            _ if skipped => {}
            true => paths.extend(walk(&path)),
            false => paths.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()),
        }
    }
    paths
}
