//! What is told to a server on this machine, through the socket in the folder of its journal.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::PEER_TIMEOUT;
use super::conversation::Replies;
use super::error::ClientError;
use super::terminal::Terminal;
use crate::os::unix_socket::{self, ADMIN_SOCKET};

/// Tells the server that runs in the first of these folders where one does to forget a client, and copies its answer to
/// standard output.
///
/// # Errors
/// If none runs there, or it does not answer.
pub fn forget(dirs: &[PathBuf], client: &str) -> Result<Replies, ClientError> {
    let mut stream = connect(dirs)?;
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

fn connect(dirs: &[PathBuf]) -> Result<UnixStream, ClientError> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "no folder is named");
    for (tried, dir) in dirs.iter().enumerate() {
        match unix_socket::connect(dir, ADMIN_SOCKET) {
            Ok(stream) => return Ok(stream),
            Err(error) if tried == 0 => failure = error,
            // The first folder is the one that was most likely meant.
            Err(_) => {}
        }
    }
    Err(ClientError::NoAdmin { dirs: dirs.to_owned(), source: failure })
}
