//! A client that is removed from all servers, as if it had never reported.

use std::io::Write;

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::http::Http;
use crate::logging::Escaped;
use crate::proto::http::form;

/// What a server says of a client that it does not know.
const NOT_FOUND: u16 = 404;

/// Has a server forget a client, and says so in the words of its admin socket.
///
/// # Errors
/// If the server cannot be asked, or refuses.
pub(super) fn forget(
    http: &Http,
    client: &str,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let name = Escaped(client.as_bytes());
    let (line, done) = match http.delete(&format!("/v1/clients/{}", form::attribute_value(client))) {
        Ok(()) => (format!("FORGOT {name}"), Replies::Good),
        Err(ClientError::Http { status: Some(NOT_FOUND), why, .. }) if why.contains("of this client") => {
            (format!("? {name} is not known here"), Replies::Errors)
        }
        Err(error) => return Err(error),
    };
    writeln!(outputs.replies, "{line}").map_err(ClientError::Output)?;
    Ok(done)
}
