//! Aim 10: the slowest connection beside the mean of all.

use std::io;
use std::time::Duration;

use super::super::bench::Bench;
use super::super::contest::{Contest, load_of};
use super::super::results::{Figures, Record, point};
use super::card::{Card, Finding};
use super::paired::per_round;
use super::verdict::{Aim, Seen};
use super::{entrants, place};

/// Connections, and for how long at least they are driven, in milliseconds: each is to have at least a hundred replies.
const POINTS: [(u32, u64); 5] = [(1, 500), (16, 500), (128, 500), (1_000, 2_500), (4_000, 13_000)];

const QUICK: [(u32, u64); 2] = [(16, 500), (128, 500)];

/// Replies of a connection in the mean. With fewer, one that has waited a little longer counts for too much.
const REPLIES_MIN: f64 = 100.0;

pub(super) fn run(bench: &mut Bench<'_>, card: &mut Card) -> io::Result<()> {
    for (connections, window_ms) in bench.either(QUICK.to_vec(), POINTS.to_vec()) {
        let contest = Contest {
            point: point(&[("kind", "fairness".to_owned()), ("connections", connections.to_string())]),
            rounds: bench.rounds(1, 5),
            load: load_of(connections, Duration::from_millis(window_ms)),
            pinned: false,
            fresh: false,
        };
        let field = entrants(bench, &["threads"]);
        let records = contest.hold(bench, field)?;
        card.add(Finding {
            number: 10,
            what: "slowest connection, of the mean",
            place: place(1, connections),
            aim: Aim::AtLeast(0.5),
            unit: "",
            seen: slowest(&records),
        });
    }
    Ok(())
}

fn slowest(records: &[Record]) -> Seen {
    let share = |rounds: &[&Figures]| {
        let (least, mean) = (rounds[0].get("least_per_connection")?, rounds[0].get("mean_per_connection")?);
        Some((least / mean, *mean))
    };
    let fewest = per_round(records, &["threads"], |rounds| Some(share(rounds)?.1));
    match fewest {
        Seen::Figure(replies) if replies.min < REPLIES_MIN => Seen::Nothing(format!(
            "a connection had {:.0} replies, and at least {REPLIES_MIN} are needed: it takes a longer window",
            replies.min
        )),
        Seen::Figure(_) => per_round(records, &["threads"], |rounds| Some(share(rounds)?.0)),
        Seen::Nothing(why) => Seen::Nothing(why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::spread::Spread;
    use super::*;

    fn record(rounds: &[(f64, f64)]) -> Record {
        let round = |&(least, mean): &(f64, f64)| {
            [("least_per_connection", least), ("mean_per_connection", mean)]
                .map(|(name, figure)| (name.to_owned(), figure))
                .into()
        };
        let rounds = rounds.iter().map(round).collect();
        Record { variant: "threads".to_owned(), rounds, ..Record::default() }
    }

    #[test]
    fn too_few_replies_say_nothing() {
        let spread = Spread { median: 0.5, min: 0.25, max: 1.0 };
        let rounds = [(50.0, 100.0), (50.0, 200.0), (150.0, 150.0)];
        assert_eq!(slowest(&[record(&rounds)]), Seen::Figure(spread));
        let Seen::Nothing(why) = slowest(&[record(&[(50.0, 100.0), (50.0, 99.0)])]) else { panic!() };
        assert!(why.starts_with("a connection had 99 replies"), "{why}");
    }
}
