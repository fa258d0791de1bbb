//! A conversation as the tutorials have it: a `BufReader`, a reply at a time, and `select!` for the stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proxyherd::proto::line::framing::{LINE_BYTES_MAX, Line, PEER_LINE_BYTES_MAX};
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::clock;
use proxyherd_bench::shared::{LINGER_READS_MAX, LINGER_WAIT, Port, WRITE_WAIT_MAX};
use proxyherd_bench::talk::{Pause, Talk, Turn};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::herd::{Herd, Phase};

/// Serves a connection until either side ends it.
pub(crate) async fn converse(herd: &Arc<Herd>, talk: &mut Talk, mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut phase = herd.phase.subscribe();
    let (reader, mut writer) = socket.split();
    let mut reader = BufReader::new(reader);
    let mut turn = Turn::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        // Half a line is dropped when the server stops, as it should be.
        tokio::select! {
            stopping = phase.wait_for(|&phase| phase > Phase::Serving) => {
                drop(stopping);
                return Ok(());
            }
            read = next_line(herd, talk, &mut reader, &mut line) => read?,
        };
        let Some(text) = cut(talk.port, &line) else { return Ok(()) };
        talk.count(&herd.shared, 1);
        let pause = talk.line(&herd.shared, &mut turn, text, clock::now());
        match pause {
            None | Some(Pause::Empty | Pause::Full | Pause::Close) => {}
            Some(Pause::Met(neighbour)) => {
                talk.met(&herd.shared, neighbour, writer.as_ref())?;
                herd.bells[neighbour].back.notify_one();
            }
            Some(Pause::Ask(ref search)) => {
                let (places, nearby) = (Arc::clone(&herd.shared.places), *search.nearby());
                let answer = tokio::task::spawn_blocking(move || places.nearby(&nearby)).await?;
                talk.answered(&herd.shared, &mut turn, search, answer);
            }
        }
        send(herd, &mut turn, &mut writer).await?;
        if matches!(pause, Some(Pause::Close)) {
            return linger(&mut reader, &mut writer).await;
        }
    }
}

/// Reads one line, for which a neighbour has not as much time as a client.
async fn next_line(
    herd: &Herd,
    talk: &Talk,
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    let read = read_line(reader, talk.port, line);
    match talk.is_peer() {
        false => read.await,
        true => timeout(PEER_TIMEOUT, read).await.map_err(|_| talk.silent(&herd.shared))?,
    }
}

/// Reads one line with its terminator, or as much as is needed to see that it is too long.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    port: Port,
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    // CR and LF, and one more.
    reader.take(line_bytes_max(port) as u64 + 2).read_until(b'\n', line).await
}

/// What was read, as a line; `None` at the end of the stream.
fn cut(port: Port, line: &[u8]) -> Option<Line<'_>> {
    let max = line_bytes_max(port);
    let (text, whole) = match line.strip_suffix(b"\n") {
        Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
        // The end of a client's stream ends its last line; what a neighbour did not finish is no line.
        None => (line, port == Port::Client && !line.is_empty()),
    };
    match text.len() > max {
        true => Some(Line::TooLong(&text[..max])),
        false => whole.then_some(Line::Whole(text)),
    }
}

fn line_bytes_max(port: Port) -> usize {
    match port {
        Port::Client => LINE_BYTES_MAX,
        Port::Peer => PEER_LINE_BYTES_MAX,
    }
}

async fn send(herd: &Herd, turn: &mut Turn, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    turn.settle(&herd.shared);
    herd.tell(turn.take_news());
    if !turn.replies().is_empty() {
        timeout(WRITE_WAIT_MAX, writer.write_all(turn.replies())).await??;
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
