//! To empty a server before it stops, so that its clients move to others: no more connections are let in, streams of
//! events end, and those that are there have some time to end by themselves.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::access::Asker;
use super::asked::Asked;
use crate::os::clock;
use crate::proto::http::response::Response;

/// How long clients have if nothing is said, and at most.
const DRAIN_TIME_DEFAULT: Duration = Duration::from_secs(30);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// How often is looked whether all have gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    r#for: String,
}

/// Empties the server, and has it stop. The answer leaves when that is done.
pub(super) fn drain(asked: &Asked<'_, '_>, asker: &Asker) -> Response {
    let (shared, body) = (asked.shared, asked.request.body);
    let time = match serde_json::from_slice::<Wanted>(body) {
        _ if body.is_empty() => Some(DRAIN_TIME_DEFAULT),
        Ok(wanted) => humantime::parse_duration(&wanted.r#for).ok().filter(|time| *time <= DRAIN_TIME_MAX),
        Err(_) => None,
    };
    let Some(time) = time else {
        return Response::problem(
            400,
            "the body is not {\"for\":\"30s\"}, a time of at most 1h with its unit",
        );
    };
    let (gate, asker) = (shared.gate, asker.at(asked.remote));
    if gate.is_draining() {
        return Response::problem(409, "the server is drained already, and stops then");
    }
    let within = humantime::format_duration(time);
    log::info!("no more clients are let in, and within {within} the server stops: {asker} asked for it");
    gate.drain();
    shared.watchers.notify();
    let deadline = clock::deadline(time);
    let others = loop {
        // The one that waits for this answer is there too.
        let others = gate.admission.clients_open().saturating_sub(1);
        if others == 0 || gate.open.is_stopping() || clock::instant() >= deadline {
            break others;
        }
        gate.open.pause(LOOK_EVERY.min(time));
    };
    // It may have been asked to stop already.
    let _ = shared.stop.try_send("a drain");
    Response::json(&json!({ "is_drained": others == 0, "connections_left": others }))
}
