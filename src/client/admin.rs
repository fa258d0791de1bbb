//! What is told to a server on this machine, through the socket in the folder of its journal.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use super::PEER_TIMEOUT;
use super::conversation::Replies;
use super::error::ClientError;
use super::terminal::Terminal;
use crate::os::unix_socket::{self, ADMIN_SOCKET};

/// Tells the server to forget a client, and copies its answer to standard output.
///
/// # Errors
/// If none runs there, or it does not answer.
pub fn forget(dir: &Path, client: &str) -> Result<Replies, ClientError> {
    let no_server = |source| ClientError::NoAdmin { dir: dir.to_owned(), source };
    let mut stream = unix_socket::connect(dir, ADMIN_SOCKET).map_err(no_server)?;
    stream.set_read_timeout(Some(PEER_TIMEOUT)).map_err(ClientError::Connection)?;
    stream.write_all(format!("FORGET {client}\n").as_bytes()).map_err(ClientError::Connection)?;
    let mut answer = Vec::new();
    BufReader::new(&stream).read_until(b'\n', &mut answer).map_err(|_| ClientError::Silent(PEER_TIMEOUT))?;
    if answer.is_empty() {
        return Err(ClientError::Closed);
    }
    let mut stdout = io::stdout().lock();
    let printed = if stdout.is_terminal() {
        Terminal::new(stdout).write_all(&answer)
    } else {
        stdout.write_all(&answer)
    };
    printed.map_err(ClientError::Output)?;
    Ok(if answer.starts_with(b"? ") { Replies::Errors } else { Replies::Good })
}
