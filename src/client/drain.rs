//! A server that is emptied before it stops.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::http::{ANSWER_TIME_MAX, Http};

/// Has a server take no more clients, give those that are there some time to leave, and stop.
pub(super) fn drain(
    http: &Http,
    time: Duration,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let wanted = json!({ "for": humantime::format_duration(time).to_string() });
    let drained = http.post("/v1/drain", &wanted, time + ANSWER_TIME_MAX)?;
    let left = drained["connections_left"].as_u64().unwrap_or_default();
    let out = &mut outputs.replies;
    let printed = if left == 0 {
        writeln!(out, "drained: no client is connected any more; the server stops")
    } else {
        let time = humantime::format_duration(time);
        writeln!(out, "not drained: {left} still connected after {time}; the server stops")
    };
    printed.map_err(ClientError::Output)?;
    Ok(if left == 0 { Replies::Good } else { Replies::Errors })
}
