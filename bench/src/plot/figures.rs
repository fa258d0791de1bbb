//! Which figures there are, and what of the results goes into each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::PlotError;
use super::bars::Bars;
use super::lines::{Lines, Series};
use crate::suite::results::{Record, Results};
use crate::suite::spread::Spread;

/// Draws every figure that the file at `results` has something for into `folder`, and returns their paths. Of
/// several versions in a file the last one is drawn.
///
/// # Errors
/// If the file has no results, or a figure cannot be written.
pub fn draw(results: &Path, folder: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let file = |path: &Path| {
        let path = path.display().to_string();
        move |error| PlotError::File { path, error }
    };
    let results_file = Results::open(results).map_err(file(results))?;
    let mut records = results_file.latest();
    let Some(version) = records.last().map(|record| record.provenance.version.clone()) else {
        return Err(PlotError::Empty(results.display().to_string()));
    };
    records.retain(|record| record.provenance.version == version);
    fs::create_dir_all(folder).map_err(file(folder))?;
    let mut drawn = Vec::new();
    for (name, lines) in all_lines(&records) {
        if lines.series.iter().any(|series| !series.points.is_empty()) {
            let path = folder.join(format!("{name}.svg"));
            lines.draw(&path)?;
            drawn.push(path);
        }
    }
    for (name, bars) in all_bars(&records) {
        if bars.groups.iter().any(|(_, bars)| bars.iter().any(Option::is_some)) {
            let path = folder.join(format!("{name}.svg"));
            bars.draw(&path)?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

fn all_lines(records: &[&Record]) -> Vec<(String, Lines)> {
    let mut all = Vec::new();
    for (depth, cpu) in [("1", "all"), ("16", "all"), ("64", "all"), ("1", "one"), ("16", "one")] {
        let here = at(records, "grid", &[("depth", depth), ("cpu", cpu)]);
        let on = if cpu == "one" { ", server on one processor" } else { "" };
        let lines = Lines {
            title: format!("Replies a second in relation to threads, pipeline depth {depth}{on}"),
            x: "connections, all active",
            y: "times the rate of threads",
            x_logarithmic: true,
            series: series(&here, "connections", |record| record.ratio),
        };
        all.push((format!("grid-ratio-{depth}-{cpu}"), lines));
    }
    for (name, figure) in [("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")] {
        let lines = Lines {
            title: format!("Latency at fixed rates, {name}, from when a request was due"),
            x: "requests a second, over 100 connections",
            y: "microseconds",
            x_logarithmic: true,
            series: series(&at(records, "open", &[]), "rate", |record| record.spread(figure)),
        };
        all.push((format!("open-{name}"), lines));
    }
    let churn = |title: &str, key, x, y, figure: fn(&Record) -> Option<Spread>| Lines {
        title: title.to_owned(),
        x,
        y,
        x_logarithmic: true,
        series: series(&at(records, "churn", &[]), key, figure),
    };
    let rate = churn(
        "Connect, report, disconnect",
        "churn",
        "connections at once",
        "conversations a second",
        |it| it.spread("per_second"),
    );
    let storm =
        churn("A storm of connections", "storm", "connections", "seconds until all are answered", |it| {
            it.spread("open_seconds")
        });
    all.extend([("churn".to_owned(), rate), ("storm".to_owned(), storm)]);
    for graph in ["seed", "chain", "mesh"] {
        let lines = Lines {
            title: format!("Propagation of an update, {graph} graph, median"),
            x: "links away",
            y: "microseconds",
            x_logarithmic: false,
            series: by_distance(&at(records, "herd", &[("graph", graph)])),
        };
        all.push((format!("propagation-{graph}"), lines));
    }
    for (figure, name, y) in
        [("messages_per_update", "messages", "messages"), ("virtual_ms", "time", "milliseconds, virtual")]
    {
        let lines = Lines {
            title: format!("Simulated herds: {name} for each update"),
            x: "servers",
            y,
            x_logarithmic: true,
            series: series(&at(records, "scale", &[]), "servers", |record| record.spread(figure)),
        };
        all.push((format!("scale-{name}"), lines));
    }
    all
}

fn all_bars(records: &[&Record]) -> Vec<(String, Bars)> {
    let figure = |scale: f64, name: &'static str| {
        move |record: &Record| {
            record.spread(name).map(|it| Spread {
                median: it.median * scale,
                min: it.min * scale,
                max: it.max * scale,
            })
        }
    };
    let bars = |title: &str, y, records: &[&Record], kinds: &[(&str, f64, &'static str)]| Bars {
        title: title.to_owned(),
        y,
        kinds: kinds.iter().map(|(kind, _, _)| (*kind).to_owned()).collect(),
        groups: records
            .iter()
            .map(|record| {
                let bars = kinds.iter().map(|(_, scale, name)| figure(*scale, name)(record));
                (record.variant.clone(), bars.collect())
            })
            .collect(),
    };
    let kib = 1.0 / 1024.0;
    let memory = [
        ("server", kib, "rss_bytes_per_connection"),
        ("kernel, both ends", kib, "kernel_bytes_per_connection"),
    ];
    let mut all = vec![(
        "memory".to_owned(),
        bars("Memory of an idle connection", "KiB", &at(records, "memory", &[]), &memory),
    )];
    for graph in ["seed", "chain", "mesh"] {
        let here = at(records, "herd", &[("graph", graph)]);
        let title = format!("Updates a second until all five servers have them, {graph} graph");
        let kinds = [("updates", 1.0, "per_second"), ("acknowledged", 1.0, "acknowledged_per_second")];
        all.push((format!("herd-{graph}"), bars(&title, "updates a second", &here, &kinds)));
    }
    let idle = at(records, "idle", &[("depth", "1")]);
    let rate = [("replies", 1.0, "per_second")];
    all.push(("idle".to_owned(), bars("Thousands open, 100 active", "replies a second", &idle, &rate)));
    let places = at(records, "places", &[("askers", "32")]);
    let others = [("alone", 1e-3, "iamat_alone_p99_us"), ("beside 32 askers", 1e-3, "iamat_p99_us")];
    let title = "Others' reports while a provider of places takes 100 ms, p99";
    all.push(("places".to_owned(), bars(title, "milliseconds", &places, &others)));
    let logging = at(records, "logging", &[("connections", "16")]);
    all.push(("logging".to_owned(), bars("The price of the log", "replies a second", &logging, &rate)));
    all
}

/// The records of a suite at the points that have all these values.
fn at<'a>(records: &[&'a Record], suite: &str, wanted: &[(&str, &str)]) -> Vec<&'a Record> {
    let has = |record: &Record, key: &str, value: &str| record.point.get(key).is_some_and(|it| it == value);
    let here = records
        .iter()
        .filter(|record| record.suite == suite && wanted.iter().all(|(key, value)| has(record, key, value)));
    here.copied().collect()
}

/// A line for each variant over the numbers that its points have for `key`.
fn series(records: &[&Record], key: &str, figure: impl Fn(&Record) -> Option<Spread>) -> Vec<Series> {
    let place = |record: &Record| record.point.get(key)?.parse::<f64>().ok();
    by_variant(records, |record| {
        let here = place(record).zip(figure(record));
        here.into_iter().collect()
    })
}

/// A line for each variant over the distances that it was measured at.
fn by_distance(records: &[&Record]) -> Vec<Series> {
    by_variant(records, |record| {
        let at = |distance: u32| {
            let spread = record.spread(&format!("distance{distance}_p50_us"))?;
            Some((f64::from(distance), spread))
        };
        (1..=4).filter_map(at).collect()
    })
}

fn by_variant(records: &[&Record], points: impl Fn(&Record) -> Vec<(f64, Spread)>) -> Vec<Series> {
    let mut seen = BTreeSet::new();
    let names = records.iter().map(|record| record.variant.as_str()).filter(|name| seen.insert(*name));
    let line = |name: &str| {
        let own = records.iter().filter(|record| record.variant == name);
        let mut points: Vec<(f64, Spread)> = own.flat_map(|record| points(record)).collect();
        // Nothing that is zero or less has a place on a logarithmic axis.
        points.retain(|(x, y)| x.is_finite() && y.min > 0.0);
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name: name.to_owned(), points }
    };
    names.map(line).filter(|series| !series.points.is_empty()).collect()
}
