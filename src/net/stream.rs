//! A connection's stream of bytes: hanging up, and closing so that the last reply arrives.

use std::io::Read;
use std::net::Shutdown as Half;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use crate::os::sync::TcpStream;

/// What bytes come in on and go out by.
pub type Stream = TcpStream;

/// How long replies may take to leave when the server stops.
const LEAVE_WAIT_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// How often a closed conversation reads on, at most, for the kernel would otherwise answer unread bytes with a
/// reset that can overtake the last reply.
pub const LINGER_READS_MAX: u32 = 20;

/// How long one such read may wait.
pub const LINGER_WAIT: Duration = Duration::from_millis(50);

/// Shuts down a half of a stream. That fails only if it is closed already, which is what is wanted.
pub fn hang_up(stream: &Stream, half: Half) {
    let _ = stream.shutdown(half);
}

/// Whether the other side has closed its half of a stream or reset it, even if not all that it sent has been read.
pub fn is_hung_up(stream: &Stream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // `ERR` and `HUP` are reported unasked.
    poll(&mut polled, Some(&at_once)).is_ok_and(|count| count > 0)
}

/// Waits until the kernel has sent all replies. A socket that is closed while the other side goes on sending is
/// reset, and the end of a reply that has not been sent by then never is.
pub fn let_replies_leave(socket: &Stream) {
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
pub fn linger(mut socket: &Stream) {
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
