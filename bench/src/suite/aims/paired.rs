//! Figures from rounds that were measured side by side.

use super::super::results::{Figures, Record};
use super::super::spread::Spread;
use super::verdict::Seen;

/// What `of` makes of the rounds of these variants, each with the rounds beside it.
pub(super) fn per_round(records: &[Record], names: &[&str], of: impl Fn(&[&Figures]) -> Option<f64>) -> Seen {
    let mut sides: Vec<&Record> = Vec::new();
    for name in names {
        let Some(record) = records.iter().find(|record| record.variant == *name) else {
            return Seen::Nothing(format!("{name} is not there"));
        };
        if let Some(why) = &record.failed {
            return Seen::Nothing(format!("{name}: {why}"));
        }
        sides.push(record);
    }
    let rounds = sides.iter().map(|side| side.rounds.len()).min().unwrap_or(0);
    let beside = |round: usize| sides.iter().map(|side| &side.rounds[round]).collect::<Vec<_>>();
    let figures: Option<Vec<f64>> = (0..rounds).map(|round| of(&beside(round))).collect();
    match figures.and_then(Spread::of) {
        Some(spread) => Seen::Figure(spread),
        None => Seen::Nothing(format!("{} has not shown it", names.join(" or "))),
    }
}

/// A figure of one variant divided by that of another.
pub(super) fn ratio(records: &[Record], of: &str, to: &str, figure: &str) -> Seen {
    per_round(records, &[of, to], |rounds| Some(rounds[0].get(figure)? / rounds[1].get(figure)?))
}

/// A figure of one variant.
pub(super) fn figure(records: &[Record], of: &str, figure: &str) -> Seen {
    per_round(records, &[of], |rounds| rounds[0].get(figure).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(variant: &str, rates: &[f64]) -> Record {
        let rounds = rates.iter().map(|rate| Figures::from([("per_second".to_owned(), *rate)])).collect();
        Record { variant: variant.to_owned(), rounds, ..Record::default() }
    }

    #[test]
    fn ratios_are_of_rounds_side_by_side() {
        let records = [record("threads", &[100.0, 10.0, 90.0]), record("echo", &[200.0, 20.0, 100.0])];
        let spread = Spread { median: 0.5, min: 0.5, max: 0.9 };
        assert_eq!(ratio(&records, "threads", "echo", "per_second"), Seen::Figure(spread));
        let spread = Spread { median: 90.0, min: 10.0, max: 100.0 };
        assert_eq!(figure(&records, "threads", "per_second"), Seen::Figure(spread));
    }

    #[test]
    fn who_is_missing_or_has_failed_is_named() {
        let died = Record { failed: Some("it died".to_owned()), ..record("node", &[1.0]) };
        let records = [record("threads", &[1.0]), died];
        let why = |of, to, name| match ratio(&records, of, to, name) {
            Seen::Nothing(why) => why,
            Seen::Figure(spread) => format!("{spread:?}"),
        };
        assert_eq!(why("threads", "twisted", "per_second"), "twisted is not there");
        assert_eq!(why("threads", "node", "per_second"), "node: it died");
        assert_eq!(why("threads", "threads", "p99_us"), "threads or threads has not shown it");
    }
}
