//! Links that let others see a client until an end.

use std::io::Write;

use serde_json::json;

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::http::{ANSWER_TIME_MAX, Http};
use crate::logging::Escaped;

/// Has a server make a link, and prints it. It is noted beside it when it ends.
///
/// # Errors
/// If the server cannot be asked, or refuses.
pub(super) fn share(
    http: &Http,
    client: &str,
    time: &str,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let made = http.post("/v1/shares", &json!({ "client": client, "for": time }), ANSWER_TIME_MAX)?;
    let token = made["token"].as_str().unwrap_or_default();
    // The server cannot know by which address it was found; the one who typed it does.
    writeln!(outputs.replies, "{}/#share={token}", http.url).map_err(ClientError::Output)?;
    let expires = made["expires"].as_str().unwrap_or_default();
    let client = Escaped(client.as_bytes());
    // With standard error gone, the link is still there.
    let _ = writeln!(outputs.notes, "{client} can be seen there until {expires}, or until it is forgotten");
    Ok(Replies::Good)
}
