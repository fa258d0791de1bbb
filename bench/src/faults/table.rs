//! The table of faults: what was acknowledged, what was lost, how soon the servers agreed, and which aims were missed.

use std::fmt::Write as _;

use crate::suite::results::Record;
use crate::suite::stats::Stats;

use super::FAULT;
use super::fault::FAULTS;

// Names of figures of a round.
pub(super) const ACKNOWLEDGED: &str = "acknowledged";
pub(super) const PER_SECOND: &str = "acknowledged_per_second_before";
pub(super) const LOST: &str = "lost";
pub(super) const CONVERGE_SECONDS: &str = "converge_seconds";
pub(super) const WARNINGS: &str = "warnings";

/// The option of a record that says what was aimed at.
pub(super) const AIM_SECONDS: &str = "aim_seconds";

/// From this many rounds on, each round's time is shown: it is the distribution that matters.
const DISTRIBUTION_ROUNDS_MIN: usize = 5;

const HEAD: [&str; 9] = [
    "fault",
    "what it does",
    "rounds",
    "acknowledged",
    "a second before",
    "lost",
    "converged, median / worst",
    "aim",
    "warnings",
];

/// The table.
pub fn table(records: &[Record]) -> String {
    let mut text = crate::table::table(&HEAD, &records.iter().map(row).collect::<Vec<_>>());
    for record in records.iter().filter(|record| record.rounds.len() >= DISTRIBUTION_ROUNDS_MIN) {
        let mut times = record.figures(CONVERGE_SECONDS);
        times.sort_by(f64::total_cmp);
        let times: Vec<String> = times.iter().map(|seconds| format!("{seconds:.2}")).collect();
        // Writing to a String cannot fail, so the results say nothing.
        let _ = writeln!(text, "\nEvery round of {}, in seconds: {}", name(record), times.join(", "));
    }
    text
}

/// What must not be: reports lost, herds that did not converge, trials that failed or did not count. A sentence each.
pub fn broken(records: &[Record]) -> Vec<String> {
    let mut broken = Vec::new();
    for record in records {
        let lost = sum(record, LOST);
        if lost > 0.0 {
            broken.push(format!("{}: {lost} acknowledged reports were lost", name(record)));
        }
        let unconverged = record.rounds.len() - record.figures(CONVERGE_SECONDS).len();
        if unconverged > 0 {
            broken.push(format!("{}: {unconverged} rounds did not converge", name(record)));
        }
        broken.extend(record.failed.iter().map(|why| format!("{}: {why}", name(record))));
    }
    broken
}

fn row(record: &Record) -> Vec<String> {
    let median = |figure: &str| record.stats(figure).map_or_else(dash, |it| format!("{:.0}", it.median));
    let fault = FAULTS.iter().find(|fault| fault.name == name(record));
    vec![
        name(record).to_owned(),
        fault.map_or_else(dash, |fault| fault.text.to_owned()),
        record.rounds.len().to_string(),
        format!("{:.0}", sum(record, ACKNOWLEDGED)),
        median(PER_SECOND),
        or_failed(sum(record, LOST), |lost| lost > 0.0),
        converged(record),
        aim(record),
        median(WARNINGS),
    ]
}

fn converged(record: &Record) -> String {
    let never = record.rounds.len() - record.figures(CONVERGE_SECONDS).len();
    let times = record.stats(CONVERGE_SECONDS);
    let times = times.map_or_else(dash, |it: Stats| format!("{:.2} / {:.2} s", it.median, it.max));
    if never > 0 { format!("{times}, FAILED: {never} never") } else { times }
}

/// What was aimed at, and whether it was reached: in every round, or it was not.
fn aim(record: &Record) -> String {
    if record.rounds.is_empty() {
        return "FAILED: not measured".to_owned();
    }
    let Some(aim) = record.options.get(AIM_SECONDS).and_then(|text| text.parse::<f64>().ok()) else {
        return "converges".to_owned();
    };
    let within = record.figures(CONVERGE_SECONDS).iter().filter(|seconds| **seconds < aim).count();
    match record.rounds.len() - within {
        0 => format!("< {aim} s"),
        missed => format!("< {aim} s FAILED in {missed}"),
    }
}

fn or_failed(value: f64, is_failure: impl Fn(f64) -> bool) -> String {
    let text = format!("{value:.0}");
    if is_failure(value) { format!("{text} FAILED") } else { text }
}

fn sum(record: &Record, figure: &str) -> f64 {
    record.figures(figure).iter().fold(0.0, |sum, value| sum + value)
}

fn name(record: &Record) -> &str {
    record.point.get(FAULT).map_or("?", String::as_str)
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::results::{Figures, point};

    fn record(name: &str, rounds: &[(f64, Option<f64>)]) -> Record {
        let figures = |&(lost, seconds): &(f64, Option<f64>)| {
            let mut figures = Figures::from([(ACKNOWLEDGED.to_owned(), 100.0), (LOST.to_owned(), lost)]);
            figures.extend(seconds.map(|seconds| (CONVERGE_SECONDS.to_owned(), seconds)));
            figures
        };
        Record {
            point: point(&[(FAULT, &name)]),
            options: point(&[(AIM_SECONDS, &2)]),
            rounds: rounds.iter().map(figures).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn what_went_well_says_so() {
        let good = record("kill-hub", &[(0.0, Some(0.25)), (0.0, Some(1.5)), (0.0, Some(0.5))]);
        let text = table(std::slice::from_ref(&good));
        let cells: Vec<&str> = text.lines().last().unwrap().split('|').map(str::trim).collect();
        assert_eq!((cells[1], cells[2]), ("kill-hub", "kill -9 of the hub, away for 3 s"));
        assert_eq!(cells[3..9], ["3", "300", "-", "0", "0.50 / 1.50 s", "< 2 s"]);
        assert!(!text.contains("FAILED") && broken(&[good]).is_empty());
    }

    #[test]
    fn a_missed_aim_is_shown_and_no_more() {
        let slow = record("swizzle", &[(0.0, Some(0.25)), (0.0, Some(2.5))]);
        assert!(table(std::slice::from_ref(&slow)).contains("< 2 s FAILED in 1"));
        assert!(broken(&[slow]).is_empty());
    }

    #[test]
    fn losses_and_herds_that_never_agree_are_failures() {
        let bad = record("half-open", &[(2.0, Some(0.25)), (1.0, None)]);
        let text = table(std::slice::from_ref(&bad));
        assert!(text.contains("| 3 FAILED |"), "{text}");
        assert!(text.contains("0.25 / 0.25 s, FAILED: 1 never"), "{text}");
        assert!(text.contains("< 2 s FAILED in 1"), "{text}");
        assert_eq!(broken(&[bad]).len(), 2);
        let none = Record { failed: Some("round 1 does not count".to_owned()), ..record("loss-5", &[]) };
        assert!(table(std::slice::from_ref(&none)).contains("FAILED: not measured"));
        assert_eq!(broken(&[none]), ["loss-5: round 1 does not count"]);
    }

    #[test]
    fn many_rounds_are_shown_one_by_one() {
        let rounds: Vec<_> = (0..9).map(|at| (0.0, Some(f64::from(9 - at)))).collect();
        let text = table(&[record("loss-50", &rounds)]);
        assert!(text.ends_with(
            "Every round of loss-50, in seconds: 1.00, 2.00, 3.00, 4.00, 5.00, 6.00, 7.00, 8.00, 9.00\n"
        ));
    }
}
