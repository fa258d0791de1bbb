//! The operator's door: a Unix socket in the folder of its journal, and one line for one answer.
//!
//! | line | what | answer |
//! |---|---|---|
//! | `FORGET <client>` | removes a client on every server | `FORGOT <client>`, when that is durable |
//!
//! An error is answered with a line that begins with `? `. Who may open the socket is decided by the permissions of the
//! folder. One connection is served at a time: what is asked here takes no longer than a report.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown as Half;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::logging::Escaped;
use crate::member::{ForgetError, Member};
use crate::os::clock;
use crate::os::unix_socket::{self, ADMIN_SOCKET};
use crate::proto::line::framing::LINE_BYTES_CEILING;
use crate::proto::model::fields::Fields;

/// How long a whole line, and the answer to one, may take: they come from this machine, and others wait meanwhile.
const ADMIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of a line: a command with the longest name that any server takes.
const ADMIN_LINE_BYTES_MAX: usize = LINE_BYTES_CEILING;

/// The socket, which is removed when the server ends.
#[derive(Debug)]
pub struct Admin {
    listener: UnixListener,
    path: PathBuf,
}

impl Admin {
    /// Opens the socket in a folder that is locked for this server: what is there is left of a former run.
    ///
    /// # Errors
    /// If it cannot be made there.
    pub fn bind(dir: &Path) -> io::Result<Admin> {
        let listener = unix_socket::listen(dir, ADMIN_SOCKET)?;
        Ok(Admin { listener, path: dir.join(ADMIN_SOCKET) })
    }

    /// Answers until [`Admin::stop`].
    pub fn run(&self, member: &Member) {
        for stream in self.listener.incoming() {
            let Ok(stream) = stream else { return };
            if let Err(error) = serve(member, &stream) {
                log::info!("a connection to the admin socket ended: {error}");
            }
        }
    }

    /// Wakes the thread that answers, for the last time.
    pub fn stop(&self) {
        let _ = SockRef::from(&self.listener).shutdown(Half::Both);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(member: &Member, mut stream: &UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(ADMIN_TIME_MAX))?;
    let line = read_line(stream, clock::deadline(ADMIN_TIME_MAX))?;
    let answer = answer(member, &line);
    let line = line.trim_ascii_end();
    log::info!("admin: {} -> {}", Escaped(line), Escaped(answer.trim_ascii_end().as_bytes()));
    stream.write_all(answer.as_bytes())
}

/// All that comes up to a line feed, before the deadline, however it trickles in.
fn read_line(mut stream: &UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut line, mut piece) = (Vec::new(), [0; 512]);
    while !line.contains(&b'\n') && line.len() < ADMIN_LINE_BYTES_MAX {
        let left = deadline.saturating_duration_since(clock::instant());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            count => line.extend_from_slice(&piece[..count]),
        }
    }
    Ok(line)
}

fn answer(member: &Member, line: &[u8]) -> String {
    let client = match forget_of(line) {
        Ok(client) => client,
        Err(why) => return format!("? {why}\n"),
    };
    match member.forget(client.as_bytes(), clock::now().seconds) {
        Ok(()) => format!("FORGOT {client}\n"),
        Err(ForgetError::Unknown) => format!("? {client} is not known here\n"),
        Err(ForgetError::NotDurable(why)) => format!("? {client} is forgotten here, but that {why}\n"),
    }
}

/// Why a line is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It was cut off, so the name in it may have been, too.
    #[error("the line has no end, or more than {ADMIN_LINE_BYTES_MAX} bytes")]
    NoEnd,
    /// Other words.
    #[error("the line is not FORGET and the name of a client")]
    OtherWords,
}

/// The client that a line with its line feed says to forget.
///
/// # Errors
/// If it says something else, or its end is missing.
pub fn forget_of(line: &[u8]) -> Result<&str, BadLine> {
    let line = line.strip_suffix(b"\n").ok_or(BadLine::NoEnd)?;
    let fields = Fields::of(line).and_then(|fields| Ok((fields.word, fields.exactly()?)));
    match fields {
        Ok(("FORGET", [client])) => Ok(client),
        Ok(_) | Err(_) => Err(BadLine::OtherWords),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_deadline_as_a_whole() {
        let (mut asker, stream) = UnixStream::pair().unwrap();
        asker.write_all(b"FORGET kiwi\n").unwrap();
        let late = read_line(&stream, clock::instant()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let line = read_line(&stream, clock::deadline(Duration::from_secs(60))).unwrap();
        assert_eq!(line, b"FORGET kiwi\n");
    }

    #[test]
    fn only_a_whole_line_names_a_client() {
        for line in [&b"FORGET kiwi\n"[..], b"FORGET  kiwi \r\n", b"\tFORGET\x0bkiwi\n"] {
            assert_eq!(forget_of(line), Ok("kiwi"));
        }
        for cut in [&b""[..], b"FORGET kiwi", b"FORGET kiwi\r"] {
            assert_eq!(forget_of(cut), Err(BadLine::NoEnd));
        }
        for other in
            [&b"\n"[..], b"FORGET\n", b"FORGET a b\n", b"forget a\n", b"FORGET \xff\n", b"FORGOT a\n"]
        {
            assert_eq!(forget_of(other), Err(BadLine::OtherWords));
        }
    }
}
