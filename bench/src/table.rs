//! Tables for people: Markdown that can be read as it is.

use crate::suite::results::{Record, label};
use crate::suite::stats::Stats;

/// A column of figures: its title, the name of the figure, what it is multiplied by, and its decimal places.
pub(crate) type Column<'a> = (&'a str, &'a str, f64, usize);

/// Rows of cells below their titles; every row has as many cells. Columns of numbers are aligned to the right.
pub fn table<T: AsRef<str>>(titles: &[T], rows: &[Vec<String>]) -> String {
    let is_number = |cell: &String| cell == "-" || cell.parse::<f64>().is_ok();
    let column = |at: usize| {
        let title = titles[at].as_ref();
        let width = rows.iter().map(|row| row[at].chars().count()).chain([title.chars().count(), 3]).max();
        (title, width.unwrap_or(0), rows.iter().all(|row| is_number(&row[at])))
    };
    let columns: Vec<_> = (0..titles.len()).map(column).collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells = columns.iter().enumerate().map(|(at, (_, width, right))| match right {
            true => format!("{:>width$}", cell(at)),
            false => format!("{:<width$}", cell(at)),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = |at: usize| {
        let (_, width, right) = columns[at];
        format!("{}{}", "-".repeat(width - 1), if right { ':' } else { '-' })
    };
    let head = [line(&|at| columns[at].0.to_owned()), line(&rule)];
    head.into_iter().chain(rows.iter().map(|row| line(&|at| row[at].clone()))).collect()
}

/// The medians of these figures, a row for each record with its point and its variant.
pub(crate) fn of_figures(records: &[Record], columns: &[Column<'_>]) -> String {
    let titles: Vec<&str> = ["point", "variant"].into_iter().chain(columns.iter().map(|it| it.0)).collect();
    let row = |record: &Record| {
        let figures = columns.iter().map(|(_, name, factor, places)| {
            record
                .stats(name)
                .map_or("-".to_owned(), |Stats { median, .. }| format!("{:.places$}", median * factor))
        });
        [label(&record.point), record.variant.clone()].into_iter().chain(figures).collect()
    };
    table(&titles, &records.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::results::{Figures, point};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_on_the_right() {
        let figures = Figures::from([("p99_us".to_owned(), 1_250.0)]);
        let record = Record {
            point: point(&[("depth", &16), ("cpu", &"all")]),
            variant: "threads".to_owned(),
            rounds: vec![figures],
            ..Record::default()
        };
        let none = Record { rounds: Vec::new(), variant: "tokio".to_owned(), ..record.clone() };
        let text = of_figures(&[record, none], &[("p99, ms", "p99_us", 1e-3, 2)]);
        let expected = "\
            | point            | variant | p99, ms |\n\
            | ---------------- | ------- | ------: |\n\
            | cpu=all depth=16 | threads |    1.25 |\n\
            | cpu=all depth=16 | tokio   |       - |\n";
        assert_eq!(text, expected);
    }
}
