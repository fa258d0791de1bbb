//! Refusing a connection in words that arrive: a socket that is closed while bytes of the other side are unread is
//! reset, and the reset overtakes them. So the refused are kept for a moment, without a thread.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stream::{Stream, hang_up};
use crate::os::clock;
pub use crate::os::resource_limits::REFUSED_MAX;

/// How long one is kept, unless others need its room.
const STAY: Duration = Duration::from_secs(1);

/// Bytes that are read of it at most, when it is refused and again when it is closed.
const READ_BYTES_MAX: usize = 8 * 4096;

/// Connections that were refused and are not closed yet, the oldest in front. The thread that refuses keeps up to
/// [`REFUSED_MAX`] of them; the oldest makes room.
#[derive(Debug, Default)]
pub struct Refused(VecDeque<(Instant, Arc<Stream>)>);

impl Refused {
    /// Says this to the other side, and closes the connection a moment later.
    pub fn refuse(&mut self, socket: Arc<Stream>, words: &str) {
        tell(&socket, words);
        if self.0.len() == REFUSED_MAX {
            self.close_oldest();
        }
        self.0.push_back((clock::deadline(STAY), socket));
    }

    /// When [`Refused::close_due`] has something to do; `None` if none is kept.
    pub fn due(&self) -> Option<Instant> {
        self.0.front().map(|(until, _)| *until)
    }

    /// Closes those whose time is over.
    pub fn close_due(&mut self) {
        let now = clock::instant();
        while self.due().is_some_and(|until| until <= now) {
            self.close_oldest();
        }
    }

    fn close_oldest(&mut self) {
        if let Some((_, socket)) = self.0.pop_front() {
            take_unread(&socket);
        }
    }
}

/// Says this, and that nothing follows. It must not hold up the others, so it is tried once.
pub fn tell(socket: &Stream, words: &str) {
    let _ = socket.set_nonblocking(true);
    let _ = (&*socket).write(words.as_bytes());
    hang_up(socket, Half::Write);
    take_unread(socket);
}

fn take_unread(mut socket: &Stream) {
    let mut ignored = [0; 4096];
    for _ in 0..READ_BYTES_MAX / ignored.len() {
        if !matches!(socket.read(&mut ignored), Ok(1..)) {
            return;
        }
    }
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_line_arrives_although_the_other_side_has_said_something_and_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut refused = Refused::default();
        let mut others = Vec::new();
        for _ in 0..REFUSED_MAX + 2 {
            let mut other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            other.write_all(&[b'x'; 10_000]).unwrap();
            refused.refuse(Arc::new(listener.accept().unwrap().0), "? no room\n");
            other.write_all(b"and so on\n").unwrap();
            others.push(other);
        }
        assert_eq!(refused.0.len(), REFUSED_MAX);
        for mut other in others {
            let mut told = String::new();
            other.read_to_string(&mut told).unwrap();
            assert_eq!(told, "? no room\n");
        }
        refused.close_due();
        assert_eq!(refused.0.len(), REFUSED_MAX, "their time is not over");
    }
}
