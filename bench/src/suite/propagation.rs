//! Small talk with single servers: report a client, ask whether it is known.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::thread::set_current_timer_slack;
use socket2::{Domain, Protocol, Socket, Type};

use super::server::Servers;
use crate::abusive_clients::script::report;
use crate::load::clock;

/// How long a herd may take until all its servers know a client.
pub(super) const KNOWN_MAX: Duration = Duration::from_secs(20);

/// Between two questions to one server. Asking without a pause would take the processor from those who are to
/// be measured, and from a threaded server more than from others.
const ASK_PAUSE: Duration = Duration::from_micros(20);

/// What the system may add to that; its usual 50 us are more than the pause.
const PAUSE_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// How long a single reply may take.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// One conversation with one server.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: TcpStream,
    reply: Vec<u8>,
}

impl Conversation {
    pub(crate) fn with(address: SocketAddr) -> io::Result<Conversation> {
        Conversation::from(Ipv4Addr::UNSPECIFIED, address)
    }

    /// From one of this machine's addresses.
    pub(crate) fn from(source: Ipv4Addr, address: SocketAddr) -> io::Result<Conversation> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.set_tcp_nodelay(true)?;
        socket.connect_timeout(&address.into(), REPLY_MAX)?;
        socket.set_read_timeout(Some(REPLY_MAX))?;
        socket.set_write_timeout(Some(REPLY_MAX))?;
        Ok(Conversation { socket: socket.into(), reply: Vec::new() })
    }

    /// Sends a line and returns the line of the reply.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<&[u8]> {
        self.socket.write_all(line.as_bytes())?;
        self.read_until(b"\n")?;
        Ok(&self.reply)
    }

    /// Sends bytes and returns so many that come back.
    pub(crate) fn exchange(&mut self, bytes: &[u8], count: usize) -> io::Result<&[u8]> {
        self.socket.write_all(bytes)?;
        self.reply.resize(count, 0);
        self.socket.read_exact(&mut self.reply)?;
        Ok(&self.reply)
    }

    /// Reports a client as seen now, and returns when that was sent.
    pub(crate) fn report(&mut self, client: &str) -> io::Result<u64> {
        let line = report(client, clock::wall_ns());
        let sent_ns = clock::monotonic_ns();
        let reply = self.tell(&line)?;
        // Who only passes on writes the line itself back.
        match reply.starts_with(b"AT ") || reply == line.as_bytes() {
            true => Ok(sent_ns),
            false => Err(self.odd()),
        }
    }

    /// Whether the server knows a client.
    pub(super) fn knows(&mut self, client: &str) -> io::Result<bool> {
        self.tell(&format!("WHATSAT {client} 1 1\n"))?;
        if self.reply.starts_with(b"? ") {
            return Ok(false);
        }
        if !self.reply.starts_with(b"AT ") {
            return Err(self.odd());
        }
        while !self.reply.ends_with(b"\n\n") {
            self.read_more()?;
        }
        Ok(true)
    }

    /// Asks until the server knows a client, and returns when it did.
    pub(crate) fn wait_for(&mut self, client: &str) -> io::Result<u64> {
        let end_ns = clock::monotonic_ns() + clock::ns(KNOWN_MAX);
        while !self.knows(client)? {
            if clock::monotonic_ns() > end_ns {
                let text =
                    format!("{client} was not known within {} s: an update was lost", KNOWN_MAX.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(ASK_PAUSE);
        }
        Ok(clock::monotonic_ns())
    }

    fn read_until(&mut self, end: &[u8]) -> io::Result<()> {
        self.reply.clear();
        while !self.reply.ends_with(end) && !self.reply.contains(&b'\n') {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.reply.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    pub(crate) fn odd(&self) -> io::Error {
        io::Error::other(format!("an odd reply: {}", String::from_utf8_lossy(&self.reply).trim_end()))
    }
}

/// A histogram of nanoseconds up to [`KNOWN_MAX`].
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, clock::ns(KNOWN_MAX), 3).expect("these bounds are constants")
}

/// Waits until news from the first server of a herd reaches all others: its links are up.
pub(super) fn wait_until_linked(servers: &Servers, marker: &str) -> io::Result<()> {
    let members = servers.herd.members();
    Conversation::with(members[0].client.resolve()?)?.report(marker)?;
    let mut others = members[1..].iter();
    others.try_for_each(|it| Conversation::with(it.client.resolve()?)?.wait_for(marker).map(|_| ()))
}

/// Reports `count` clients at one server, one after the other, and measures how long it takes until another
/// knows each, in nanoseconds. The other is asked again and again, so the figure has a question and the pause
/// after it as its grain.
pub(super) fn propagate(
    from: SocketAddr,
    to: SocketAddr,
    marker: &str,
    count: usize,
) -> io::Result<Histogram<u64>> {
    propagate_while(from, to, marker, |done| done < count)
}

/// Measures what [`propagate`] does, as long as `more` says of the clients so far that more are wanted.
pub(super) fn propagate_while(
    from: SocketAddr,
    to: SocketAddr,
    marker: &str,
    more: impl Fn(usize) -> bool,
) -> io::Result<Histogram<u64>> {
    set_current_timer_slack(Some(PAUSE_SLACK_NS))?;
    let (mut from, mut to) = (Conversation::with(from)?, Conversation::with(to)?);
    let mut times = histogram();
    for number in (0..).take_while(|done| more(*done)) {
        let client = format!("{marker}-{number}");
        let sent_ns = from.report(&client)?;
        let known_ns = to.wait_for(&client)?;
        times.saturating_record(known_ns.saturating_sub(sent_ns));
    }
    Ok(times)
}
