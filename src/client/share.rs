//! Links that let others see a client until an end.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::json;

use super::conversation::Replies;
use super::error::ClientError;
use super::http::Server;

/// Has a server make a link, and prints it. A person is told beside it when it ends.
///
/// # Errors
/// If the server cannot be asked, or refuses.
pub fn share(server: &Server, client: &str, time: &str) -> Result<Replies, ClientError> {
    let made = server.post("/v1/shares", &json!({ "client": client, "for": time }))?;
    let token = made["token"].as_str().unwrap_or_default();
    // The server cannot know by which address it was found; the one who typed it does.
    let url = format!("{}/#share={token}", server.url.trim_end_matches('/'));
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{url}").and_then(|()| stdout.flush()).map_err(ClientError::Output)?;
    if stdout.is_terminal() {
        let expires = made["expires"].as_str().unwrap_or_default();
        let mut stderr = io::stderr().lock();
        // With standard error gone, the link is still there.
        let _ = writeln!(stderr, "{client} can be seen there until {expires}, or until it is forgotten");
    }
    Ok(Replies::Good)
}
