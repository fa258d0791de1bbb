//! A conversation as fast as measuring made it: one read and one write per batch, buffers only while needed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;

use proxyherd::member::conversation::{Conversation, Pause};
use proxyherd::member::peer_registry::Registration;
use proxyherd::member::rate_limit::RateLimit;
use proxyherd::member::turn::Turn;
use proxyherd::net::shutdown::LAST_READS_MAX;
use proxyherd::net::stream::{LINGER_READS_MAX, LINGER_WAIT};
use proxyherd::os::clock;
use proxyherd::proto::line::framing::Framing;
use proxyherd::proto::peering::link::PEER_TIMEOUT;
use proxyherd_bench::driver::cut;
use proxyherd_bench::framings::Framings;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::herd::Herd;
use crate::sockets::shut_down;
use crate::textbook::timed_out;

/// Spare turns kept by each thread. What is given back beyond it is freed.
const TURNS_SPARE_MAX: usize = 64;

thread_local! {
    static FRAMINGS: RefCell<Framings> = const { RefCell::new(Framings::new()) };
    static TURNS: RefCell<Vec<Turn>> = const { RefCell::new(Vec::new()) };
}

/// What one conversation has besides what is lent to it.
struct Connection<'a> {
    herd: &'static Herd,
    conversation: &'a mut Conversation,
    socket: Arc<TcpStream>,
    rate_limit: RateLimit,
    /// The place of a neighbour that has authenticated.
    registration: Option<Registration<'static>>,
}

/// Serves a connection until either side ends it.
pub(crate) async fn converse(
    herd: &'static Herd,
    conversation: &mut Conversation,
    socket: TcpStream,
) -> io::Result<()> {
    let socket = Arc::new(socket);
    let _registered = herd.sockets.register(&socket);
    socket.set_nodelay(true)?;
    let rate_limit = herd.driver.rate_limit();
    Connection { herd, conversation, socket, rate_limit, registration: None }.run().await
}

impl Connection<'_> {
    async fn run(&mut self) -> io::Result<()> {
        let mut mid_line: Option<Framing> = None;
        let mut last_reads = 0;
        loop {
            let readable = poll_fn(|context| self.socket.poll_read_ready(context));
            match self.conversation.is_peer() {
                false => readable.await?,
                true => {
                    let readable = timeout(PEER_TIMEOUT, readable).await;
                    readable.map_err(|_| timed_out(self.herd, self.conversation))??;
                }
            }
            let mut framing = mid_line.take().unwrap_or_else(|| take_framing(self.conversation));
            let count = match read(&self.socket, framing.space()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    mid_line = give_back(self.conversation, framing);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    mid_line = give_back(self.conversation, framing);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.herd.sockets.is_stopping() {
                last_reads += 1;
                if count == 0 || last_reads > LAST_READS_MAX {
                    // It is us who end the stream: what the client has sent of a line is not the line it meant.
                    return Ok(());
                }
            }
            framing.filled(count);
            let mut turn = take_turn(self.herd);
            let close = self.take_lines(&mut framing, &mut turn).await?;
            self.flush(&mut turn).await?;
            if count == 0 {
                return Ok(());
            }
            if close {
                linger(&self.socket).await;
                return Ok(());
            }
            give_back_turn(turn);
            mid_line = give_back(self.conversation, framing);
        }
    }

    /// Takes all complete lines. Returns whether to close.
    async fn take_lines(&mut self, framing: &mut Framing, turn: &mut Turn) -> io::Result<bool> {
        let (member, received) = (&self.herd.driver.member, clock::now());
        let replies_bytes_max = self.herd.driver.output.replies_bytes_max;
        loop {
            match self.conversation.lines(member, turn, framing, received, replies_bytes_max) {
                Pause::Empty => return Ok(false),
                Pause::Full => self.flush(turn).await?,
                // A variant has no secret.
                Pause::Secured(_) => {}
                Pause::Authenticated(neighbour) => {
                    let cut = cut(&self.socket)?;
                    self.registration = Some(member.authenticated(self.conversation, neighbour, cut));
                }
                Pause::Heartbeat(heartbeat) => member.acknowledge(self.conversation, turn, &heartbeat),
                Pause::Ask(query) => {
                    if member.asks_network() {
                        self.flush(turn).await?;
                    }
                    let answer = self.herd.nearby(&query, &mut self.rate_limit).await?;
                    if !turn.has_room_for(answer.as_str()) {
                        self.flush(turn).await?;
                    }
                    self.conversation.answer(turn, &query, answer.as_str());
                }
                Pause::Close(why) => {
                    member.closed(self.conversation.remote(), why);
                    return Ok(true);
                }
            }
        }
    }

    /// Applies what is pending and wakes the links, then sends all replies.
    async fn flush(&self, turn: &mut Turn) -> io::Result<()> {
        let Herd { driver, .. } = self.herd;
        driver.member.flush(self.conversation, turn)?;
        let mut bytes = turn.replies();
        while !bytes.is_empty() {
            match self.socket.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(driver.config.limits.reply_time_max, self.socket.writable()).await??;
                }
                Err(error) => return Err(error),
            }
        }
        turn.sent();
        Ok(())
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

fn take_framing(conversation: &Conversation) -> Framing {
    FRAMINGS.with_borrow_mut(|framings| framings.take(conversation))
}

/// Gives a framing back, unless it is in the middle of a line.
fn give_back(conversation: &Conversation, framing: Framing) -> Option<Framing> {
    if framing.is_mid_line() {
        return Some(framing);
    }
    FRAMINGS.with_borrow_mut(|framings| framings.give_back(conversation, framing));
    None
}

fn take_turn(herd: &Herd) -> Turn {
    TURNS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Turn::new(&herd.driver.member))
}

fn give_back_turn(turn: Turn) {
    TURNS.with_borrow_mut(|turns| {
        if turns.len() < TURNS_SPARE_MAX {
            turns.push(turn);
        }
    });
}
