//! What is aimed at, and the scoreboard of what has been measured of it: `targets.toml` has a line for each series of
//! points.

use std::io;

use serde::Deserialize;

use super::results::{Figures, Point, Record, Results, label};
use super::stats::Stats;
use crate::table::table;

const FILE: &str = include_str!("../../targets.toml");

const TITLES: [&str; 6] = ["suite", "point", "figure", "target", "measured", "verdict"];

/// As much as two figures that ought to be the same may differ: they were divided, not measured.
const SAME: f64 = 1e-9;

#[derive(Debug, Deserialize)]
struct File {
    target: Vec<Target>,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    suite: String,
    /// The point, as results name it; several values of a key, separated by commas, are as many points.
    at: String,
    /// `FIGURE of VARIANT`, then perhaps `/ VARIANT` or `- VARIANT`: divided by its, or less its, in the same round.
    what: String,
    /// What the figure should be: `>= NUMBER` or `<= NUMBER` for the median, `= NUMBER` for every round.
    is: String,
    /// The reason for the number.
    why: String,
}

/// What a target says of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Exactly(f64),
}

/// The targets of a suite that this version has measured something of; or all, with what any version has measured last.
///
/// # Errors
/// If a line of `targets.toml` says what it cannot say.
pub fn scoreboard(results: &Results, only: Option<(&str, &str)>) -> io::Result<String> {
    let File { target: targets } = toml::from_str(FILE).map_err(io::Error::other)?;
    let wanted = |record: &&Record| {
        only.is_none_or(|(suite, version)| record.suite == suite && record.provenance.version == version)
    };
    let records: Vec<&Record> = results.latest().into_iter().filter(wanted).collect();
    let (mut rows, mut met, mut judged, mut open) = (Vec::new(), 0, 0, 0);
    for target in targets.iter().filter(|target| only.is_none_or(|(suite, _)| target.suite == suite)) {
        for point in points(&target.at) {
            let goal = Goal::parse(&target.is).ok_or_else(|| target.odd("is"))?;
            let measured = target.measured(&records, &point)?;
            match measured.map(|stats| goal.is_met(stats)) {
                Some(is_met) => (met, judged) = (met + usize::from(is_met), judged + 1),
                None => open += 1,
            }
            if measured.is_some() || only.is_none() {
                rows.push(target.row(&point, goal, measured));
            }
        }
    }
    if rows.is_empty() {
        return Ok(String::new());
    }
    let text = table(&TITLES, &rows);
    Ok(format!("{text}{met} of {judged} targets are met, {open} more have not been measured.\n"))
}

impl Target {
    fn measured(&self, records: &[&Record], point: &Point) -> io::Result<Option<Stats>> {
        let odd = || self.odd("what");
        let (figure, variants) = self.what.split_once(" of ").ok_or_else(odd)?;
        let words: Vec<&str> = variants.split(' ').collect();
        let rounds_of = |name: &str, beside: Option<&Record>| {
            let is_it = |record: &&&Record| {
                let version = &record.provenance.version;
                record.suite == self.suite
                    && record.point == *point
                    && record.variant == name.replace('_', " ")
                    && beside.is_none_or(|beside| beside.provenance.version == *version)
            };
            records.iter().rfind(is_it).copied()
        };
        let Some(own) = rounds_of(words[0], None) else { return Ok(None) };
        let paired: fn(f64, f64) -> f64 = match words[1..] {
            [] => return Ok(Stats::of(own.figures(figure))),
            ["/", _] => |own, other| own / other,
            ["-", _] => |own, other| own - other,
            _ => return Err(odd()),
        };
        let Some(other) = rounds_of(words[2], Some(own)) else { return Ok(None) };
        let get = |round: &Figures| round.get(figure).copied().unwrap_or(f64::NAN);
        let pairs = own.rounds.iter().zip(&other.rounds);
        Ok(Stats::of(pairs.map(|(own, other)| paired(get(own), get(other)))))
    }

    fn row(&self, point: &Point, goal: Goal, measured: Option<Stats>) -> Vec<String> {
        let shown = measured.map_or_else(|| "-".to_owned(), |stats| stats.to_string());
        let verdict = match measured {
            Some(stats) if goal.is_met(stats) => "met".to_owned(),
            Some(_) => format!("NOT MET: {}", self.why),
            None => "not measured".to_owned(),
        };
        vec![self.suite.clone(), label(point), self.what.clone(), self.is.clone(), shown, verdict]
    }

    fn odd(&self, key: &str) -> io::Error {
        io::Error::other(format!("targets.toml: {key:?} is not understood, in of {self:?}"))
    }
}

impl Goal {
    fn parse(text: &str) -> Option<Goal> {
        let (sign, number) = text.split_once(' ')?;
        let number = number.parse().ok()?;
        Some(match sign {
            ">=" => Goal::AtLeast(number),
            "<=" => Goal::AtMost(number),
            "=" => Goal::Exactly(number),
            _ => return None,
        })
    }

    fn is_met(self, Stats { median, min, max }: Stats) -> bool {
        match self {
            Goal::AtLeast(least) => median >= least,
            Goal::AtMost(most) => median <= most,
            Goal::Exactly(exact) => (min - exact).abs() <= SAME && (max - exact).abs() <= SAME,
        }
    }
}

/// All points of a series. Instead of a space there is `_`.
fn points(at: &str) -> Vec<Point> {
    at.split(' ').filter_map(|pair| pair.split_once('=')).fold(vec![Point::new()], |points, (key, values)| {
        let with = |value: &str| {
            points
                .iter()
                .cloned()
                .map(move |mut point| {
                    point.insert(key.to_owned(), value.replace('_', " "));
                    point
                })
                .collect::<Vec<_>>()
        };
        values.split(',').flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::results::point;
    use super::*;

    fn results(name: &str, records: &[(&str, &[f64])]) -> Results {
        let path: PathBuf = std::env::temp_dir().join(format!("targets-{}-{name}", std::process::id()));
        let mut results = Results::open(&path).unwrap();
        for (variant, rates) in records {
            let round = |rate: &f64| Figures::from([("per_second".to_owned(), *rate)]);
            let record = Record {
                suite: "grid".to_owned(),
                point: point(&[("cpu", &"all"), ("depth", &1), ("connections", &16)]),
                variant: (*variant).to_owned(),
                rounds: rates.iter().map(round).collect(),
                ..Record::default()
            };
            results.add(record).unwrap();
        }
        std::fs::remove_file(path).unwrap();
        results
    }

    #[test]
    fn scoreboard_shows_ratios_of_rounds_side_by_side_with_verdict_and_reason() {
        let results = results("pair", &[("threads", &[100.0, 10.0, 90.0]), ("echo", &[200.0, 20.0, 100.0])]);
        let text = scoreboard(&results, Some(("grid", ""))).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(rows[2].contains("| per_second of threads / echo | >= 0.95 | 0.50 (0.50..0.90) | NOT MET: "));
        assert!(rows[3].starts_with("0 of 1 targets are met, "), "{text}");
        assert_eq!(scoreboard(&results, Some(("idle", ""))).unwrap(), "", "another suite");
        assert!(scoreboard(&results, None).unwrap().contains("| not measured"));
    }

    #[test]
    fn every_line_of_the_file_is_understood_and_names_a_suite() {
        let empty = results("none", &[("nobody", &[])]);
        scoreboard(&empty, None).unwrap();
        let File { target: targets } = toml::from_str(FILE).unwrap();
        for target in targets {
            let suite = <super::super::options::Name as clap::ValueEnum>::from_str(&target.suite, false);
            suite.unwrap();
            let words = target.what.split(' ').count();
            assert!([3, 5].contains(&words) && !target.why.is_empty(), "{target:?}");
        }
    }

    #[test]
    fn median_decides_and_exact_goal_must_be_reached_in_every_round() {
        let met =
            |goal: &str, median, min, max| Goal::parse(goal).unwrap().is_met(Stats { median, min, max });
        assert!(met(">= 0.95", 0.95, 0.5, 1.5) && !met(">= 0.951", 0.95, 0.5, 1.5));
        assert!(met("<= 0.95", 0.95, 0.5, 1.5) && !met("<= 0.949", 0.95, 0.5, 1.5));
        assert!(met("= 6", 6.0, 6.0, 6.0) && !met("= 6", 6.0, 6.0, 6.005));
        assert_eq!(Goal::parse("about 6"), None);
    }

    #[test]
    fn series_is_every_combination_of_its_values() {
        let points = points("depth=1,16 connections=1,128 cpu=all");
        assert_eq!(points.len(), 4);
        assert!(points.contains(&point(&[("depth", &16), ("connections", &1), ("cpu", &"all")])));
    }
}
