//! The table of crowds, as Markdown that can be read as it is: medians of the rounds, and a verdict on each.

use super::columns;
use super::results::{Figures, Record};

/// Counters of the server that say why somebody was refused or cut off begin so.
const REASONS: [&str; 3] = ["server_over_", "server_out_of_", "server_turned_away"];

const TITLES: [&str; 9] = [
    "crowd",
    "members",
    "alone p50, ms",
    "fresh client p50 / p99 / max, ms",
    "refused or cut off",
    "server's memory before / peak / after, MiB",
    "TCP's, MiB",
    "overflows",
    "verdict",
];

/// The lines of the table.
pub(super) fn table(records: &[Record]) -> Vec<String> {
    let mut rows: Vec<Vec<String>> = vec![TITLES.map(str::to_owned).to_vec()];
    rows.extend(records.iter().map(row));
    columns::lines(&rows)
}

fn row(record: &Record) -> Vec<String> {
    let of = |name: &str| record.point.get(name).cloned().unwrap_or_default();
    let verdict = record.remark.clone().or(record.failed.clone()).unwrap_or_default();
    let Some(figures) = record.rounds.first() else {
        let mut row = vec![of("crowd"), of("members")];
        row.resize(TITLES.len() - 1, "-".to_owned());
        row.push(verdict);
        return row;
    };
    let figure = |name: &str| record.spread(name).map_or(0.0, |spread| spread.median);
    let ms = |name: &str| format!("{:.1}", figure(name) / 1e3);
    let mib = |name: &str| format!("{:.0}", figure(name) / 1024.0);
    vec![
        of("crowd"),
        of("members"),
        ms("alone_p50_us"),
        format!("{} / {} / {}", ms("fresh_p50_us"), ms("fresh_p99_us"), ms("fresh_max_us")),
        reasons(record, figures, &record.options["server"]),
        format!("{} / {} / {}", mib("rss_before_kib"), mib("rss_peak_kib"), mib("rss_after_kib")),
        format!("{} / {}", mib("kernel_tcp_before_kib"), mib("kernel_tcp_peak_kib")),
        format!("{}", figure("listen_overflows")),
        verdict,
    ]
}

/// Why the server has refused or cut off somebody, and how often; and what it was told about that.
fn reasons(record: &Record, figures: &Figures, told: &str) -> String {
    let is_reason = |name: &str| REASONS.iter().any(|reason| name.starts_with(reason));
    let counted = figures.keys().filter(|name| is_reason(name));
    let median = |name: &str| record.spread(name).map_or(0.0, |spread| spread.median);
    let mut reasons: Vec<String> =
        counted.map(|name| format!("{} {:.0}", name.trim_start_matches("server_"), median(name))).collect();
    if reasons.is_empty() {
        reasons.push("nobody".to_owned());
    }
    let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
    format!("{}{told}", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::results::point;
    use super::*;

    #[test]
    fn a_row_says_who_was_cut_off_and_why() {
        let figures = [("server_over_line_time", 7.0), ("server_news", 9.0), ("fresh_p99_us", 1_250.0)];
        let seen = Record {
            point: point(&[("crowd", "drip".to_owned()), ("members", "10".to_owned())]),
            options: point(&[("server", "--line-time-max 2s".to_owned())]),
            rounds: vec![figures.map(|(name, figure)| (name.to_owned(), figure)).into()],
            remark: Some("as it should be".to_owned()),
            ..Record::default()
        };
        let unseen =
            Record { rounds: Vec::new(), remark: None, failed: Some("died".to_owned()), ..seen.clone() };
        let lines = table(&[seen, unseen]);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{lines:#?}");
        assert!(lines[2].contains("| 0.0 / 1.2 / 0.0 "), "{}", lines[2]);
        assert!(lines[2].contains("| over_line_time 7 (--line-time-max 2s) |"), "{}", lines[2]);
        assert!(lines[3].contains("| died "), "{}", lines[3]);
    }
}
