//! Two runs side by side: which of their ratios may be quoted.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use super::results::{Point, Record, Results, label};
use super::stats::Stats;
use crate::table::table;

/// What two runs say together of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// All rounds of both runs are on the same side of 1.
    Sure,
    /// Both medians are on the same side of 1, but not all rounds.
    Leaning,
    /// The medians are on different sides of 1, or on 1 itself.
    Open,
}

/// The ratios that two files have in common, and what they say of each.
#[derive(Debug)]
pub struct Comparison {
    ratios: Vec<(String, Stats, Stats, Verdict)>,
    /// Ratios that only one of the files has.
    alone: usize,
}

/// Compares the ratios of two files of results. Of each variant at each point the last line of a file counts; what a
/// variant has in relation to itself is left out.
///
/// # Errors
/// If a file cannot be read, or there is none.
pub fn compare(first: &Path, second: &Path) -> io::Result<Comparison> {
    Ok(Comparison::of(&ratios(first)?, &ratios(second)?))
}

type Key = (String, Point, String);

fn ratios(path: &Path) -> io::Result<BTreeMap<Key, Stats>> {
    if !path.is_file() {
        return Err(io::Error::other(format!("there is no file {}", path.display())));
    }
    let results = Results::open(path)?;
    let one = |record: &Record| {
        let ratio = record.ratio.filter(|_| record.failed.is_none())?;
        Some(((record.suite.clone(), record.point.clone(), record.variant.clone()), ratio))
    };
    let ratios: BTreeMap<Key, Stats> = results.latest().into_iter().filter_map(one).collect();
    let is_base = |ratio: &Stats| ratio.min == 1.0 && ratio.max == 1.0;
    Ok(ratios.into_iter().filter(|(_, ratio)| !is_base(ratio)).collect())
}

impl Comparison {
    fn of(first: &BTreeMap<Key, Stats>, second: &BTreeMap<Key, Stats>) -> Comparison {
        let both = first.iter().filter_map(|(key, a)| Some((key, *a, *second.get(key)?)));
        let ratios: Vec<_> = both
            .map(|((suite, point, variant), a, b)| {
                (format!("{suite} {} {variant}", label(point)), a, b, Verdict::of(a, b))
            })
            .collect();
        let alone = first.len() + second.len() - 2 * ratios.len();
        Comparison { ratios, alone }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.ratios.iter().filter(|(.., it)| *it == verdict).count()
    }
}

impl Verdict {
    fn of(a: Stats, b: Stats) -> Verdict {
        let is_above = |stats: Stats| stats.median > 1.0;
        let is_below = |stats: Stats| stats.median < 1.0;
        if !(is_above(a) && is_above(b) || is_below(a) && is_below(b)) {
            Verdict::Open
        } else if a.agrees_about(1.0) && b.agrees_about(1.0) {
            Verdict::Sure
        } else {
            Verdict::Leaning
        }
    }
}

/// Those that may not be quoted are named.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { ratios, alone } = self;
        writeln!(f, "{} ratios are in both files, {alone} in one of them only.", ratios.len())?;
        writeln!(f, "{} are on the same side of 1 in all rounds of both.", self.count(Verdict::Sure))?;
        let what = "have both medians on the same side, but not all rounds: leaning";
        writeln!(f, "{} {what}.", self.count(Verdict::Leaning))?;
        let what = "are on one side in one run and on the other in the other: open, not to be quoted";
        writeln!(f, "{} {what}.", self.count(Verdict::Open))?;
        let unsure = ratios.iter().filter(|(.., verdict)| *verdict != Verdict::Sure);
        let row = |(name, a, b, verdict): &(String, Stats, Stats, Verdict)| {
            vec![name.clone(), format!("{a:.2}"), format!("{b:.2}"), format!("{verdict:?}").to_lowercase()]
        };
        let rows: Vec<_> = unsure.map(row).collect();
        write!(f, "{}", table(&["ratio", "one run", "the other", "verdict"], &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::results::point;

    fn ratios(these: &[(&str, f64, f64, f64)]) -> BTreeMap<Key, Stats> {
        let at = point(&[("depth", &1)]);
        let one = |&(variant, min, median, max): &(&str, f64, f64, f64)| {
            (("grid".to_owned(), at.clone(), variant.to_owned()), Stats { median, min, max })
        };
        these.iter().map(one).collect()
    }

    #[test]
    fn a_ratio_is_sure_only_if_every_round_of_both_runs_says_so() {
        let first = ratios(&[
            ("ahead", 1.1, 1.2, 1.3),
            ("behind", 0.5, 0.6, 0.7),
            ("doubtful", 0.9, 1.2, 1.3),
            ("turned", 1.1, 1.2, 1.3),
            ("on the line", 0.9, 1.0, 1.1),
            ("gone", 2.0, 2.0, 2.0),
        ]);
        let second = ratios(&[
            ("ahead", 1.05, 1.1, 1.3),
            ("behind", 0.5, 0.9, 0.95),
            ("doubtful", 1.1, 1.2, 1.3),
            ("turned", 0.7, 0.8, 0.9),
            ("on the line", 0.9, 1.0, 1.1),
        ]);
        let comparison = Comparison::of(&first, &second);
        let verdicts: BTreeMap<&str, Verdict> = comparison
            .ratios
            .iter()
            .map(|(name, .., verdict)| (name.strip_prefix("grid depth=1 ").unwrap(), *verdict))
            .collect();
        let expected = [
            ("ahead", Verdict::Sure),
            ("behind", Verdict::Sure),
            ("doubtful", Verdict::Leaning),
            ("on the line", Verdict::Open),
            ("turned", Verdict::Open),
        ];
        assert_eq!(verdicts, BTreeMap::from(expected));
        let text = comparison.to_string();
        assert!(text.starts_with("5 ratios are in both files, 1 in one of them only.\n2 are"), "{text}");
        assert!(
            text.contains("| grid depth=1 turned      | 1.20 (1.10..1.30) | 0.80 (0.70..0.90) | open "),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_no_empty_run() {
        let error = compare(Path::new("no such file"), Path::new("nor this")).unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
    }
}
