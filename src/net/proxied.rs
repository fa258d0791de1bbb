//! Connections from a proxy: before anything else is spoken, the proxy names its client. From the addresses of proxies
//! a header must come, and from others none is looked for: anyone could forge one.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::accept::{Accepted, Spoken};
use super::gate::{Event, Gate};
use super::proxy_header::{HEADER_BYTES_MAX, Header, HeaderError, parse};
use super::refuse;
use super::stream::{Stream, linger};
use crate::os::clock;

/// How long a proxy may take for its header: it sends it before it has anything of its client.
pub const PROXY_HEADER_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a connection from a proxy is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotNamed {
    /// The bytes that came are no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No whole header came in time.
    #[error(
        "no PROXY header has come within {}, which --proxy-from asks of this address",
        humantime::format_duration(PROXY_HEADER_TIME_MAX)
    )]
    Late,
    /// The stream has ended within it.
    #[error("its PROXY header is cut short")]
    Cut,
    /// It has connected to see whether we are there, and that is all.
    #[error("it is no client")]
    NoClient,
}

/// Lets the proxy say who a connection is from, if it is from one. `None` if the connection is over: what is no client
/// leaves no trace, because load balancers look every second whether we are there.
pub fn named<'a, P: Spoken>(gate: &Gate, accepted: Box<Accepted<'a, P>>) -> Option<Box<Accepted<'a, P>>> {
    if accepted.is_proxied { by_header(gate, accepted) } else { Some(accepted) }
}

// Not inlined: what it needs of the stack would be part of the stack of every thread.
#[inline(never)]
fn by_header<'a, P: Spoken>(gate: &Gate, mut accepted: Box<Accepted<'a, P>>) -> Option<Box<Accepted<'a, P>>> {
    let (proxy, class) = (accepted.from, accepted.door.class);
    match client(&accepted.stream, proxy, gate.limits.idle_time_max) {
        Ok(from) => accepted.from = from,
        Err(NotNamed::NoClient) => return None,
        Err(why) => {
            gate.report(
                Event::NotNamed(proxy),
                format_args!("refused a connection from the proxy {proxy}: {why}"),
            );
            refuse::tell(&accepted.stream, &accepted.door.refusal(&why));
            linger_blocking(&accepted.stream);
            return None;
        }
    }
    let from = accepted.from;
    if let Err(why) = accepted.admitted.named(from, &gate.limits) {
        let what = format_args!("refused {} {from}: {why}", accepted.door.protocol);
        gate.report(Event::Refused(why, from), what);
        refuse::tell(&accepted.stream, &accepted.door.refusal(&why));
        linger_blocking(&accepted.stream);
        return None;
    }
    gate.cut_displaced(&mut accepted.admitted, class, from);
    gate.report(Event::Accepted(class), format_args!(""));
    Some(accepted)
}

/// The address of the client: the proxy's own, if it names none and something is said all the same.
fn client(
    stream: &Stream,
    proxy: SocketAddr,
    idle_time_max: Option<Duration>,
) -> Result<SocketAddr, NotNamed> {
    let header = read_header(stream)?;
    // Afterwards there is no deadline, as on any other stream.
    let _ = stream.set_read_timeout(None);
    match header {
        // A health check of HAProxy names its own end, in version 1.
        Header::Client(from) if canonical(from) != canonical(proxy) => Ok(from),
        Header::Client(_) | Header::NoAddress => {
            let _ = stream.set_read_timeout(idle_time_max);
            let says_something = peek(stream, &mut [0]).is_ok_and(|count| count > 0);
            let _ = stream.set_read_timeout(None);
            if says_something { Ok(proxy) } else { Err(NotNamed::NoClient) }
        }
    }
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// Reads the header and not a byte more: what comes next may be for another reader.
// Not inlined: its buffer would be part of the stack of every thread.
#[inline(never)]
fn read_header(mut stream: &Stream) -> Result<Header, NotNamed> {
    let by = clock::deadline(PROXY_HEADER_TIME_MAX);
    let mut bytes = [0; HEADER_BYTES_MAX];
    let mut count = 0;
    // Fails if the stream is gone already; and what has said nothing was no client.
    let gone = |count: usize| if count == 0 { NotNamed::NoClient } else { NotNamed::Cut };
    loop {
        let left = by.saturating_duration_since(clock::instant());
        if left.is_zero() {
            return Err(NotNamed::Late);
        }
        stream.set_read_timeout(Some(left)).map_err(|_| gone(count))?;
        let come = match peek(stream, &mut bytes[count..]) {
            Ok(0) => return Err(gone(count)),
            Ok(come) => count + come,
            Err(Errno::AGAIN) => return Err(NotNamed::Late),
            Err(_) => return Err(gone(count)),
        };
        let parsed = parse(&bytes[..come])?;
        let end = parsed.map_or(come, |(_, end)| end);
        // They are there.
        stream.read_exact(&mut bytes[count..end]).map_err(|_| gone(count))?;
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
        count = end;
    }
}

/// Waits for bytes, and leaves them where they are.
fn peek(stream: &Stream, space: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match recv(stream, &mut *space, RecvFlags::PEEK) {
            Ok((count, _)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads on for a moment after a refusal, so that its line arrives.
fn linger_blocking(stream: &Stream) {
    let _ = stream.set_nonblocking(false);
    linger(stream);
}
