//! The Markdown tables of what was measured.

use std::fmt::Write;

use super::Candidate;
use super::rounds::{Kept, Round};

/// All rounds of one candidate with commits of one size.
#[derive(Clone, Debug)]
pub struct Commits {
    /// Whose they are.
    pub candidate: Candidate,
    /// Reports in a commit.
    pub reports: u64,
    /// One at least.
    pub rounds: Vec<Round>,
}

/// Speed by the size of a commit.
pub fn of_commits(all: &[Commits]) -> String {
    let mut out = String::from(
        "| reports in a commit | engine | 1000 reports/s, median (least..most) | \
         us for a commit, median (least..most) | \
         CPU seconds for a million reports |\n|---|---|---|---|---|\n",
    );
    for Commits { candidate, reports, rounds } in all {
        let per = |figure: &dyn Fn(&Round) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_unstable_by(f64::total_cmp);
            (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
        };
        let reported = |round: &Round| (round.commits * reports) as f64;
        let (rate, slowest, fastest) = per(&|round| reported(round) / round.wall_seconds / 1e3);
        let (us, least, most) = per(&|round| round.wall_seconds * 1e6 / round.commits as f64);
        let (cpu, ..) = per(&|round| round.cpu_seconds * 1e6 / reported(round));
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {reports} | {candidate} | {rate:.1} ({slowest:.1}..{fastest:.1}) | {us:.1} ({least:.1}..{most:.1}) | \
             {cpu:.2} |"
        );
    }
    out
}

/// What is left on disk.
pub fn of_kept(all: &[(Candidate, Kept)]) -> String {
    let mut out = String::from(
        "| engine | MB on disk after 200,000 reports of 10,000 clients: open, closed | s to open and read 1,000,000 \
         clients | s until a server remembers them | of 1000 commits kept after SIGKILL |\n|---|---|---|---|---|\n",
    );
    for (candidate, kept) in all {
        let _ = writeln!(
            out,
            "| {candidate} | {:.1}, {:.1} | {:.2} | {:.2} | {} |",
            kept.open_bytes as f64 / 1e6,
            kept.closed_bytes as f64 / 1e6,
            kept.read_seconds,
            kept.recover_seconds,
            kept.kept_commits,
        );
    }
    out
}
