//! How the server is, for people, load balancers and monitors.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::frontend::connection::Shared;
use crate::member::neighbours;
use crate::proto::http::request::Request;
use crate::proto::http::response::Response;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A value that may go up and down: its name, what it is, and the value.
type Gauge = (&'static str, &'static str, u64);

/// Whether it can take reports: not while nothing can be made durable, nor when a stop has begun.
pub(super) fn health(shared: Shared<'_>) -> Response {
    let failure = shared.member.wal().and_then(|wal| wal.failure());
    match failure {
        _ if shared.gate.open.is_stopping() => Response::problem(503, "the server is stopping"),
        _ if shared.gate.is_draining() => Response::problem(503, "the server is drained, and stops then"),
        Some(why) => Response::problem(503, &format!("reports {why}")),
        None => Response::json(&json!({ "status": "ok" })),
    }
}

/// All that the status line of the log says, as JSON.
pub(super) fn status(shared: Shared<'_>) -> Response {
    let member = shared.member;
    let (digest, last_seq) = member.read(|node| (node.store().digest().total(), node.store().last_seq()));
    let links = neighbours::linked(member).map(|(index, neighbour, link)| {
        json!({
            "neighbour": neighbour.name.as_str(),
            "is_up": link.is_up(),
            "state": link.status(member.read(|node| link.lag(node.store()))),
            "flapping": member.peers.is_flapping(index),
        })
    });
    let journal = member.wal().map(|wal| {
        let (bytes, files) = wal.size();
        let behind = last_seq.saturating_sub(wal.durable_seq());
        let failure = wal.failure().map(|why| format!("reports {why}"));
        json!({ "bytes": bytes, "files": files, "changes_not_durable": behind, "failure": failure })
    });
    let database = member.core().map(|core| {
        let status = member.read(|node| core.status(node.store()));
        json!({
            "url": status.url,
            "is_up": status.is_up,
            "state": status.to_string(),
            "behind": status.behind,
            "history_bytes": status.history_bytes,
        })
    });
    let gauges: Map<String, Value> =
        gauges(shared).into_iter().map(|(name, _, value)| (name.to_owned(), value.into())).collect();
    let counters: Map<String, Value> =
        member.metrics.rows().into_iter().map(|row| (row.name.to_owned(), row.value.into())).collect();
    Response::json(&json!({
        "server": member.me.name.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "digest": format!("{digest:016x}"),
        "gauges": gauges,
        "links": links.collect::<Vec<_>>(),
        "journal": journal,
        "database": database,
        "counters": counters,
    }))
}

/// All that is counted, in the text format of Prometheus, or in that of OpenMetrics for those who accept it. No client
/// is named in it.
pub(super) fn metrics(shared: Shared<'_>, request: &Request<'_>) -> Response {
    let is_open_metrics = request.accepts("application/openmetrics-text");
    let mut text = String::new();
    // Writing to a String cannot fail, so the results say nothing.
    for (name, help, value) in gauges(shared) {
        let _ = writeln!(
            text,
            "# HELP proxyherd_{name} {help}\n# TYPE proxyherd_{name} gauge\nproxyherd_{name} {value}"
        );
    }
    for row in shared.member.metrics.rows() {
        let sample = row.open_metrics_name;
        // The family has the name without the suffix in OpenMetrics, and with it in the older format.
        let family = if is_open_metrics { sample.trim_end_matches("_total") } else { sample };
        let help = row.help.replace('`', "");
        let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} counter\n{sample} {}", row.value);
    }
    if is_open_metrics {
        text.push_str("# EOF\n");
    }
    Response::new(200, if is_open_metrics { OPEN_METRICS } else { PLAIN_METRICS }, text)
        .with("Vary", "Accept")
}

fn gauges(shared: Shared<'_>) -> Vec<Gauge> {
    let member = shared.member;
    let (clients, tombstones, bytes, bytes_max, last_seq) = member.read(|node| {
        let store = node.store();
        let (clients, tombstones) = (store.len() as u64, store.tombstones() as u64);
        (clients, tombstones, store.memory_bytes(), node.memory_bytes_max(), store.last_seq())
    });
    let links_up = neighbours::linked(member).filter(|(_, _, link)| link.is_up()).count() as u64;
    let is_durable = member.wal().is_none_or(|wal| wal.failure().is_none());
    let mut gauges = vec![
        ("clients", "Clients that are known.", clients),
        ("clients_indexed", "Clients that can be found by place.", shared.finder.clients() as u64),
        ("clients_forgotten", "Clients that are remembered as forgotten.", tombstones),
        ("clients_bytes", "Bytes of memory that clients take.", bytes),
        ("clients_bytes_max", "Bytes of memory that clients may take.", bytes_max),
        ("last_change", "The sequence number of the last change.", last_seq),
        ("connections_open", "Clients that are connected.", u64::from(shared.gate.admission.clients_open())),
        ("watchers_open", "Streams of events that are open.", u64::from(shared.watchers.open())),
        ("links_live", "Links to neighbours that are up.", links_up),
        ("durable", "1 while reports can be made durable, or without a journal.", u64::from(is_durable)),
    ];
    if let Some(core) = member.core() {
        let status = member.read(|node| core.status(node.store()));
        gauges.extend([
            ("database_up", "1 while the core database does what it is asked.", u64::from(status.is_up)),
            ("database_behind", "Clients that are yet to be written to the core database.", status.behind),
            ("history_bytes", "Bytes of points that wait for the core database.", status.history_bytes),
        ]);
    }
    gauges
}
