//! Medians, and ratios of rounds that belong together.
//!
//! A shared machine is slower in one minute than in the next. So variants take turns, a ratio is taken within
//! each round, and what is quoted is the median of these ratios with the least and the greatest beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The middle of some figures, and how far apart they are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Stats {
    /// Half are below, half above; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Stats {
    /// The statistics of figures, of which those that are no numbers are left out; `None` if none is left.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Stats> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            1 => figures[middle],
            _ => f64::midpoint(figures[middle - 1], figures[middle]),
        };
        Some(Stats { median, min, max })
    }

    /// The statistics of `figure / base` of each round that both have.
    pub fn of_ratios(figures: &[f64], bases: &[f64]) -> Option<Stats> {
        Stats::of(figures.iter().zip(bases).map(|(figure, base)| figure / base))
    }

    /// Whether all rounds agree on which side of `line` they are.
    pub fn agrees_about(&self, line: f64) -> bool {
        self.min > line || self.max < line
    }
}

/// The median, and the least and the greatest behind it, with the decimal places that are asked for or else as many as
/// say something.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |figure: f64| match f.precision() {
            Some(places) => format!("{figure:.places$}"),
            None => digits(figure),
        };
        write!(f, "{} ({}..{})", number(self.median), number(self.min), number(self.max))
    }
}

/// A number with as many digits as say something.
pub(crate) fn digits(number: f64) -> String {
    match number.abs() {
        size if number.fract().abs() < 1e-9 || size >= 1_000.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let stats = |figures: &[f64]| Stats::of(figures.iter().copied());
        assert_eq!(stats(&[3.0, 1.0, 2.0]), Some(Stats { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(stats(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(stats(&[f64::NAN, 7.0]).unwrap().median, 7.0);
        assert_eq!(stats(&[]), None);
    }

    /// Every second round the machine is ten times slower: the ratio of medians would be wrong.
    #[test]
    fn ratios_are_taken_within_rounds() {
        let threads = [1000.0, 100.0, 1000.0, 100.0, 100.0];
        let other = [2000.0, 200.0, 2000.0, 200.0, 250.0];
        let ratio = Stats::of_ratios(&other, &threads).unwrap();
        assert_eq!(ratio, Stats { median: 2.0, min: 2.0, max: 2.5 });
        assert!(ratio.agrees_about(1.0) && !ratio.agrees_about(2.2));
        assert_eq!(
            Stats::of_ratios(&[2.0, 4.0], &[1.0]).unwrap().max,
            2.0,
            "a round that only one has is left out"
        );
        assert_eq!(Stats::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn numbers_have_as_many_digits_as_say_something() {
        let shown = [0.95, 16_000.0, 33.27, 123_456.7, 0.0312, 0.0, 8.0].map(digits);
        assert_eq!(shown, ["0.95", "16000", "33.3", "123457", "0.031", "0", "8"]);
        let stats = Stats { median: 33.0, min: 31.5, max: 40.25 };
        assert_eq!(
            (stats.to_string(), format!("{stats:.1}")),
            ("33 (31.5..40.2)".into(), "33.0 (31.5..40.2)".into())
        );
    }
}
