//! The handshake of TLS, on the connection's own thread, and who is not heard because of it: plain text gets one answer
//! in the words of the door.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::ServerConfig;

use super::accept::{Accepted, Spoken};
use super::gate::{Event, Gate};
use super::refuse;
use super::stream::{Stream, linger};
use super::tls::Tls;
use crate::os::clock;

/// What every client of TLS begins with: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Why a connection is not heard.
#[derive(Debug, thiserror::Error)]
enum NotSecured {
    /// It has connected and hung up, to see whether we are there.
    #[error("nothing was said")]
    Nothing,
    /// It speaks without TLS.
    #[error("it speaks plain text")]
    PlainText,
    /// The handshake was not over in time.
    #[error("its handshake was not over within {}", humantime::format_duration(*.0))]
    Late(Duration),
    /// What the library, or the system, says.
    #[error("{0}")]
    Failed(io::Error),
}

/// Makes a connection one of TLS if its port asks for that. `None` if the connection is over.
pub fn secured<'a, P: Spoken>(gate: &Gate, accepted: Box<Accepted<'a, P>>) -> Option<Box<Accepted<'a, P>>> {
    match accepted.door.tls {
        None => Some(accepted),
        Some(config) => by_handshake(gate, accepted, config),
    }
}

// Not inlined, like the next: what it needs of the stack would be kept while the connection lives.
#[inline(never)]
fn by_handshake<'a, P: Spoken>(
    gate: &Gate,
    mut accepted: Box<Accepted<'a, P>>,
    config: &Arc<ServerConfig>,
) -> Option<Box<Accepted<'a, P>>> {
    match handshake(&accepted.stream, config, gate.limits.handshake_time_max) {
        Ok(tls) => {
            gate.report(Event::Handshake, format_args!(""));
            accepted.tls = Some(tls);
            return Some(accepted);
        }
        Err(NotSecured::Nothing) => {}
        Err(why) => {
            report(gate, &accepted, &why, accepted.from);
            if matches!(why, NotSecured::PlainText) {
                refuse::tell(&accepted.stream, &accepted.door.protocol.answer_to_plain_text());
                let _ = accepted.stream.set_nonblocking(false);
            }
            // The other side is to get the alert, or the answer.
            linger(&accepted.stream);
        }
    }
    None
}

fn report<P: Spoken>(gate: &Gate, accepted: &Accepted<'_, P>, why: &NotSecured, from: SocketAddr) {
    let what = format_args!("no TLS with {} {from}: {why}", accepted.door.protocol);
    gate.report(Event::HandshakeFailed(from), what);
}

/// The handshake, however little of it comes at a time.
#[inline(never)]
fn handshake(stream: &Stream, config: &Arc<ServerConfig>, time_max: Duration) -> Result<Tls, NotSecured> {
    let by = clock::deadline(time_max);
    let failed = |error: io::Error| {
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if is_late { NotSecured::Late(time_max) } else { NotSecured::Failed(error) }
    };
    wait(stream, by).map_err(failed)?;
    match first_byte(stream).map_err(failed)? {
        None => return Err(NotSecured::Nothing),
        Some(HANDSHAKE_RECORD) => {}
        Some(_) => return Err(NotSecured::PlainText),
    }
    let mut tls = Tls::new(config).map_err(NotSecured::Failed)?;
    while tls.is_handshaking() {
        wait(stream, by).map_err(failed)?;
        match tls.receive(stream, RecvFlags::empty()) {
            Ok(true) => {}
            Ok(false) => return Err(NotSecured::Failed(ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // Afterwards there is no deadline, as on any other stream.
    stream.set_read_timeout(None).map_err(NotSecured::Failed)?;
    Ok(tls)
}

/// Lets reads and writes wait until then, and not longer.
fn wait(stream: &Stream, by: Instant) -> io::Result<()> {
    let left = by.saturating_duration_since(clock::instant());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

/// The first byte, which stays where it is.
fn first_byte(stream: &Stream) -> io::Result<Option<u8>> {
    let mut first = [0];
    loop {
        match recv(stream, &mut first, RecvFlags::PEEK) {
            Ok((count, _)) => return Ok((count > 0).then_some(first[0])),
            Err(Errno::INTR) => {}
            // Gone before it has said anything.
            Err(Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
