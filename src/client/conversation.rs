//! One conversation: all of the input to the server, all of the replies to the output.
//!
//! Two threads share the connection, so that neither a slow terminal nor a server that waits for its replies
//! to be read can block the other direction.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::error::ClientError;
use super::owed::Owed;
use crate::os::clock;

/// Bytes moved at once in either direction.
const CHUNK_BYTES: usize = 64 << 10;

/// The share of the longest silence after which the server is told that no more requests come, although it owes
/// replies: it may be one that answers only then.
const EARLY_END_SHARE: u32 = 3;

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

/// Where the replies go.
#[derive(Debug)]
pub struct Outputs<O, N> {
    /// Byte for byte.
    pub replies: O,
    /// The reason of each error line that has one, in a line.
    pub notes: N,
}

/// What both threads know.
#[derive(Debug, Default)]
struct State {
    owed: Owed,
    stage: Stage,
    /// When something was last sent or received, or the input ended: silence counts from there.
    last: Option<Instant>,
}

/// How far the requests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// There may be more.
    #[default]
    Sending,
    /// All are sent.
    AllSent,
    /// The server was told so.
    HalfClosed,
}

/// Sends all of `input`, and copies the replies byte for byte until the server closes. Half-closes when all replies
/// that are owed have come. An output whose reader is gone ends the conversation, and is no error.
pub fn converse(
    stream: &TcpStream,
    input: Input,
    outputs: &mut Outputs<impl Write, impl Write>,
    silence_max: Duration,
) -> Result<Replies, ClientError> {
    stream.set_nodelay(true).map_err(ClientError::Connection)?;
    // Dropping `open` wakes the sender, which may be waiting for input from a terminal.
    let (closed, open) = io::pipe().map_err(ClientError::Connection)?;
    let state = Mutex::new(State::default());

    let (ending, sent) = thread::scope(|scope| {
        let sender = thread::Builder::new()
            .name("sender".to_owned())
            .spawn_scoped(scope, || send(stream, input, &closed, &state))
            .map_err(ClientError::Connection)?;
        let ending = receive(stream, outputs, silence_max, &state);
        drop(open);
        let _ = stream.shutdown(Shutdown::Both);
        let sent = sender.join().expect("the sender has nothing in it that panics");
        Ok::<_, ClientError>((ending, sent))
    })?;

    let owed = state.into_inner().owed;
    let is_settled = owed.is_at_line_start() && owed.is_settled();
    let whole = match (ending?, sent?) {
        (Ending::OutputClosed, _) => true,
        (Ending::ServerClosed, Sent::Cut) => false,
        (Ending::ServerClosed, Sent::Nothing) => is_settled,
        (Ending::ServerClosed, Sent::All) => is_settled && owed.has_begun,
    };
    match (owed.has_errors, whole) {
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
    state: &Mutex<State>,
) -> Result<Sent, ClientError> {
    let mut sent = match input {
        Input::Text(text) => send_chunk(stream, text.as_bytes(), state),
        Input::Stream(file) => send_stream(stream, file, closed, state),
    };
    // The end of the stream ends a line too, but must not come before its reply.
    if state.lock().owed.is_mid_request() && matches!(sent, Ok(Sent::All)) {
        sent = send_chunk(stream, b"\n", state);
    }
    let mut state = state.lock();
    (state.stage, state.last) = (state.stage.max(Stage::AllSent), Some(clock::instant()));
    // After an error the server answers the requests that it has and closes, which ends the receiving side.
    if sent.is_err() {
        state.half_close(stream);
    }
    state.half_close_if_settled(stream);
    sent
}

fn send_stream(
    stream: &TcpStream,
    mut file: File,
    closed: &PipeReader,
    state: &Mutex<State>,
) -> Result<Sent, ClientError> {
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
            Ok(bytes) => sent = send_chunk(stream, &chunk[..bytes], state)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ClientError::Input(error)),
        }
        if matches!(sent, Sent::Cut) {
            return Ok(sent);
        }
    }
}

fn send_chunk(mut stream: &TcpStream, bytes: &[u8], state: &Mutex<State>) -> Result<Sent, ClientError> {
    // Before it is sent: the reply may come at once.
    state.lock().owed.sent(bytes);
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
    outputs: &mut Outputs<impl Write, impl Write>,
    silence_max: Duration,
    state: &Mutex<State>,
) -> Result<Ending, ClientError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let (wait, stage) = state.lock().wait(silence_max);
        if wait.is_zero() {
            if stage == Stage::HalfClosed {
                return Err(ClientError::Silent(silence_max));
            }
            state.lock().half_close(stream);
            continue;
        }
        stream.set_read_timeout(Some(wait)).map_err(ClientError::Connection)?;
        let bytes = match stream.read(&mut chunk) {
            Ok(0) => return Ok(Ending::ServerClosed),
            Ok(bytes) => bytes,
            Err(error) if hung_up(&error) => return Ok(Ending::ServerClosed),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(ClientError::Connection(error)),
        };
        let mut notes = String::new();
        let mut state = state.lock();
        state.last = Some(clock::instant());
        state.owed.received(&chunk[..bytes], |reason| notes.extend(["proxyherd: ", reason, "\n"]));
        state.half_close_if_settled(stream);
        drop(state);
        let Outputs { replies, notes: output } = outputs;
        match replies.write_all(&chunk[..bytes]).and_then(|()| replies.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Ending::OutputClosed),
            Err(error) => return Err(ClientError::Output(error)),
        }
        // The replies are what counts.
        let _ = output.write_all(notes.as_bytes());
    }
}

impl State {
    /// How long the server may be silent from now on until something is to be done, and at which stage.
    fn wait(&self, silence_max: Duration) -> (Duration, Stage) {
        let left = |most: Duration| {
            let silence = self.last.map(|last| clock::instant().saturating_duration_since(last));
            most.saturating_sub(silence.unwrap_or_default())
        };
        let wait = match self.stage {
            // While there may be more input, silence only means that no request was made.
            Stage::Sending => silence_max / EARLY_END_SHARE,
            Stage::AllSent => left(silence_max / EARLY_END_SHARE),
            Stage::HalfClosed => left(silence_max),
        };
        (wait, self.stage)
    }

    fn half_close_if_settled(&mut self, stream: &TcpStream) {
        if self.stage == Stage::AllSent && self.owed.is_settled() {
            self.half_close(stream);
        }
    }

    fn half_close(&mut self, stream: &TcpStream) {
        self.stage = Stage::HalfClosed;
        let _ = stream.shutdown(Shutdown::Write);
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
