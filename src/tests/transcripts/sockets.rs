//! Transcripts over TCP: to servers that were started elsewhere.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::run::{Herd, Talk};

/// How long anything may take. Long enough for a machine that does ten other things.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// Where the servers of a herd listen for clients. It can neither kill nor start one.
#[derive(Debug)]
pub(crate) struct Addresses {
    servers: BTreeMap<String, SocketAddr>,
    deadline: Instant,
}

impl Addresses {
    /// Servers by name.
    pub(crate) fn new(servers: impl IntoIterator<Item = (String, SocketAddr)>) -> Addresses {
        Addresses { servers: servers.into_iter().collect(), deadline: now() }
    }
}

impl Herd for Addresses {
    type Talk = Connection;

    fn connect(&mut self, server: &str) -> Result<Connection, String> {
        let address = self.servers.get(server).ok_or_else(|| format!("{server} has no known address"))?;
        Connection::to(*address)
    }

    fn ask_again(&mut self, times: u64) -> bool {
        if times == 1 {
            self.deadline = now() + WAIT;
        }
        std::thread::yield_now();
        now() < self.deadline
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        Err(format!("{server} was started elsewhere"))
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        Err(format!("{server} is to be started elsewhere"))
    }
}

/// A client's connection. Every wait in it ends after [`WAIT`].
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn to(address: SocketAddr) -> Result<Connection, String> {
        let open = || {
            let socket = TcpStream::connect_timeout(&address, WAIT)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(WAIT))?;
            socket.set_write_timeout(Some(WAIT))?;
            let replies = BufReader::new(socket.try_clone()?);
            Ok(Connection { socket, replies })
        };
        open().map_err(|error: std::io::Error| format!("no connection to {address}: {error}"))
    }
}

impl Talk for Connection {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket.write_all(bytes).map_err(|error| format!("cannot send: {error}"))
    }

    fn half_close(&mut self) -> Result<(), String> {
        self.socket.shutdown(Shutdown::Write).map_err(|error| format!("cannot half-close: {error}"))
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut line = Vec::new();
        self.replies.read_until(b'\n', &mut line).map_err(|error| format!("no line came: {error}"))?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) => Err(format!("the connection ended in the middle of {}", line.escape_ascii())),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
fn now() -> Instant {
    Instant::now()
}
