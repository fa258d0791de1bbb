//! `http`: the door of HTTP against one on hyper, without pipelining; and what a report and a question by place cost,
//! as the program `http` finds out.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

use super::bench::Bench;
use super::limits::connections_max;
use super::options::{Name, Scale};
use super::paired_run::{PairedRun, load_of};
use super::results::{Figures, Point, Record, point};
use super::variant;
use crate::load::Options;

/// Connections that are always busy.
const CONNECTIONS: [u32; 2] = [16, 128];

/// Connections that send, where thousands are open.
const ACTIVE: u32 = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let (variants, missing) = variant::of_http(&bench.programs);
    for (name, why) in missing {
        bench.skip(&name, &why)?;
    }
    for &connections in bench.either(&CONNECTIONS[..1], &CONNECTIONS[..]) {
        let at = point(&[("connections", &connections)]);
        let load = load_of(connections, bench.window());
        PairedRun::new(bench, at, (1, 5), load).variants(bench, variants.clone())?;
    }
    let open = connections_max(Name::Http, bench.scale());
    let at = point(&[("open", &open), ("active", &ACTIVE)]);
    let load = Options { active: Some(ACTIVE), ..load_of(open, bench.window()) };
    PairedRun::new(bench, at, (1, 5), load).variants(bench, variants)?;
    // To count instructions takes minutes.
    if bench.scale() == Scale::Quick {
        return Ok(());
    }
    let of_boxes = |attributes: &str| point(&[("box", &100), ("attributes", &attributes)]);
    for (words, at) in [
        (&["report"][..], point(&[("report", &"OwnTracks")])),
        (&["box"], of_boxes("none")),
        (&["box", "--attributes"], of_boxes("all")),
    ] {
        match counted(&bench.programs.join("http"), words) {
            Ok(rounds) => keep(bench, at, rounds)?,
            Err(why) => bench.skip(&format!("the cost of a {}", words[0]), &why)?,
        }
    }
    Ok(())
}

fn keep(bench: &mut Bench<'_>, point: Point, rounds: Vec<Figures>) -> io::Result<()> {
    bench.keep(Record { variant: "threads".to_owned(), point, rounds, ..Record::default() })
}

/// The rounds of figures that the program prints as JSON.
fn counted(program: &Path, words: &[&str]) -> Result<Vec<Figures>, String> {
    let output = Command::new(program).args(words).arg("--json").output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().next_back().unwrap_or("http failed and said nothing").to_owned());
    }
    let rounds: Vec<BTreeMap<String, f64>> =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("http printed no JSON: {error}"))?;
    Ok(rounds)
}
