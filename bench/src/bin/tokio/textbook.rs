//! A conversation as the tutorials have it: a `BufReader`, a reply at a time, and `select!` for the stop.

use std::io;
use std::time::Duration;

use proxyherd::member::conversation::{Conversation, Pause};
use proxyherd::member::turn::Turn;
use proxyherd::net::stream::{LINGER_READS_MAX, LINGER_WAIT};
use proxyherd::os::clock;
use proxyherd::proto::line::framing::{
    LINE_BYTES_MAX, Line, PEER_LINE_BYTES_MAX, UNAUTHENTICATED_LINE_BYTES_MAX,
};
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::driver::cut;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::herd::Herd;

/// Serves a connection until either side ends it.
pub(crate) async fn converse(
    herd: &'static Herd,
    conversation: &mut Conversation,
    mut socket: TcpStream,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let member = &herd.driver.member;
    let mut stopping = herd.stopping.subscribe();
    let (reader, mut writer) = socket.split();
    let mut reader = BufReader::new(reader);
    let mut turn = Turn::new(member);
    let mut rate_limit = herd.driver.rate_limit();
    let mut line = Vec::new();
    // The place of a neighbour that has authenticated.
    let mut _registration = None;
    loop {
        line.clear();
        // Half a line is dropped when the server stops, as it should be.
        tokio::select! {
            stopped = stopping.wait_for(|&stopping| stopping) => {
                drop(stopped);
                return Ok(());
            }
            read = next_line(herd, conversation, &mut reader, &mut line) => read?,
        };
        let Some(text) = line_of(conversation, &line) else { return Ok(()) };
        let pause = conversation.line(member, &mut turn, text, clock::now());
        match &pause {
            // A variant has no secret.
            None | Some(Pause::Empty | Pause::Full | Pause::Secured(_)) => {}
            Some(Pause::Authenticated(neighbour)) => {
                let cut = cut(writer.as_ref())?;
                _registration = Some(member.authenticated(conversation, *neighbour, cut));
            }
            Some(Pause::Heartbeat(heartbeat)) => member.acknowledge(conversation, &mut turn, heartbeat),
            Some(Pause::Ask(query)) => {
                let answer = herd.nearby(query, &mut rate_limit).await?;
                conversation.answer(&mut turn, query, answer.as_str());
            }
            Some(Pause::Close(why)) => member.closed(conversation.remote(), *why),
        }
        flush(herd, conversation, &mut turn, &mut writer).await?;
        if matches!(pause, Some(Pause::Close(_))) {
            return linger(&mut reader, &mut writer).await;
        }
    }
}

/// Reads one line, for which a neighbour has not as much time as a client.
async fn next_line(
    herd: &Herd,
    conversation: &Conversation,
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    let read = read_line(reader, line_bytes_max(conversation), line);
    match conversation.is_peer() {
        false => read.await,
        true => timeout(PEER_TIMEOUT, read).await.map_err(|_| timed_out(herd, conversation))?,
    }
}

/// Reads one line with its terminator, or as much as is needed to see that it is too long.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line_bytes_max: usize,
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    // CR and LF, and one more.
    reader.take(line_bytes_max as u64 + 2).read_until(b'\n', line).await
}

/// What was read, as a line; `None` at the end of the stream.
fn line_of<'a>(conversation: &Conversation, line: &'a [u8]) -> Option<Line<'a>> {
    let max = line_bytes_max(conversation);
    let (text, whole) = match line.strip_suffix(b"\n") {
        Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
        // The end of a client's stream ends its last line; what a neighbour did not finish is no line.
        None => (line, conversation.is_client() && !line.is_empty()),
    };
    match text.len() > max {
        true => Some(Line::TooLong(&text[..max])),
        false => whole.then_some(Line::Whole(text)),
    }
}

fn line_bytes_max(conversation: &Conversation) -> usize {
    if conversation.is_client() {
        LINE_BYTES_MAX
    } else if conversation.is_peer() {
        PEER_LINE_BYTES_MAX
    } else {
        UNAUTHENTICATED_LINE_BYTES_MAX
    }
}

/// A neighbour has said nothing for too long.
pub(crate) fn timed_out(herd: &Herd, conversation: &Conversation) -> io::Error {
    herd.driver.member.peer_timed_out(conversation.remote());
    io::ErrorKind::TimedOut.into()
}

async fn flush(
    herd: &Herd,
    conversation: &Conversation,
    turn: &mut Turn,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    herd.driver.member.flush(conversation, turn)?;
    if !turn.replies().is_empty() {
        timeout(herd.driver.config.limits.reply_time_max, writer.write_all(turn.replies())).await??;
        turn.sent();
    }
    Ok(())
}

/// Says that nothing more will be sent, and reads on for a moment until the other side has closed too.
async fn linger(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    writer.shutdown().await?;
    let total: Duration = LINGER_WAIT * LINGER_READS_MAX;
    let mut ignored = [0; 4096];
    let _ = timeout(total, async {
        while let Ok(Ok(1..)) = timeout(LINGER_WAIT, reader.read(&mut ignored)).await {}
    })
    .await;
    Ok(())
}
