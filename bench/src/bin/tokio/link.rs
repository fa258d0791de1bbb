//! The task of one link: dial, say hello, send what is due and beat, and again when the neighbour is back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxyherd::proto::line::framing::{Framing, Line};
use proxyherd::proto::node::NO_WAL;
use proxyherd::proto::peering::backoff::Backoff;
use proxyherd::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};
use proxyherd_bench::shared::{CONNECT_WAIT_MAX, UNSENT_BYTES_MAX, WELCOME_WAIT_MAX};
use proxyherd_bench::{chance, clock};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::herd::{Herd, Phase};

/// Keeps the link up until the server stops.
pub(crate) async fn run(herd: Arc<Herd>, neighbour: usize, address: SocketAddr) {
    let shared = &herd.shared;
    // Held for a step of the rules at a time; the store's lock is taken after it, never before.
    let mut link = Mutex::new(Link::new(Arc::clone(&shared.me), neighbour));
    let mut phase = herd.phase.subscribe();
    let mut backoff = Backoff::new();
    let mut failures = 0;
    loop {
        // A link that is down is not waited for when the server stops.
        let dialled = tokio::select! {
            dialled = dial(&herd, &link, address) => dialled,
            _ = phase.wait_for(|&phase| phase > Phase::Serving) => return,
        };
        match dialled {
            Ok((socket, framing)) => {
                backoff.reset();
                failures = 0;
                shared.note_up(neighbour);
                let ended = converse(&herd, &link, socket, framing).await;
                shared.note_down(neighbour, ended);
            }
            Err(error) => {
                failures += 1;
                shared.note_failure(neighbour, failures, &error);
            }
        }
        link.get_mut().hung_up();
        let wait = backoff.wait(fastrand::f32());
        tokio::select! {
            () = sleep(wait) => {}
            () = herd.bells[neighbour].back.notified() => {}
            _ = phase.wait_for(|&phase| phase > Phase::Serving) => return,
        }
    }
}

/// Connects, and lets each side prove who it is. Returns the framing too: more may have come with the welcome.
async fn dial(herd: &Herd, link: &Mutex<Link>, address: SocketAddr) -> io::Result<(TcpStream, Framing)> {
    let mut socket = timeout(CONNECT_WAIT_MAX, TcpStream::connect(address)).await??;
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    let hello = link.lock().hello(chance::nonce()?);
    socket.write_all(&hello).await?;
    let mut framing = Framing::for_peer_replies();
    loop {
        let answer = next_answer(herd, link, &mut socket, &mut framing);
        let no_answer = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        match timeout(WELCOME_WAIT_MAX, answer).await.map_err(no_answer)?? {
            Answered::Reply(line) => socket.write_all(&line).await?,
            Answered::Up => return Ok((socket, framing)),
            Answered::Acknowledged | Answered::Differs(_) => {
                return Err(io::Error::other(LinkError::OutOfPlace));
            }
        }
    }
}

async fn next_answer(
    herd: &Herd,
    link: &Mutex<Link>,
    socket: &mut TcpStream,
    framing: &mut Framing,
) -> io::Result<Answered> {
    loop {
        if let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
            return answered(herd, link, text);
        }
        match socket.read(framing.space()).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => framing.filled(count),
        }
    }
}

fn answered(herd: &Herd, link: &Mutex<Link>, text: &[u8]) -> io::Result<Answered> {
    let (neighbour, answered) = {
        let mut link = link.lock();
        (link.neighbour(), link.answered(&herd.shared.node.read(), text, clock::ticks()))
    };
    herd.shared.note_answer(neighbour, text, answered)
}

/// Sends until the connection ends or the server stops.
async fn converse(
    herd: &Herd,
    link: &Mutex<Link>,
    mut socket: TcpStream,
    framing: Framing,
) -> io::Result<()> {
    let neighbour = link.lock().neighbour();
    let (reader, writer) = socket.split();
    tokio::select! {
        () = watch(herd, link, neighbour, reader, framing) => Ok(()),
        ended = send(herd, link, neighbour, writer) => ended,
    }
}

async fn send(
    herd: &Herd,
    link: &Mutex<Link>,
    neighbour: usize,
    mut socket: WriteHalf<'_>,
) -> io::Result<()> {
    let mut phase = herd.phase.subscribe();
    let bell = &herd.bells[neighbour];
    let mut lines = Vec::new();
    let mut asked = false;
    loop {
        let stopping = *phase.borrow_and_update() == Phase::Draining;
        loop {
            lines.clear();
            let due = link.lock().due(&herd.shared.node.read(), NO_WAL, clock::ticks(), &mut lines);
            let Some(due) = due else { break };
            write_all(&mut socket, &lines).await?;
            link.lock().written(due, clock::ticks());
            herd.shared.note_told(neighbour, &lines);
        }
        if stopping {
            // A connection that is closed while something unread is in it is reset, and takes with it what the
            // neighbour has not read. So it is closed when the neighbour has said that it has merged all.
            if is_acknowledged(&link.lock()) {
                return Ok(());
            }
            if !asked {
                asked = true;
                link.lock().ask_for_ack();
                continue;
            }
        }
        let heartbeat_at = link.lock().heartbeat_at().unwrap_or_default();
        tokio::select! {
            () = bell.news.notified() => {}
            _ = phase.changed() => {}
            () = sleep(heartbeat_at.saturating_sub(clock::ticks())) => {}
        }
    }
}

fn is_acknowledged(link: &Link) -> bool {
    link.acknowledged_position() >= link.position()
}

async fn write_all(socket: &mut WriteHalf<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken_nothing = |_| {
            let what = format!("it has taken nothing for {} s", PEER_TIMEOUT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, what)
        };
        let count = timeout(PEER_TIMEOUT, socket.write(bytes)).await.map_err(taken_nothing)??;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Reads what the neighbour says on a link, which is acknowledgements and complaints, until it is gone.
async fn watch(
    herd: &Herd,
    link: &Mutex<Link>,
    neighbour: usize,
    mut socket: ReadHalf<'_>,
    mut framing: Framing,
) {
    loop {
        while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
            match answered(herd, link, text) {
                Ok(Answered::Differs(_)) => herd.bells[neighbour].news.notify_one(),
                Ok(Answered::Acknowledged | Answered::Up | Answered::Reply(_)) => {
                    if *herd.phase.borrow() == Phase::Draining {
                        herd.bells[neighbour].news.notify_one();
                    }
                }
                Err(error) => herd.shared.note_complaint(neighbour, &error),
            }
        }
        if link.lock().is_silent(clock::ticks()) {
            return herd.shared.note_silent(neighbour);
        }
        match timeout(PEER_TIMEOUT, socket.read(framing.space())).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => framing.filled(count),
            // It is silent now.
            Err(_) => {}
        }
    }
}
