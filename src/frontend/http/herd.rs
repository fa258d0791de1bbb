//! A picture of the herd from this server's own view: its servers, and how its links are. Addresses are those of the
//! herd file; nothing of the secret is in it.

use std::sync::atomic::Ordering;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Address;
use crate::frontend::connection::Shared;
use crate::member::neighbours;
use crate::os::clock;
use crate::proto::http::response::Response;
use crate::proto::node::Dialect;

/// The herd as this server sees it.
pub(super) fn herd(shared: Shared<'_>) -> Response {
    let (member, herd) = (shared.member, Arc::clone(&shared.herd.read()));
    let shown = |address: &Option<Address>| address.as_ref().map(Address::to_string);
    let me = &member.me;
    let servers = herd.members().iter().map(|server| {
        json!({
            "name": server.name.as_str(),
            "is_self": server.name == me.name,
            "is_legacy": server.dialect == Dialect::Legacy,
            "client": server.client.to_string(),
            "peer": server.peer.to_string(),
            "http": shown(&server.http),
            "https": shown(&server.https),
            "client_tls": shown(&server.client_tls),
            "mqtt": shown(&server.mqtt),
            "mqtts": shown(&server.mqtts),
        })
    });
    let ends = herd.links().iter().map(|(a, b)| json!([a.as_str(), b.as_str()]));
    Response::json(&json!({
        "server": me.name.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "servers": servers.collect::<Vec<_>>(),
        "herd_links": ends.collect::<Vec<_>>(),
        "links": links(shared),
    }))
}

/// The links of this server.
fn links(shared: Shared<'_>) -> Vec<Value> {
    let member = shared.member;
    let now = clock::ticks();
    let links = neighbours::linked(member).map(|(index, neighbour, link)| {
        let ((sent, sent_rate), (received, received_rate)) =
            (link.sent_updates.at(now), link.received_updates.at(now));
        let lag = member.read(|node| link.lag(node.store()));
        let error = link
            .last_error()
            .map(|(at, what)| json!({ "what": what, "ago_s": now.saturating_sub(at).as_secs() }));
        json!({
            "peer": neighbour.name.as_str(),
            "is_legacy": neighbour.dialect == Dialect::Legacy,
            "is_up": link.is_up(),
            "state": link.status(lag),
            "is_lazy": link.is_lazy.load(Ordering::Relaxed),
            "since_s": link.turned_at().map(|at| now.saturating_sub(at).as_secs()),
            "updates_behind": lag.0,
            "updates_unacknowledged": lag.1,
            "updates_sent": sent,
            "updates_sent_per_second": rounded(sent_rate),
            "updates_received": received,
            "updates_received_per_second": rounded(received_rate),
            "is_flapping": member.peers.is_flapping(index),
            "last_error": error,
        })
    });
    links.collect()
}

/// With two digits behind the point, which are enough for people.
fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}
