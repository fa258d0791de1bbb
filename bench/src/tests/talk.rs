//! One connection to a server: lines in, lines out, and no wait without an end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use proxyherd_bench::load::clock;

/// How long a test waits for what must happen. Long enough for a machine that does ten other things.
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// A conversation. Every wait in it ends after [`WAIT`] with a failed test.
pub(crate) struct Talk {
    pub(crate) socket: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Talk {
    pub(crate) fn with(address: SocketAddr) -> Talk {
        Talk::over(TcpStream::connect_timeout(&address, WAIT).unwrap())
    }

    /// A conversation over a socket that is connected.
    pub(crate) fn over(socket: TcpStream) -> Talk {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_write_timeout(Some(WAIT)).unwrap();
        let replies = BufReader::new(socket.try_clone().unwrap());
        Talk { socket, replies }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Talk {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// The next line, without its line feed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended in {line:?}");
        line.pop();
        line
    }

    /// Sends one line and returns the one line that comes back.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n")).line()
    }

    /// The lines of JSON that follow an `AT` line, and the empty line that ends them: what they say.
    pub(crate) fn json(&mut self) -> serde_json::Value {
        let mut text = String::new();
        loop {
            match self.line() {
                end if end.is_empty() => return serde_json::from_str(&text).unwrap(),
                line => text.push_str(&line),
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn half_close(&mut self) -> &mut Talk {
        self.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.replies.read_to_end(&mut rest).unwrap();
        rest
    }
}

/// Asks again and again until `found` has an answer, for what becomes true on another process's time.
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end_ns = clock::monotonic_ns() + clock::ns(WAIT);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(clock::monotonic_ns() < end_ns, "not within {WAIT:?}: {what}");
        std::thread::yield_now();
    }
}
