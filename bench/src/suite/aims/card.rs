//! What has been found of each aim, as a table and as lines of results.

use std::collections::BTreeMap;

use super::super::columns;
use super::super::results::{Figures, Record, point};
use super::super::spread::Spread;
use super::verdict::{Aim, Seen, Shown, Verdict};

const TITLES: [&str; 6] = ["aim", "what", "where", "aimed at", "figure (spread)", "verdict"];

/// What the ten aims are about.
const SUBJECTS: [&str; 10] = [
    "beside the raw thread echo",
    "instructions per IAMAT line",
    "beside tokio multi-thread",
    "beside herds in other languages",
    "beside Redis",
    "many connections",
    "flooding",
    "logging and durability",
    "WHATSAT beside IAMAT",
    "fairness",
];

/// All that has been found so far.
#[derive(Debug, Default)]
pub(super) struct Card {
    findings: Vec<Finding>,
}

/// What has been found at one point of one aim.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Its number, 1 to 10.
    pub(super) number: u8,
    /// What the figure is: a part of the aim.
    pub(super) what: &'static str,
    /// Where it was measured.
    pub(super) place: String,
    pub(super) aim: Aim,
    /// What it counts; empty for a ratio.
    pub(super) unit: &'static str,
    pub(super) seen: Seen,
}

impl Card {
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Each aim with its verdict, and below it all its points.
    pub(super) fn table(&self) -> Vec<String> {
        let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
        for (number, findings) in self.by_number() {
            let verdicts: Vec<Verdict> = findings.iter().map(|it| it.verdict()).collect();
            let judged = verdicts.iter().filter(|verdict| **verdict != Verdict::Stated).count();
            let met = verdicts.iter().filter(|verdict| **verdict == Verdict::Met).count();
            let all = Verdict::on_all(&verdicts).to_string().to_uppercase();
            let subject = SUBJECTS[usize::from(number) - 1].to_uppercase();
            let count = format!("{met} of {judged} met");
            rows.push(vec![number.to_string(), subject, String::new(), String::new(), count, all]);
            rows.extend(findings.iter().map(|it| it.row()));
        }
        columns::lines(&rows)
    }

    /// A line of results for each point.
    pub(super) fn records(&self) -> Vec<Record> {
        self.findings.iter().map(Finding::record).collect()
    }

    fn by_number(&self) -> BTreeMap<u8, Vec<&Finding>> {
        let mut by_number: BTreeMap<u8, Vec<&Finding>> = BTreeMap::new();
        for finding in &self.findings {
            by_number.entry(finding.number).or_default().push(finding);
        }
        by_number
    }
}

impl Finding {
    fn verdict(&self) -> Verdict {
        self.aim.judge(&self.seen)
    }

    fn verdict_in_words(&self) -> String {
        match &self.seen {
            Seen::Nothing(why) => format!("{}: {why}", self.verdict()),
            Seen::Figure(_) => self.verdict().to_string(),
        }
    }

    fn aim_in_words(&self) -> String {
        match self.aim {
            Aim::Stated => self.aim.to_string(),
            Aim::AtLeast(_) | Aim::AtMost(_) | Aim::Exactly(_) => {
                format!("{} {}", self.aim, self.unit).trim_end().to_owned()
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let figure = match self.seen {
            Seen::Nothing(_) => "-".to_owned(),
            Seen::Figure(Spread { median, min, max }) => {
                format!("{} ({}..{})", Shown(median), Shown(min), Shown(max))
            }
        };
        let (what, place) = (self.what.to_owned(), self.place.clone());
        vec![String::new(), what, place, self.aim_in_words(), figure, self.verdict_in_words()]
    }

    fn record(&self) -> Record {
        let at =
            [("aim", self.number.to_string()), ("what", self.what.to_owned()), ("at", self.place.clone())];
        let spread = match self.seen {
            Seen::Figure(spread) => Some(spread),
            Seen::Nothing(_) => None,
        };
        let figures = spread.map(|Spread { median, min, max }| {
            let named = [("median", median), ("least", min), ("greatest", max)];
            Figures::from(named.map(|(name, figure)| (name.to_owned(), figure)))
        });
        Record {
            point: point(&at),
            variant: "threads".to_owned(),
            options: point(&[("aimed_at", self.aim_in_words())]),
            rounds: figures.into_iter().collect(),
            ratio: spread.filter(|_| self.unit.is_empty()),
            remark: Some(self.verdict_in_words()),
            ..Record::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(number: u8, aim: Aim, seen: Seen) -> Finding {
        Finding { number, what: "memory", place: "C=2".to_owned(), aim, unit: "KiB", seen }
    }

    #[test]
    fn every_aim_has_its_verdict_and_its_points() {
        let mut card = Card::default();
        let figure = Seen::Figure(Spread { median: 33.0, min: 31.5, max: 40.25 });
        card.add(finding(6, Aim::AtMost(34.0), figure.clone()));
        card.add(finding(1, Aim::AtLeast(1.0), Seen::Nothing("it is gone".to_owned())));
        card.add(finding(6, Aim::AtMost(32.0), figure));
        let lines = card.table();
        let cells = |at: usize| lines[at].split('|').map(str::trim).collect::<Vec<_>>();
        assert_eq!(lines.len(), 7);
        assert_eq!(cells(2)[1..4], ["1", "BESIDE THE RAW THREAD ECHO", ""]);
        assert_eq!(cells(2)[5..7], ["0 of 1 met", "NOT MEASURED"]);
        assert_eq!(cells(3)[4..7], ["at least 1 KiB", "-", "not measured: it is gone"]);
        assert_eq!(cells(4)[5..7], ["1 of 2 met", "NOT MET"]);
        assert_eq!(cells(5)[2..7], ["memory", "C=2", "at most 34 KiB", "33 (31.5..40.2)", "met"]);
    }

    #[test]
    fn results_have_the_verdict_and_only_ratios_as_ratios() {
        let figure = Seen::Figure(Spread { median: 2.0, min: 1.0, max: 3.0 });
        let kib = finding(6, Aim::AtMost(1.0), figure).record();
        assert_eq!(kib.point["aim"], "6");
        assert_eq!((kib.remark.as_deref(), kib.ratio), (Some("not met"), None));
        assert_eq!(kib.figures("greatest"), [3.0]);
        let ratio =
            Finding { unit: "", ..finding(6, Aim::AtMost(2.0), Seen::Figure(Spread::of([2.0]).unwrap())) };
        assert_eq!(ratio.record().ratio.unwrap().median, 2.0);
    }
}
