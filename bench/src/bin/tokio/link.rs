//! The task of one link: dial, say hello, send what is due, and again when the neighbour is back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proxyherd::proto::backoff::Backoff;
use proxyherd::proto::framing::{Framing, Line};
use proxyherd::proto::link::Link;
use proxyherd_bench::shared::{CONNECT_WAIT_MAX, WELCOME_WAIT_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::herd::{Herd, Phase};

/// Keeps the link up until the server stops.
pub(crate) async fn run(herd: Arc<Herd>, neighbour: usize, address: SocketAddr) {
    let shared = &herd.shared;
    let mut link = Link::new(Arc::clone(&shared.me), neighbour);
    let mut phase = herd.phase.subscribe();
    let mut backoff = Backoff::new();
    let mut failures = 0;
    loop {
        // A link that is down is not waited for when the server stops.
        let dialled = tokio::select! {
            dialled = dial(&herd, &mut link, address) => dialled,
            _ = phase.wait_for(|&phase| phase > Phase::Serving) => return,
        };
        match dialled {
            Ok((socket, framing)) => {
                backoff.reset();
                failures = 0;
                shared.note_up(neighbour);
                let ended = converse(&herd, &mut link, socket, framing).await;
                link.hung_up();
                shared.note_down(neighbour, ended);
            }
            Err(error) => {
                failures += 1;
                shared.note_failure(neighbour, failures, &error);
            }
        }
        let wait = backoff.wait(fastrand::f32());
        tokio::select! {
            () = sleep(wait) => {}
            () = herd.bells[neighbour].back.notified() => {}
            _ = phase.wait_for(|&phase| phase > Phase::Serving) => return,
        }
    }
}

/// Connects and says hello. Returns the framing too: more may have come with the welcome.
async fn dial(herd: &Herd, link: &mut Link, address: SocketAddr) -> io::Result<(TcpStream, Framing)> {
    let mut socket = timeout(CONNECT_WAIT_MAX, TcpStream::connect(address)).await??;
    socket.set_nodelay(true)?;
    socket.write_all(&link.hello()).await?;
    let mut framing = Framing::for_peer_replies();
    let welcome = async {
        loop {
            let count = socket.read(framing.space()).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            framing.filled(count);
            if let Some(line) = framing.next_line() {
                let (Line::Whole(text) | Line::TooLong(text)) = line;
                return link.welcomed(&mut herd.shared.node.write(), text).map_err(io::Error::other);
            }
        }
    };
    timeout(WELCOME_WAIT_MAX, welcome)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer HELLO"))??;
    Ok((socket, framing))
}

/// Sends until the connection ends or the server stops.
async fn converse(herd: &Herd, link: &mut Link, mut socket: TcpStream, framing: Framing) -> io::Result<()> {
    let neighbour = link.neighbour();
    let (reader, writer) = socket.split();
    tokio::select! {
        () = watch(herd, neighbour, reader, framing) => Ok(()),
        ended = send(herd, link, writer) => ended,
    }
}

async fn send(herd: &Herd, link: &mut Link, mut socket: WriteHalf<'_>) -> io::Result<()> {
    let mut phase = herd.phase.subscribe();
    let bell = &herd.bells[link.neighbour()];
    let mut lines = Vec::new();
    loop {
        let stopping = *phase.borrow_and_update() == Phase::Draining;
        loop {
            lines.clear();
            let due = herd.shared.node.read().due(link, &mut lines);
            let Some(due) = due else { break };
            socket.write_all(&lines).await?;
            link.written(due);
            herd.shared.note_told(link.neighbour(), &lines);
        }
        if stopping {
            return Ok(());
        }
        tokio::select! {
            () = bell.news.notified() => {}
            _ = phase.changed() => {}
        }
    }
}

/// Reads what the neighbour says on a link, which is nothing but complaints, until it hangs up.
async fn watch(herd: &Herd, neighbour: usize, mut socket: ReadHalf<'_>, mut framing: Framing) {
    loop {
        while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
            herd.shared.note_complaint(neighbour, text);
        }
        match socket.read(framing.space()).await {
            Ok(0) | Err(_) => return,
            Ok(count) => framing.filled(count),
        }
    }
}
