//! The door of the line protocol: clients, and neighbours of the legacy dialect, which come to the same port.

use std::io;
use std::sync::Arc;

use super::connection::{Connection, Shared};
use super::protocol::{Protocol, remote};
use crate::member::conversation::{Conversation, Remote};
use crate::member::metrics::Event;
use crate::net::accept::Accepted;
use crate::net::admission::Admitted;
use crate::net::deadlines::{Deadlines, Phase};
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::proto::line::framing::{CLIENT_READ_BYTES, Framing};

/// What one is told whose network is not named in the access file.
const REFUSAL: &str = "? this port is not for your network: use HTTP, or have it named in `line_from`\n";

/// Serves a client until either side ends the connection.
///
/// # Errors
/// Why it ended, if neither side meant it to.
#[inline(never)]
pub fn serve(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) -> io::Result<()> {
    let remote = remote(&accepted);
    // A proxy names any address that it is told: none of them makes a neighbour.
    let (legacy, _entered) = match accepted.is_proxied {
        true => (Vec::new(), None),
        false => shared.legacy.enter(accepted.from.ip(), &accepted.stream),
    };
    match begin(shared, remote, &legacy, &accepted.stream, accepted.tls, accepted.admitted)? {
        Some(mut connection) => connection.run(),
        None => Ok(()),
    }
}

/// A conversation with a client; `None` if its network is not served.
// Not inlined: what it needs of the stack would be kept while the connection lives.
#[inline(never)]
fn begin<'a>(
    shared: &'a Shared<'a>,
    remote: Remote,
    legacy: &[usize],
    stream: &'a Arc<Stream>,
    tls: Option<Tls>,
    admitted: Admitted<'a>,
) -> io::Result<Option<Box<Connection<'a>>>> {
    let (member, limits) = (shared.member, &shared.gate.limits);
    let phase = Phase::Messages {
        // A neighbour may have nothing to tell for days.
        idle_time_max: limits.idle_time_max.filter(|_| legacy.is_empty()),
        idle_time_when_full: limits.idle_time_when_full,
        message_time_max: limits.line_time_max,
    };
    let mut deadlines = Deadlines::new(stream, tls, phase, limits.reply_time_max)?;
    if let Some(access) = shared.access
        && legacy.is_empty()
        && !(remote.is_local() || access.current().serves_lines_of(remote.from.ip()))
    {
        let what =
            format_args!("{remote} is refused: `line_from` of the access file does not name its network");
        member.metrics.count_and_warn(Event::LineFrom, remote.from, what);
        deadlines.write(REFUSAL.as_bytes())?;
        deadlines.linger();
        return Ok(None);
    }
    let conversation = Conversation::with_client(Arc::clone(&member.me), remote, legacy);
    let framing = Framing::new(limits.line_bytes_max, CLIENT_READ_BYTES);
    Ok(Some(Connection::begin(shared, stream, admitted, deadlines, conversation, framing)))
}
