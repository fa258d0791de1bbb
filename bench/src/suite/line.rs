//! `line`: instructions of one report, from bytes in the buffer to bytes of the reply, as the program `line` counts
//! them.

use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::bench::Bench;
use super::results::{Figures, Point, Record};

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    match count(&bench.programs.join("line")) {
        // The same program takes the same instructions each time, so there is one round.
        Ok(figures) => bench.keep(Record {
            variant: "threads".to_owned(),
            point: Point::from([("lines".to_owned(), "16".to_owned())]),
            rounds: vec![figures],
            ..Record::default()
        }),
        Err(why) => bench.skip("the instructions of a line", &why),
    }
}

/// Instructions by what is reported, with sixteen lines in a buffer.
fn count(program: &Path) -> Result<Figures, String> {
    let output = Command::new(program).arg("--json").output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().next_back().unwrap_or("line failed and said nothing").to_owned());
    }
    let counts: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("line printed no JSON: {error}"))?;
    let figures = counts.as_object().into_iter().flatten();
    Ok(figures.filter_map(|(name, count)| Some((name.clone(), count.as_f64()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named() {
        assert!(count(Path::new("no/such/line")).unwrap_err().starts_with("cannot start no/such/line: "));
    }
}
