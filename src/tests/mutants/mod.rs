//! Source mutants: mistakes that are put into a copy of the source, one at a time, to show that a test finds each.
//!
//! `scripts/mutants.sh` does that with the tables beside this file, so no build of ours has a mistake in it. Here it is
//! only checked that every entry still applies. An entry is
//!
//! ```text
//! mutant NAME
//! why SENTENCE
//! test PATH OF A TEST THAT MUST FAIL      (one or more)
//! find KIND KIND                          (for the simulator: one of these divergences must be found)
//! seeds FROM..TO                          (for the simulator: within these, where the script's do not suffice)
//! in FILE                                 (one or more, each with its lines)
//! -WHOLE LINES THAT STAND THERE ONCE
//! +LINES IN THEIR PLACE
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the tables are.
const FOLDER: &str = "src/tests/mutants";

#[derive(Debug, Default)]
struct Mutant {
    name: String,
    why: String,
    tests: Vec<String>,
    find: Vec<String>,
    changes: Vec<Change>,
}

#[derive(Debug, Default)]
struct Change {
    file: String,
    old: String,
    new: String,
}

#[test]
fn every_mutant_applies_to_one_place() {
    let wrong: Vec<String> = all().iter().flat_map(complaints).collect();
    assert!(wrong.is_empty(), "the tables in {FOLDER} must follow the source:\n{}", wrong.join("\n"));
}

#[test]
fn mutants_have_names_of_their_own() {
    let mut names: Vec<String> = all().into_iter().map(|mutant| mutant.name).collect();
    names.sort();
    assert!(names.is_sorted_by(|a, b| a < b), "used twice: {names:?}");
}

#[test]
fn mutant_that_does_not_apply_is_noticed() {
    let table = "mutant a\nwhy B.\ntest tests::mutants::mutants_have_names_of_their_own\nin src/lib.rs\n";
    for (lines, complaint) in [
        ("-no such line\n+x\n", "stands there 0 times"),
        ("-pub mod proto;\n+pub mod proto;\n", "changes nothing"),
        ("-\n+x\n", "times"),
        ("+x\n", "says no line"),
    ] {
        let mutant = parse(&format!("{table}{lines}")).remove(0);
        let complaints = complaints(&mutant);
        assert!(matches!(&complaints[..], [only] if only.contains(complaint)), "{lines}: {complaints:?}");
    }
    let mutant = parse(&table.replace("mutants_have", "none_has")).remove(0);
    assert_eq!(complaints(&mutant).len(), 2, "{mutant:?}");
}

/// What is wrong with an entry.
fn complaints(mutant: &Mutant) -> Vec<String> {
    let Mutant { name, why, tests, find, changes } = mutant;
    let mut wrong = Vec::new();
    if !why.ends_with('.') || tests.is_empty() {
        wrong.push(format!("{name}: it needs a sentence and a test"));
    }
    if find.is_empty() == tests.iter().any(|test| test.contains("::convergence::")) {
        wrong.push(format!(
            "{name}: it needs the kinds of divergence, if the simulator finds it, and only then"
        ));
    }
    wrong.extend(tests.iter().filter(|test| !is_test(test)).map(|test| format!("{name}: no test is {test}")));
    // One change after the other, as the script makes them: a change may make lines that the next one names.
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for Change { file, old, new } in changes {
        let read = || format!("\n{}", fs::read_to_string(root().join(file)).unwrap_or_default());
        let text = texts.entry(file).or_insert_with(read);
        let (old, new) = (format!("\n{old}"), format!("\n{new}"));
        let count = text.matches(&old).count();
        if old == "\n" {
            wrong.push(format!("{name}: it says no line of {file}"));
        } else if old == new {
            wrong.push(format!("{name}: it changes nothing in {file}"));
        } else if count != 1 {
            wrong.push(format!("{name}: this stands there {count} times in {file}:{old}"));
        }
        *text = text.replacen(&old, &new, 1);
    }
    if changes.is_empty() {
        wrong.push(format!("{name}: it changes nothing"));
    }
    wrong
}

/// Whether the file of its module has a test of this path.
fn is_test(path: &str) -> bool {
    let Some((module, test)) = path.rsplit_once("::") else { return false };
    // Those of one file stand in it.
    let (module, indent) = module.strip_suffix("::tests").map_or((module, ""), |file| (file, "    "));
    let module = root().join("src").join(module.replace("::", "/"));
    let text = [module.with_extension("rs"), module.join("mod.rs")]
        .into_iter()
        .find_map(|file| fs::read_to_string(file).ok());
    text.is_some_and(|text| text.contains(&format!("{indent}#[test]\n{indent}fn {test}()")))
}

fn all() -> Vec<Mutant> {
    let files = fs::read_dir(root().join(FOLDER)).unwrap().map(|file| file.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|kind| kind == "mutants"));
    let mutants: Vec<Mutant> = tables.flat_map(|path| parse(&fs::read_to_string(path).unwrap())).collect();
    assert!(!mutants.is_empty());
    mutants
}

fn parse(table: &str) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(name) = line.strip_prefix("mutant ") {
            mutants.push(Mutant { name: name.to_owned(), ..Mutant::default() });
            continue;
        }
        let mutant = mutants.last_mut().expect("a table begins with a mutant");
        if let Some(why) = line.strip_prefix("why ") {
            mutant.why = why.to_owned();
        } else if let Some(test) = line.strip_prefix("test ") {
            mutant.tests.push(test.to_owned());
        } else if let Some(kinds) = line.strip_prefix("find ") {
            mutant.find = kinds.split(' ').map(str::to_owned).collect();
        } else if let Some(range) = line.strip_prefix("seeds ") {
            assert!(range.starts_with("0.."), "not understood: {line}");
        } else if let Some(file) = line.strip_prefix("in ") {
            mutant.changes.push(Change { file: file.to_owned(), ..Change::default() });
        } else {
            let change = mutant.changes.last_mut().expect("lines stand behind their file");
            let (side, text) = line.split_at(1);
            let side = if side == "-" { &mut change.old } else { &mut change.new };
            assert!(line.starts_with(['-', '+']), "not understood: {line}");
            side.push_str(text);
            side.push('\n');
        }
    }
    mutants
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
