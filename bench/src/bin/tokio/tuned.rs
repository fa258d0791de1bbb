//! A conversation as fast as measuring made it: one read and one write per batch, buffers only while needed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;

use proxyherd::proto::line::framing::Framing;
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::clock;
use proxyherd_bench::framings::Framings;
use proxyherd_bench::shared::{LAST_READS_MAX, LINGER_READS_MAX, LINGER_WAIT, Port, WRITE_WAIT_MAX};
use proxyherd_bench::talk::{Pause, Talk, Turn};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::herd::Herd;
use crate::sockets::shut_down;

/// Spare turns kept by each thread. What is given back beyond it is freed.
const TURNS_SPARE_MAX: usize = 64;

thread_local! {
    static FRAMINGS: RefCell<Framings> = const { RefCell::new(Framings::new()) };
    static TURNS: RefCell<Vec<Turn>> = const { RefCell::new(Vec::new()) };
}

/// Serves a connection until either side ends it.
pub(crate) async fn converse(herd: &Arc<Herd>, talk: &mut Talk, socket: TcpStream) -> io::Result<()> {
    let socket = Arc::new(socket);
    let _registered = herd.sockets.register(&socket);
    socket.set_nodelay(true)?;
    let mut mid_line: Option<Framing> = None;
    let mut last_reads = 0;
    loop {
        let readable = poll_fn(|context| socket.poll_read_ready(context));
        match talk.is_peer() {
            false => readable.await?,
            true => timeout(PEER_TIMEOUT, readable).await.map_err(|_| talk.silent(&herd.shared))??,
        }
        let mut framing = mid_line.take().unwrap_or_else(|| take_framing(talk.port));
        let count = match read(&socket, framing.space()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                mid_line = give_back(talk.port, framing);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                mid_line = give_back(talk.port, framing);
                continue;
            }
            Err(error) => return Err(error),
        };
        if herd.sockets.is_stopping() {
            last_reads += 1;
            if count == 0 || last_reads > LAST_READS_MAX {
                // It is us who end the stream: what the client has sent of a line is not the line it meant.
                return Ok(());
            }
        }
        framing.filled(count);
        let mut turn = take_turn();
        let close = take_lines(herd, talk, &socket, &mut framing, &mut turn).await?;
        if count == 0 {
            return Ok(());
        }
        if close {
            linger(&socket).await;
            return Ok(());
        }
        give_back_turn(turn);
        mid_line = give_back(talk.port, framing);
    }
}

/// Takes all complete lines and sends what comes of them. Returns whether to close.
async fn take_lines(
    herd: &Herd,
    talk: &mut Talk,
    socket: &Arc<TcpStream>,
    framing: &mut Framing,
    turn: &mut Turn,
) -> io::Result<bool> {
    let received = clock::now();
    loop {
        let pause = talk.lines(&herd.shared, turn, framing, received);
        if let Pause::Met(neighbour) = pause {
            talk.met(&herd.shared, neighbour, socket)?;
        }
        turn.settle(&herd.shared);
        herd.tell(turn.take_news());
        if !turn.replies().is_empty() {
            write_all(socket, turn.replies()).await?;
            turn.sent();
        }
        match pause {
            Pause::Empty => return Ok(false),
            Pause::Close => return Ok(true),
            Pause::Full => {}
            Pause::Met(neighbour) => herd.bells[neighbour].back.notify_one(),
            Pause::Ask(search) => {
                let (places, nearby) = (Arc::clone(&herd.shared.places), *search.nearby());
                let answer = tokio::task::spawn_blocking(move || places.nearby(&nearby)).await?;
                talk.answered(&herd.shared, turn, &search, answer);
            }
        }
    }
}

/// Reads once. When less came than there was room for, the socket is empty: that is told to the reactor, which
/// spares the read that would only find this out.
fn read(socket: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let mut came = None;
    let ready = socket.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(socket)).read(space)?;
        came = Some(count);
        if count > 0 && count < space.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match came {
        Some(count) => Ok(count),
        None => ready.map(|()| 0),
    }
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        match socket.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timeout(WRITE_WAIT_MAX, socket.writable()).await??;
            }
            Err(error) => return Err(error),
        }
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

/// Says that nothing more will be sent, and reads on for a moment until the other side has closed too.
async fn linger(socket: &TcpStream) {
    shut_down(socket, Shutdown::Write);
    let mut ignored = [0; 4096];
    for _ in 0..LINGER_READS_MAX {
        let Ok(Ok(())) = timeout(LINGER_WAIT, socket.readable()).await else { return };
        match socket.try_read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn take_framing(port: Port) -> Framing {
    FRAMINGS.with_borrow_mut(|framings| framings.take(port))
}

/// Gives a framing back, unless it is in the middle of a line.
fn give_back(port: Port, framing: Framing) -> Option<Framing> {
    if framing.is_mid_line() {
        return Some(framing);
    }
    FRAMINGS.with_borrow_mut(|framings| framings.give_back(port, framing));
    None
}

fn take_turn() -> Turn {
    TURNS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn give_back_turn(turn: Turn) {
    TURNS.with_borrow_mut(|turns| {
        if turns.len() < TURNS_SPARE_MAX {
            turns.push(turn);
        }
    });
}
