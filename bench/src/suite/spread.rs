//! Medians, and ratios of rounds that belong together.
//!
//! A shared machine is slower in one minute than in the next. So variants take turns, a ratio is taken within
//! each round, and what is quoted is the median of these ratios with the least and the greatest beside it.

use serde::{Deserialize, Serialize};

/// The middle of some figures, and how far apart they are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Spread {
    /// Half are below, half above; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// The spread of figures, of which those that are no numbers are left out; `None` if none is left.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            1 => figures[middle],
            _ => f64::midpoint(figures[middle - 1], figures[middle]),
        };
        Some(Spread { median, min, max })
    }

    /// The spread of `figure / base` of each round that both have.
    pub fn of_ratios(figures: &[f64], bases: &[f64]) -> Option<Spread> {
        Spread::of(figures.iter().zip(bases).map(|(figure, base)| figure / base))
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Spread {
        Spread { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }

    /// Whether all rounds agree on which side of `line` they are.
    pub fn agrees_about(&self, line: f64) -> bool {
        self.min > line || self.max < line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(spread(&[f64::NAN, 7.0]).unwrap().median, 7.0);
        assert_eq!(spread(&[]), None);
    }

    /// Every second round the machine is ten times slower: the ratio of medians would be wrong.
    #[test]
    fn ratios_are_taken_within_rounds() {
        let threads = [1000.0, 100.0, 1000.0, 100.0, 100.0];
        let other = [2000.0, 200.0, 2000.0, 200.0, 250.0];
        let ratio = Spread::of_ratios(&other, &threads).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, min: 2.0, max: 2.5 });
        assert!(ratio.agrees_about(1.0) && !ratio.agrees_about(2.2));
        assert_eq!(
            Spread::of_ratios(&[2.0, 4.0], &[1.0]).unwrap().max,
            2.0,
            "a round that only one has is left out"
        );
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }
}
