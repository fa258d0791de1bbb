//! Sockets in memory, with the methods of the standard library that the server uses.
//!
//! What closing and shutting down mean to the other side is as Linux has it: see [`TcpStream::shutdown`].

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::Watched;

/// What one direction of a connection holds. So little that writers often wait.
const PIPE_BYTES: usize = 512;

thread_local! {
    /// Who listens where. A model runs in one thread of the system.
    static LISTENERS: RefCell<BTreeMap<SocketAddr, Arc<Watched<Backlog>>>> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<TcpStream>,
    closed: bool,
}

#[derive(Debug)]
pub struct TcpListener {
    backlog: Arc<Watched<Backlog>>,
    address: SocketAddr,
    /// Has the address, so that no other listener takes it.
    socket: Socket,
}

#[derive(Debug)]
pub struct TcpStream {
    from_other: Arc<Watched<Pipe>>,
    to_other: Arc<Watched<Pipe>>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The writer has said that nothing follows.
    ended: bool,
    /// The reader has said that it reads no more. What comes all the same can be read.
    ignored: bool,
    /// The reader is gone, and has let the writer know.
    refused: bool,
    /// The writer is gone without having read all: what it had sent may never arrive.
    reset: bool,
}

impl TcpListener {
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let next = self.backlog.wait(|backlog| match backlog.waiting.pop_front() {
            Some(next) => Some(Some(next)),
            None => backlog.closed.then_some(None),
        });
        next.map(|stream| (stream, nowhere())).ok_or_else(|| ErrorKind::InvalidInput.into())
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn close(&self) {
        LISTENERS.with_borrow_mut(|listeners| listeners.remove(&self.address));
        let never_accepted = self.backlog.change(|backlog| {
            backlog.closed = true;
            std::mem::take(&mut backlog.waiting)
        });
        drop(never_accepted);
    }
}

impl From<Socket> for TcpListener {
    fn from(socket: Socket) -> TcpListener {
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let backlog = Arc::<Watched<Backlog>>::default();
        LISTENERS.with_borrow_mut(|listeners| listeners.insert(address, Arc::clone(&backlog)));
        TcpListener { backlog, address, socket }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub fn stop_listening(listener: &TcpListener) {
    listener.close();
}

/// Where connections come from.
fn nowhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 1).into()
}

impl TcpStream {
    /// Both ends of a connection.
    pub fn pair() -> (TcpStream, TcpStream) {
        let (here, there) = (Arc::<Watched<Pipe>>::default(), Arc::<Watched<Pipe>>::default());
        let other = TcpStream { from_other: Arc::clone(&there), to_other: Arc::clone(&here) };
        (TcpStream { from_other: here, to_other: there }, other)
    }

    pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let listener = LISTENERS.with_borrow(|listeners| listeners.get(&address).cloned());
        let backlog = listener.ok_or(ErrorKind::ConnectionRefused)?;
        let (here, there) = TcpStream::pair();
        let refused = backlog.change(|backlog| {
            if backlog.closed {
                return Some(there);
            }
            backlog.waiting.push_back(there);
            None
        });
        if refused.is_some() { Err(ErrorKind::ConnectionRefused.into()) } else { Ok(here) }
    }

    pub fn connect_timeout(address: &SocketAddr, _: Duration) -> io::Result<TcpStream> {
        TcpStream::connect(*address)
    }

    /// Reading ends here; the other side may go on writing, until both halves are shut down: then its writes fail.
    pub fn shutdown(&self, half: Shutdown) -> io::Result<()> {
        if half != Shutdown::Read {
            self.to_other.change(|pipe| pipe.ended = true);
        }
        if half != Shutdown::Write {
            self.from_other.change(|pipe| {
                pipe.ignored = true;
                pipe.refused |= half == Shutdown::Both;
            });
        }
        Ok(())
    }

    /// Whether this side has shut down both halves.
    pub fn is_cut(&self) -> bool {
        self.from_other.peek(|pipe| pipe.refused) && self.to_other.peek(|pipe| pipe.ended)
    }

    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    pub fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

pub fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.to_other.change(|pipe| pipe.take(bytes).unwrap_or_else(|| Err(ErrorKind::WouldBlock.into())))
}

impl Pipe {
    /// Takes what there is room for; nothing if there is none.
    fn take(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.ended || self.refused {
            return Some(Err(ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(PIPE_BYTES - self.bytes.len());
        self.bytes.extend(&bytes[..count]);
        (count > 0).then_some(Ok(count))
    }
}

impl Read for &TcpStream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.from_other.wait(|pipe| {
            if pipe.reset {
                return Some(Err(ErrorKind::ConnectionReset.into()));
            }
            if !pipe.bytes.is_empty() {
                return Some(pipe.bytes.read(space));
            }
            (pipe.ended || pipe.ignored).then_some(Ok(0))
        })
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_other.wait(|pipe| pipe.take(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let is_unread = self.from_other.change(|pipe| {
            (pipe.ignored, pipe.refused) = (true, true);
            !pipe.bytes.is_empty()
        });
        self.to_other.change(|pipe| {
            pipe.ended = true;
            if is_unread {
                pipe.reset = true;
                pipe.bytes.clear();
            }
        });
    }
}

impl AsFd for TcpStream {
    /// Of a socket for all, that takes options, is connected to nothing, and therefore never to be waited for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        static SOCKET: OnceLock<Socket> = OnceLock::new();
        SOCKET.get_or_init(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).as_fd()
    }
}
