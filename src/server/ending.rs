//! How a conversation ends that the other side does not end: giving it up, and letting the last reply arrive.

use std::io::Read;
use std::net::Shutdown as Half;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::conversation::Conversation;
use super::patience::Late;
use super::shutdown::hang_up;
use super::sync::TcpStream;
use super::warnings::Cause;
use crate::proto::peering::link::PEER_TIMEOUT;

/// How long replies may take to leave when the server stops.
const LEAVE_WAIT_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// How often a closed conversation reads on, at most, for the kernel would otherwise answer unread bytes with a
/// reset that can overtake the last reply.
const LINGER_READS_MAX: u32 = 20;

/// How long one such read may wait.
const LINGER_WAIT: Duration = Duration::from_millis(50);

impl Conversation<'_> {
    /// Says what was waited for in vain.
    pub(super) fn give_up(&mut self, late: Late, partial: &[u8]) {
        let Conversation { shared, port, from, .. } = self;
        let limits = &shared.limits;
        match late {
            Late::Hello => {
                let wait = humantime::format_duration(limits.hello_time_max);
                self.batch.reply().extend_from_slice(format!("? no HELLO within {wait}\n").as_bytes());
                shared.hit(Cause::HelloTime, format_args!("{port} {from} has not said hello within {wait}"));
            }
            Late::Line => {
                let wait = humantime::format_duration(limits.line_time_max);
                self.batch.refuse(partial);
                shared.stats.lines_refused.add(1);
                shared.hit(Cause::LineTime, format_args!("{port} {from} took over {wait} for a line"));
            }
            Late::Idle => {
                let wait = humantime::format_duration(limits.idle_time_max.unwrap_or_default());
                shared.hit(Cause::IdleTime, format_args!("{port} {from} has said nothing for {wait}"));
            }
            Late::Heartbeat => {
                let wait = humantime::format_duration(PEER_TIMEOUT);
                shared.hit(Cause::CallerSilent, format_args!("{port} {from} has said nothing for {wait}"));
            }
        }
    }
}

/// Waits until the kernel has sent all replies. A socket that is closed while the other side goes on sending is
/// reset, and the end of a reply that has not been sent by then never is.
pub(super) fn let_replies_leave(socket: &TcpStream) {
    // With this mark a socket is writable only when nothing in it is unsent. A cut ends the wait too.
    if SockRef::from(socket).set_tcp_notsent_lowat(1).is_ok() {
        let mut polled = [PollFd::new(socket, PollFlags::OUT)];
        while poll(&mut polled, Some(&LEAVE_WAIT_MAX)) == Err(Errno::INTR) {}
    }
}

/// Says that nothing more will be sent, and reads on for a moment until the other side has closed too.
// Not inlined: its buffer would be a page more on the stack of every thread.
#[cold]
#[inline(never)]
pub(super) fn linger(mut socket: &TcpStream) {
    hang_up(socket, Half::Write);
    if socket.set_read_timeout(Some(LINGER_WAIT)).is_err() {
        return;
    }
    let mut ignored = [0; 4096];
    for _ in 0..LINGER_READS_MAX {
        match socket.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
