//! What all suites are given: the variants, the results so far, and the output that they report to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::{Name, Options, Scale};
use super::results::{Point, Record, Results, point};
use super::server::{Servers, Start};
use super::targets;
use super::variant::{self, Able, Variant};
use crate::abusive_clients::behaviour::Behaviour;
use crate::load::clock;
use crate::load::machine::Provenance;
use crate::table::{self, Column};

/// What all suites are given.
pub(super) struct Bench<'a> {
    options: &'a Options,
    said: &'a mut dyn Write,
    pub(super) results: Results,
    pub(super) provenance: Provenance,
    variants: Vec<Variant>,
    missing: BTreeMap<String, String>,
    /// The folder of this project's programs.
    pub(super) programs: PathBuf,
    versions: BTreeMap<String, String>,
    scratch: PathBuf,
    suite: String,
    began_ns: u64,
    /// What has gone wrong, a sentence each.
    wrong: Vec<String>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(options: &'a Options, said: &'a mut dyn Write) -> io::Result<Bench<'a>> {
        let own = std::env::current_exe()?;
        let beside = own.parent().unwrap_or(Path::new("."));
        let programs = options.programs.clone().unwrap_or_else(|| beside.to_owned());
        let (mut variants, mut missing) = variant::all(&programs);
        if !options.variants.is_empty() {
            let unknown =
                |name: &&String| !variants.iter().any(|it| it.name == **name) && !missing.contains_key(*name);
            if let Some(name) = options.variants.iter().find(unknown) {
                return Err(io::Error::other(format!("there is no variant {name}")));
            }
            variants.retain(|variant| options.variants.contains(&variant.name));
            missing.retain(|name, _| options.variants.contains(name));
        }
        let scratch = PathBuf::from("target/bench/run");
        fs::create_dir_all(&scratch)?;
        Ok(Bench {
            options,
            said,
            results: Results::open(&options.out())?,
            provenance: Provenance::here(),
            versions: variants.iter().map(|variant| (variant.name.clone(), variant.version())).collect(),
            variants,
            missing,
            programs,
            // Servers are told this path, and may be started in another folder.
            scratch: scratch.canonicalize()?,
            suite: String::new(),
            began_ns: clock::monotonic_ns(),
            wrong: Vec::new(),
        })
    }

    /// How thorough to be.
    pub(super) fn scale(&self) -> Scale {
        self.options.scale()
    }

    /// One of two values.
    pub(super) fn either<T>(&self, quick: T, full: T) -> T {
        match self.scale() {
            Scale::Quick => quick,
            Scale::Full => full,
        }
    }

    /// Rounds of a point, unless the user has said otherwise.
    pub(super) fn rounds(&self, quick: u32, full: u32) -> u32 {
        self.options.rounds.unwrap_or(self.either(quick, full))
    }

    /// The measured part of a round, unless the user has said otherwise.
    pub(super) fn window(&self) -> Duration {
        self.options.window.unwrap_or(Duration::from_secs(1))
    }

    /// The variants that are able to do something, in their order.
    pub(super) fn variants(&self, able: impl Fn(&Able) -> bool) -> Vec<Variant> {
        self.variants.iter().filter(|variant| able(&variant.able)).cloned().collect()
    }

    /// The variants for a point: in the full form all that are able, in the small form only the opponents proper.
    pub(super) fn field(&self, able: impl Fn(&Able) -> bool) -> Vec<Variant> {
        let quick = self.scale() == Scale::Quick;
        self.variants(|it| able(it) && (!quick || (it.herd && it.crowds)))
    }

    /// The variant of this name, if it is to be measured and can be.
    pub(super) fn variant(&self, name: &str) -> Option<Variant> {
        self.variants.iter().find(|variant| variant.name == name).cloned()
    }

    /// Those of the variants with these names that are there.
    pub(super) fn named(&self, names: &[&str]) -> Vec<Variant> {
        names.iter().filter_map(|name| self.variant(name)).collect()
    }

    /// Whether a crowd is to come.
    pub(super) fn wants(&self, behaviour: Behaviour) -> bool {
        self.options.crowds.is_empty() || self.options.crowds.contains(&behaviour)
    }

    /// Says which variants are not there.
    pub(super) fn name_missing(&mut self) -> io::Result<()> {
        for (name, why) in self.missing.clone() {
            self.say(&format!("{name}: skipped, {why}"))?;
        }
        Ok(())
    }

    /// A suite begins.
    pub(super) fn begin(&mut self, name: Name) -> io::Result<()> {
        self.suite = format!("{name:?}").to_lowercase();
        let seconds = (clock::monotonic_ns() - self.began_ns) / clock::NS_PER_SECOND;
        self.say(&format!("-- {} (after {} min {:02} s)", self.suite, seconds / 60, seconds % 60))
    }

    /// Something is not measured, and that is as it should be.
    pub(super) fn skip(&mut self, what: &str, why: &str) -> io::Result<()> {
        self.say(&format!("{what}: skipped, {why}"))
    }

    /// Something went wrong; the rest goes on.
    pub(super) fn fail(&mut self, what: &str, why: &str) -> io::Result<()> {
        let sentence = format!("{} {what}: {why}", self.suite);
        self.say(&format!("FAILED {sentence}"))?;
        self.wrong.push(sentence);
        Ok(())
    }

    /// Tells people one line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.said, "{line}")?;
        self.said.flush()
    }

    /// Shows people the medians of some figures.
    pub(super) fn show(&mut self, records: &[Record], columns: &[Column<'_>]) -> io::Result<()> {
        write!(self.said, "{}", table::of_figures(records, columns))
    }

    /// The scoreboard of the targets that the suite has measured something of.
    pub(super) fn check_targets(&mut self) -> io::Result<()> {
        let text = targets::scoreboard(&self.results, Some((&self.suite, &self.provenance.version)))?;
        write!(self.said, "{text}")
    }

    /// A folder for files of a suite.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Starts servers, with their files in the scratch folder.
    pub(super) fn start(&self, variant: &Variant, start: Start<'_>) -> Result<Servers, String> {
        Servers::start(variant, start, &self.scratch)
    }

    /// The variants of `wanted` that have been measured at a point already.
    pub(super) fn done(&self, at: &Point, options: &Point) -> Vec<Record> {
        if self.options.again {
            return Vec::new();
        }
        let done = self.results.done(&self.provenance.version, &self.suite, at, options);
        done.into_iter().cloned().collect()
    }

    /// Keeps what a variant has shown at a point.
    pub(super) fn keep(&mut self, record: Record) -> io::Result<()> {
        let provenance = Provenance { date: clock::date(), ..self.provenance.clone() };
        let made_with = self.versions.get(&record.variant).cloned().unwrap_or_default();
        self.results.add(Record { suite: self.suite.clone(), provenance, made_with, ..record })
    }

    /// The run is over: what has gone wrong in it.
    pub(super) fn end(self) -> io::Result<Vec<String>> {
        let Bench { said, results, began_ns, wrong, .. } = self;
        let seconds = (clock::monotonic_ns() - began_ns) / clock::NS_PER_SECOND;
        let path = results.path.display();
        writeln!(said, "done in {} min {:02} s; results are in {path}", seconds / 60, seconds % 60)?;
        Ok(wrong)
    }
}

/// How a point was measured, for the key of its results.
pub(super) fn how(rounds: u32, window: Duration) -> Point {
    point(&[("rounds", &rounds), ("window_ms", &window.as_millis())])
}
