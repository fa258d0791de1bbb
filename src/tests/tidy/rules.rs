//! The rules themselves: pure functions from a path and a text to findings.

use std::fmt;

use super::lexer::lex;
use super::walls::{OPENINGS, WALLS, Wall};

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) path: String,
    /// 1 for the first; 0 where the whole file is meant.
    pub(super) line: usize,
    /// The words that break the rule.
    pub(super) found: String,
    /// What to do.
    pub(super) advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`: {}", self.path, self.line, self.found, self.advice)
    }
}

const CODE_LINES_MAX: usize = 400;
const MAIN_LINES_MAX: usize = 70;
/// The only file with `unsafe`, and how long it may be without its tests.
const UNSAFE_FILE: &str = "src/os/mapping.rs";
const UNSAFE_LINES_MAX: usize = 80;
const LINE_CHARS_MAX: usize = 120;

/// What one file breaks. `path` is relative to the root of the repository.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Findings { path, list: Vec::new() };
    // A fuzzer has found these; they are no text of ours.
    if path.starts_with("bench/fuzz/corpus/") {
        return found.list;
    }
    check_name(path, &mut found);
    check_any_text(text, &mut found);
    if path.ends_with(".rs") {
        check_rust(path, text, &mut found);
    } else {
        check_unfinished(text, &mut found);
    }
    if [".rs", ".sh", "Cargo.toml"].iter().any(|end| path.ends_with(end)) {
        let advice = format!("break the line, it is longer than {LINE_CHARS_MAX} characters");
        for (at, line) in text.lines().enumerate().filter(|(_, line)| line.chars().count() > LINE_CHARS_MAX) {
            found.add(at + 1, &line.chars().take(40).collect::<String>(), &advice);
        }
    }
    found.list
}

/// What is wrong with the tree of packages that `cargo tree --prefix none` printed.
pub(super) fn check_packages(tree: &str) -> Vec<Finding> {
    const BANNED: [&str; 9] =
        ["tokio", "async-std", "smol", "mio", "hyper", "reqwest", "openssl", "openssl-sys", "native-tls"];
    let mut found = Findings { path: "Cargo.toml", list: Vec::new() };
    for package in tree.lines().filter_map(|line| line.split(' ').next()) {
        if BANNED.contains(&package) {
            found.add(
                0,
                package,
                "the server is synchronous and its TLS is rustls; such packages live in bench",
            );
        }
    }
    found.list
}

/// What does not belong into the root of the repository, of the paths tracked in it.
pub(super) fn check_top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    const ENTRIES: [&str; 9] =
        ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "src", "bench", "scripts", "report", "findings"];
    let mut tops: Vec<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    tops.sort_unstable();
    tops.dedup();
    let strange = tops.iter().filter(|top| !top.starts_with('.') && !ENTRIES.contains(top));
    let mut found = Findings { path: "(root)", list: Vec::new() };
    for top in strange {
        found.add(0, top, "give it a room under src, bench, scripts, report or findings");
    }
    found.list
}

struct Findings<'a> {
    path: &'a str,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, line: usize, found: &str, advice: &str) {
        let (path, found, advice) = (self.path.to_string(), found.to_string(), advice.to_string());
        self.list.push(Finding { path, line, found, advice });
    }

    /// Adds a finding for every line of `text` with one of `words`.
    fn add_words(&mut self, text: &str, words: &[&str], advice: &str) {
        for (at, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                self.add(at + 1, word, advice);
            }
        }
    }
}

fn check_any_text(text: &str, found: &mut Findings<'_>) {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];
    for (at, line) in text.lines().enumerate() {
        for path in paths.iter().filter(|path| line.contains(**path)) {
            found.add(at + 1, path, "no other machine has this path; make it relative");
        }
    }
}

fn check_unfinished(text: &str, found: &mut Findings<'_>) {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    found.add_words(text, &words, "finish it, or write down elsewhere what is left to do");
}

fn check_name(path: &str, found: &mut Findings<'_>) {
    for part in path.split('/') {
        let name = part.split('.').next().unwrap_or(part);
        if is_vague(name) {
            found.add(0, name, "name it after what it is about");
        }
    }
}

fn is_vague(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let singular = name.strip_suffix('s').unwrap_or(&name);
    matches!(singular, "util" | "utilitie" | "utility" | "helper" | "manager" | "handler" | "misc" | "stuff")
        || name == "misc"
}

fn check_rust(path: &str, text: &str, found: &mut Findings<'_>) {
    let lexed = lex(text);
    let code = lexed.code.as_str();
    if !text.starts_with("//!") {
        found.add(
            1,
            text.lines().next().unwrap_or(""),
            "begin the file with `//!` and its job in a sentence",
        );
    }
    check_unfinished(code, found);
    check_unfinished(&lexed.comments, found);
    found.add_words(code, &["todo!", "unimplemented!"], "write it, or make the case an error");
    if path != UNSAFE_FILE {
        let advice = format!("only {UNSAFE_FILE} may, for what no safe call of a library can");
        found.add_words(code, &["unsafe", "unsafe_code"], &advice);
    }
    found.add_words(code, &["#[ignore"], "a test that does not run proves nothing: repair or remove it");
    check_names_in(code, found);
    check_length(path, code, found);
    if path.starts_with("src/") {
        let words = ["tokio", "async_std", "async fn", "async move", "async {", ".await"];
        found.add_words(code, &words, "the server is synchronous; event-driven variants live in bench");
    }
    let tests = if path.starts_with("src/tests/") { 0 } else { tests_begin(code).unwrap_or(usize::MAX) };
    for (at, line) in code.lines().enumerate().skip(tests) {
        if has_word(line, "sleep") {
            found.add(at + 1, "sleep", "wait for an event with a deadline");
        }
    }
    for wall in WALLS.iter().filter(|wall| wall.room_has(path)) {
        check_wall(wall, path, code, found);
    }
}

fn check_names_in(code: &str, found: &mut Findings<'_>) {
    for (at, line) in code.lines().enumerate() {
        let mut words =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            let Some(name) = (match word {
                "mod" | "struct" | "enum" | "trait" => words.next(),
                _ => None,
            }) else {
                continue;
            };
            let vague_type = ["Manager", "Handler", "Helper", "Utils"].iter().any(|end| name.ends_with(end));
            if is_vague(name) || vague_type {
                found.add(at + 1, name, "name it after what it is or does");
            }
        }
    }
}

fn check_length(path: &str, code: &str, found: &mut Findings<'_>) {
    if path.starts_with("src/tests/") {
        return;
    }
    let lines: Vec<&str> = code.lines().collect();
    let begin = tests_begin(code);
    let count = begin.unwrap_or(lines.len());
    let limit = match path {
        "src/main.rs" => MAIN_LINES_MAX,
        UNSAFE_FILE => UNSAFE_LINES_MAX,
        _ => CODE_LINES_MAX,
    };
    if count > limit {
        let advice = format!("split the file, it may have {limit} lines without its tests");
        found.add(count, &format!("{count} lines"), &advice);
    }
    // Otherwise code behind the tests would not count.
    let Some(begin) = begin else { return };
    let close = (begin..lines.len()).find(|&at| lines[at] == "}").unwrap_or(lines.len() - 1);
    if let Some(at) = (close + 1..lines.len()).find(|&at| !lines[at].trim().is_empty()) {
        found.add(at + 1, lines[at], "tests come last in a file: move this above them");
    }
}

/// The index of the line `#[cfg(test)]` before the module of tests in this file.
fn tests_begin(code: &str) -> Option<usize> {
    let lines: Vec<&str> = code.lines().collect();
    (1..lines.len())
        .find(|&at| {
            lines[at - 1] == "#[cfg(test)]" && lines[at].starts_with("mod ") && lines[at].ends_with('{')
        })
        .map(|at| at - 1)
}

fn check_wall(wall: &Wall, path: &str, code: &str, found: &mut Findings<'_>) {
    found.add_words(code, wall.words, wall.why);
    let grouped = ["std::{", "crate::{", "proxyherd::{"];
    found.add_words(code, &grouped, "write one `use` for each module, so that the walls can be seen");
    let openings = OPENINGS.iter().filter(|(room, _)| *room == wall.room);
    let code =
        openings.fold(code.to_owned(), |code, (_, part)| code.replace(&format!("crate::{part}::"), ""));
    for room in wall.rooms {
        found.add_words(&code, &[&format!("crate::{room}"), &format!("proxyherd::{room}")], wall.why);
        // In the root of a room `super` is the crate.
        if path == format!("src/{}.rs", wall.room) || path == format!("src/{}/mod.rs", wall.room) {
            found.add_words(outside_modules(&code), &[&format!("super::{room}")], wall.why);
        }
    }
}

/// The code before the module of tests, in which `super` is something else.
fn outside_modules(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ").map_or(code, |at| &code[..at])
}

/// Whether `line` has `word`, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let joined_before = word.starts_with(in_word) && line[..at].ends_with(in_word);
        let joined_after = word.ends_with(in_word) && line[at + word.len()..].starts_with(in_word);
        !joined_before && !joined_after
    })
}
