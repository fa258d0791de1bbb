//! `line`: instructions of one report, from bytes in the buffer to bytes of the reply, as the program `line` counts
//! them.

use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::bench::Bench;
use super::results::{Figures, Point, Record};

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    match figures_of(&bench.programs.join("line"), &["--json"]) {
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

/// The figures that a program prints as a line of JSON, by their names. Of this one they are instructions, by what is
/// reported, with sixteen lines in a buffer.
pub(super) fn figures_of(program: &Path, args: &[&str]) -> Result<Figures, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().next_back().unwrap_or("it failed and said nothing").to_owned());
    }
    let counts: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} printed no JSON: {error}", program.display()))?;
    let figures = counts.as_object().into_iter().flatten();
    Ok(figures.filter_map(|(name, count)| Some((name.clone(), count.as_f64()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named() {
        let missing = figures_of(Path::new("no/such/line"), &[]);
        assert!(missing.unwrap_err().starts_with("cannot start no/such/line: "));
    }
}
