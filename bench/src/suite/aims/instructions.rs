//! Aim 2: instructions for a report, from bytes in the buffer to bytes of the reply, as the program `line` counts them.

use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::super::bench::Bench;
use super::super::spread::Spread;
use super::card::{Card, Finding};
use super::verdict::{Aim, Seen};

/// What the report is of, what `line` calls it, and how many instructions it may take.
const LINES: [(&str, &str, f64); 2] =
    [("a known client", "known_1_7", 700.0), ("a new client", "new_1_7", 1_000.0)];

/// Coordinates of the reports, and lines in a buffer.
const PLACE: &str = "1 to 7 decimal places, P=16";

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    bench.say("counting instructions")?;
    let counted = count(&bench.programs.join("line"));
    for (what, name, most) in LINES {
        let seen = match &counted {
            Ok(counts) => found(counts, name),
            Err(why) => Seen::Nothing(why.clone()),
        };
        let place = PLACE.to_owned();
        card.add(Finding { number: 2, what, place, aim: Aim::AtMost(most), unit: "instructions", seen });
    }
    Ok(())
}

fn count(program: &Path) -> Result<Value, String> {
    if !program.is_file() {
        return Err(format!("it has not been built: {} is missing", program.display()));
    }
    let output = Command::new(program).arg("--json").output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().next_back().unwrap_or("line failed and said nothing").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("line printed no JSON: {error}"))
}

/// The same program takes the same instructions each time, so there is one figure.
fn found(counts: &Value, name: &str) -> Seen {
    match counts.get(name).and_then(Value::as_f64) {
        Some(count) => Seen::Figure(Spread { median: count, min: count, max: count }),
        None => Seen::Nothing(format!("line printed no {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_names() {
        let counts = serde_json::json!({ "known_1_7": 747.5, "new_1_7": "many" });
        assert_eq!(
            found(&counts, "known_1_7"),
            Seen::Figure(Spread { median: 747.5, min: 747.5, max: 747.5 })
        );
        assert_eq!(found(&counts, "new_1_7"), Seen::Nothing("line printed no new_1_7".to_owned()));
        let why = count(Path::new("no/such/line")).unwrap_err();
        assert_eq!(why, "it has not been built: no/such/line is missing");
    }
}
