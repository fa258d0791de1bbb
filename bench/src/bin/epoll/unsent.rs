//! Bytes for a socket that may have no room for them yet.

use std::io::{self, Write};

use mio::net::TcpStream;

/// What the other side has had no room for.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Vec<u8>);

impl Unsent {
    /// Whether everything has been sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends bytes after those that wait, or keeps what there is no room for.
    pub(crate) fn send(&mut self, socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.0.is_empty() { send(socket, bytes)? } else { 0 };
        self.0.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what waits; whether that was all.
    pub(crate) fn send_rest(&mut self, socket: &TcpStream) -> io::Result<bool> {
        let sent = send(socket, &self.0)?;
        self.0.drain(..sent);
        if self.0.is_empty() {
            self.0.shrink_to(0);
        }
        Ok(self.0.is_empty())
    }
}

/// Sends as much as there is room for.
pub(crate) fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
