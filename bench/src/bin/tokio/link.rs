//! The task of one link: dial, say hello, send what is due and heartbeats, and again when the neighbour is back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxyherd::member::Member;
use proxyherd::member::link_log::{
    CONNECT_WAIT_MAX, LinkLog, UNSENT_BYTES_MAX, WELCOME_WAIT_MAX, does_not_answer, takes_nothing,
};
use proxyherd::member::notifier::Subscription;
use proxyherd::os::{clock, random};
use proxyherd::proto::line::framing::{Framing, Line};
use proxyherd::proto::peering::backoff::Backoff;
use proxyherd::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::herd::Herd;

/// One link's task.
struct LinkTask {
    member: &'static Member,
    address: SocketAddr,
    log: LinkLog<'static>,
    /// Held for a step of the rules at a time; the store's lock is taken after it, never before.
    link: Mutex<Link>,
    follower: Subscription<'static>,
    /// Rung for the follower.
    bell: Arc<Notify>,
}

/// Keeps the link up until the server stops.
pub(crate) async fn run(herd: &'static Herd, neighbour: usize) {
    let member = &herd.driver.member;
    let bell = Arc::new(Notify::new());
    let ring = Arc::clone(&bell);
    let follower = member.notifiers.subscribe_with(Box::new(move || ring.notify_one()));
    member.links[neighbour].follows(follower.notifier());
    let link = Mutex::new(Link::new(Arc::clone(&member.me), neighbour));
    let log = LinkLog::new(member, neighbour);
    let address = herd.driver.neighbours[neighbour];
    let mut task = LinkTask { member, address, log, link, follower, bell };
    let mut backoff = Backoff::new();
    let mut failures = 0;
    loop {
        // A link that is down is not waited for when the server stops.
        let dialled = tokio::select! {
            dialled = task.dial() => dialled,
            () = herd.stopped() => return,
        };
        match dialled {
            Ok((socket, framing)) => {
                backoff.reset();
                failures = 0;
                log.up();
                log.down(task.converse(socket, framing).await);
            }
            Err(error) => {
                failures += 1;
                log.failed(failures, &error);
            }
        }
        task.link.get_mut().hung_up();
        tokio::select! {
            () = sleep(backoff.wait(fastrand::f32())) => {}
            () = task.pause() => {}
            () = herd.stopped() => return,
        }
    }
}

impl LinkTask {
    /// Connects, and lets each side prove who it is. Returns the framing too: more may have come with the welcome.
    async fn dial(&self) -> io::Result<(TcpStream, Framing)> {
        let mut socket = timeout(CONNECT_WAIT_MAX, TcpStream::connect(self.address)).await??;
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        let hello = self.link.lock().hello(random::ephemeral_key()?);
        socket.write_all(&hello).await?;
        let mut framing = Framing::for_peer_replies();
        loop {
            let answer = timeout(WELCOME_WAIT_MAX, self.next_answer(&mut socket, &mut framing));
            match answer.await.map_err(|_| does_not_answer())?? {
                Answered::Reply(line) => socket.write_all(&line).await?,
                Answered::Up => return Ok((socket, framing)),
                Answered::Acknowledged
                | Answered::Pruned
                | Answered::Grafted
                | Answered::Known
                | Answered::Differs(_) => {
                    return Err(io::Error::other(LinkError::OutOfPlace));
                }
            }
        }
    }

    async fn next_answer(&self, socket: &mut TcpStream, framing: &mut Framing) -> io::Result<Answered> {
        loop {
            if let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                let answered = self.log.answered(&mut self.link.lock(), text);
                return self.log.proved(text, answered);
            }
            match socket.read(framing.space()).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => framing.filled(count),
            }
        }
    }

    /// Sends until the connection ends or the server stops.
    async fn converse(&self, mut socket: TcpStream, framing: Framing) -> io::Result<()> {
        let (reader, writer) = socket.split();
        tokio::select! {
            () = self.read_acks(reader, framing) => Ok(()),
            ended = self.send(writer) => ended,
        }
    }

    async fn send(&self, mut socket: WriteHalf<'_>) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut asked = false;
        loop {
            let stopping = self.follower.is_stopping();
            if stopping {
                self.link.lock().finish();
            }
            self.follower.begin_look();
            loop {
                lines.clear();
                let due = {
                    let (mut link, durable_seq) = (self.link.lock(), self.member.durable_seq());
                    self.member.read(|node| link.due(node, durable_seq, clock::ticks(), &mut lines))
                };
                let Some(due) = due else { break };
                write_all(&mut socket, &lines).await?;
                let position = {
                    let mut link = self.link.lock();
                    link.written(due, clock::ticks());
                    link.position()
                };
                self.log.sent(&lines, due.lines(), position);
            }
            if stopping {
                // A connection that is closed while something unread is in it is reset, and takes with it what the
                // neighbour has not read. So it is closed when the neighbour has said that it has merged all.
                if self.is_acknowledged() {
                    return Ok(());
                }
                if !asked {
                    asked = true;
                    self.link.lock().ask_for_ack();
                    continue;
                }
            }
            let wake_at = self.link.lock().wake_at().unwrap_or_default();
            let _ = timeout(wake_at.saturating_sub(clock::ticks()), self.bell.notified()).await;
            self.follower.take();
        }
    }

    fn is_acknowledged(&self) -> bool {
        let link = self.link.lock();
        link.acknowledged_position() >= link.position()
    }

    /// Reads what the neighbour says on a link, which is acknowledgements and complaints, until it is gone.
    async fn read_acks(&self, mut socket: ReadHalf<'_>, mut framing: Framing) {
        loop {
            while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                let answered = self.log.answered(&mut self.link.lock(), text);
                if !self.log.heard_beside(text, answered, self.follower.notifier()) {
                    return;
                }
            }
            if self.link.lock().is_silent(clock::ticks()) {
                return self.log.timed_out();
            }
            match timeout(PEER_TIMEOUT, socket.read(framing.space())).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(count)) => framing.filled(count),
                // It is silent now.
                Err(_) => {}
            }
        }
    }

    /// Waits until the neighbour is back, or the server stops.
    async fn pause(&self) {
        while !self.follower.take() {
            self.bell.notified().await;
        }
    }
}

async fn write_all(socket: &mut WriteHalf<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(PEER_TIMEOUT, socket.write(bytes)).await;
        let count = written.map_err(|_| takes_nothing())??;
        bytes = &bytes[count..];
    }
    Ok(())
}
