//! The file of results: one line of JSON for each variant at each point, and what of it need not be measured again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stats::Stats;
use crate::load::machine::{self, Provenance};

/// Figures of one round, by name; the unit is the end of the name (`p99_us`, `rss_bytes_per_connection`).
pub type Figures = BTreeMap<String, f64>;

/// Where in its suite a figure belongs, such as `connections` = `128`, `depth` = `16`.
pub type Point = BTreeMap<String, String>;

/// One variant at one point of a suite.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// The suite.
    pub suite: String,
    /// The point.
    pub point: Point,
    /// The variant.
    pub variant: String,
    /// The version of what the variant is made with, if that is not of this project.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_with: String,
    /// How it was measured: rounds, windows.
    pub options: Point,
    /// The figures of every round; the n-th rounds of all variants of a point were measured side by side.
    pub rounds: Vec<Figures>,
    /// Requests a second in relation to the point's first variant, from paired rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Stats>,
    /// What people are told about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Why there are fewer rounds than wanted, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Where, when and of what.
    pub provenance: Provenance,
}

impl Record {
    /// The figures of one name, one for each round that has it.
    pub fn figures(&self, name: &str) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(name).copied()).collect()
    }

    /// The statistics of the figures of one name.
    pub fn stats(&self, name: &str) -> Option<Stats> {
        Stats::of(self.figures(name))
    }

    fn is_of(&self, version: &str, suite: &str, point: &Point, options: &Point) -> bool {
        self.provenance.version == version
            && self.suite == suite
            && self.point == *point
            && self.options == *options
    }
}

/// A point of key and value pairs.
pub fn point(pairs: &[(&str, &dyn Display)]) -> Point {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect()
}

/// A point for people.
pub(crate) fn label(at: &Point) -> String {
    at.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// A file of results.
#[derive(Debug)]
pub struct Results {
    pub(super) path: PathBuf,
    records: Vec<Record>,
}

impl Results {
    /// Reads the file at `path`, which need not exist. Lines that are no records of ours, or were cut off when
    /// a run was killed, are passed over.
    pub fn open(path: &Path) -> io::Result<Results> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Results { path: path.to_owned(), records })
    }

    /// The records, of each variant at each point of each version the latest, in the order of the file.
    pub fn latest(&self) -> Vec<&Record> {
        let same = |a: &Record, b: &Record| {
            a.variant == b.variant && a.is_of(&b.provenance.version, &b.suite, &b.point, &b.options)
        };
        let is_last =
            |at: &usize| !self.records[at + 1..].iter().any(|later| same(&self.records[*at], later));
        (0..self.records.len()).filter(is_last).map(|at| &self.records[at]).collect()
    }

    /// The variants that have been measured at a point, without failure, in this version, this way. Of those
    /// measured more than once, the latest counts.
    pub fn done(&self, version: &str, suite: &str, point: &Point, options: &Point) -> Vec<&Record> {
        let here = self.latest().into_iter().filter(|record| record.is_of(version, suite, point, options));
        here.filter(|record| record.failed.is_none()).collect()
    }

    /// Adds a record to the file.
    pub fn add(&mut self, record: Record) -> io::Result<()> {
        machine::append(&self.path, &record)?;
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(variant: &str, rate: f64) -> Record {
        Record {
            suite: "grid".to_owned(),
            point: point(&[("depth", &1)]),
            variant: variant.to_owned(),
            rounds: vec![Figures::from([("per_second".to_owned(), rate)])],
            provenance: Provenance { version: "v1".to_owned(), ..Provenance::default() },
            ..Record::default()
        }
    }

    fn file(name: &str) -> PathBuf {
        let name = format!("proxyherd-results-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let path = file("resume");
        let mut results = Results::open(&path).unwrap();
        results.add(record("threads", 1.0)).unwrap();
        results.add(Record { failed: Some("died".to_owned()), ..record("tokio", 1.0) }).unwrap();
        let results = Results::open(&path).unwrap();
        let point = point(&[("depth", &1)]);
        let done = |version, suite, point: &Point, options: &Point| {
            let done = results.done(version, suite, point, options);
            done.iter().map(|record| record.variant.clone()).collect::<Vec<_>>()
        };
        let none = Point::new();
        assert_eq!(done("v1", "grid", &point, &none), ["threads"], "what failed is tried again");
        assert!(done("v2", "grid", &point, &none).is_empty(), "another commit");
        assert!(done("v1", "open", &point, &none).is_empty(), "another suite");
        assert!(done("v1", "grid", &none, &none).is_empty(), "another point");
        assert!(done("v1", "grid", &point, &point.clone()).is_empty(), "other options");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_only_itself() {
        let path = file("cut");
        Results::open(&path).unwrap().add(record("threads", 1.0)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        let mut results = Results::open(&path).unwrap();
        results.add(record("tokio", 2.0)).unwrap();
        results.add(record("threads", 3.0)).unwrap();
        let results = Results::open(&path).unwrap();
        let latest = results.latest();
        let seen: Vec<_> =
            latest.iter().map(|it| (it.variant.as_str(), it.figures("per_second")[0])).collect();
        assert_eq!(seen, [("tokio", 2.0), ("threads", 3.0)], "of two records the later counts");
        fs::remove_file(&path).unwrap();
    }
}
