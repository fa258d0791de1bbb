//! One conversation: all of the input to the server, all of the replies to the output.
//!
//! Two threads share the connection, so that neither a slow terminal nor a server that waits for its replies
//! to be read can block the other direction.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::error::ClientError;

/// Bytes moved at once in either direction.
const CHUNK_BYTES: usize = 64 << 10;

/// The source of the requests.
#[derive(Debug)]
pub enum Input {
    /// This text alone.
    Text(String),
    /// All that can be read from this file.
    Stream(File),
}

/// The exit code when one of the replies was an error line.
const ERROR_REPLY: u8 = 1;

/// The verdict on all replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// No error.
    Good,
    /// At least one error line.
    Errors,
}

impl Replies {
    /// The exit code of the program that says so.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Replies::Good => ExitCode::SUCCESS,
            Replies::Errors => ExitCode::from(ERROR_REPLY),
        }
    }
}

/// Sends all of `input`, half-closes, and copies the replies to `output` byte for byte until the server closes.
/// An `output` whose reader is gone ends the conversation, and is no error.
pub fn converse(
    stream: &TcpStream,
    input: Input,
    output: &mut impl Write,
    silence_max: Duration,
) -> Result<Replies, ClientError> {
    stream.set_read_timeout(Some(silence_max)).map_err(ClientError::Connection)?;
    stream.set_nodelay(true).map_err(ClientError::Connection)?;
    // Dropping `open` wakes the sender, which may be waiting for input from a terminal.
    let (closed, open) = io::pipe().map_err(ClientError::Connection)?;
    let all_sent = AtomicBool::new(false);
    let mut seen = Seen::default();

    let (ending, sent) = thread::scope(|scope| {
        let sender = thread::Builder::new()
            .name("sender".to_owned())
            .spawn_scoped(scope, || send(stream, input, &closed, &all_sent))
            .map_err(ClientError::Connection)?;
        let ending = receive(stream, output, &mut seen, silence_max, &all_sent);
        drop(open);
        let _ = stream.shutdown(Shutdown::Both);
        let sent = sender.join().expect("the sender has nothing in it that panics");
        Ok::<_, ClientError>((ending, sent))
    })?;

    let whole = match (ending?, sent?) {
        (Ending::OutputClosed, _) => true,
        (Ending::ServerClosed, Sent::Cut) => false,
        (Ending::ServerClosed, Sent::Nothing) => seen.at == At::LineStart,
        (Ending::ServerClosed, Sent::All) => seen.at == At::LineStart && seen.any,
    };
    match (seen.error, whole) {
        // A server closes on its own after some errors, and has then said why.
        (true, _) => Ok(Replies::Errors),
        (false, true) => Ok(Replies::Good),
        (false, false) => Err(ClientError::Closed),
    }
}

/// The part of the input that the server was sent.
enum Sent {
    /// All of it.
    All,
    /// All of it, but there was none.
    Nothing,
    /// Not all: the connection ended before the input did.
    Cut,
}

fn send(
    stream: &TcpStream,
    input: Input,
    closed: &PipeReader,
    all_sent: &AtomicBool,
) -> Result<Sent, ClientError> {
    let sent = match input {
        Input::Text(text) => send_chunk(stream, text.as_bytes()),
        Input::Stream(file) => send_stream(stream, file, closed),
    };
    // Even after an error the server answers the requests that it has and closes, which ends the receiving side.
    let _ = stream.shutdown(Shutdown::Write);
    all_sent.store(true, Ordering::Release);
    sent
}

fn send_stream(stream: &TcpStream, mut file: File, closed: &PipeReader) -> Result<Sent, ClientError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut sent = Sent::Nothing;
    loop {
        let mut waiting = [PollFd::new(&file, PollFlags::IN), PollFd::new(closed, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(ClientError::Input(error.into())),
        }
        if !waiting[1].revents().is_empty() {
            return Ok(Sent::Cut);
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok(sent),
            Ok(bytes) => sent = send_chunk(stream, &chunk[..bytes])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ClientError::Input(error)),
        }
        if matches!(sent, Sent::Cut) {
            return Ok(sent);
        }
    }
}

fn send_chunk(mut stream: &TcpStream, bytes: &[u8]) -> Result<Sent, ClientError> {
    match stream.write_all(bytes) {
        Ok(()) => Ok(Sent::All),
        Err(error) if hung_up(&error) => Ok(Sent::Cut),
        Err(error) => Err(ClientError::Connection(error)),
    }
}

/// The cause that ended the receiving side.
enum Ending {
    ServerClosed,
    OutputClosed,
}

fn receive(
    mut stream: &TcpStream,
    output: &mut impl Write,
    seen: &mut Seen,
    silence_max: Duration,
    all_sent: &AtomicBool,
) -> Result<Ending, ClientError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let asked_all = all_sent.load(Ordering::Acquire);
        let bytes = match stream.read(&mut chunk) {
            Ok(0) => return Ok(Ending::ServerClosed),
            Ok(bytes) => bytes,
            Err(error) if hung_up(&error) => return Ok(Ending::ServerClosed),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // While there may be more input, silence only means that no request was made. The server has had
                // all of the time only if all requests were sent before this wait began.
                if asked_all {
                    return Err(ClientError::Silent(silence_max));
                }
                continue;
            }
            Err(error) => return Err(ClientError::Connection(error)),
        };
        seen.look_at(&chunk[..bytes]);
        match output.write_all(&chunk[..bytes]).and_then(|()| output.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Ending::OutputClosed),
            Err(error) => return Err(ClientError::Output(error)),
        }
    }
}

fn hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

/// The replies so far, in whichever pieces they came.
#[derive(Default)]
pub(super) struct Seen {
    any: bool,
    pub(super) error: bool,
    at: At,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum At {
    #[default]
    LineStart,
    QuestionMark,
    Within,
}

impl Seen {
    /// An error line begins with `? `; no line of JSON begins with a question mark.
    pub(super) fn look_at(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.any = true;
            self.at = match (self.at, byte) {
                (_, b'\n') => At::LineStart,
                (At::LineStart, b'?') => At::QuestionMark,
                (At::QuestionMark, b' ') => {
                    self.error = true;
                    At::Within
                }
                (At::LineStart | At::QuestionMark | At::Within, _) => At::Within,
            };
        }
    }
}
