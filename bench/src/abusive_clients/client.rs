//! One connection of a fleet.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::behaviour::Behaviour;
use super::count::Count;
use super::script::{Heard, Script};

/// Both buffers of a socket that never reads: what the kernel then keeps for it, it keeps at the server's end.
const DEAF_BUFFER_BYTES: usize = 4096;

/// What is kept of a line from the server: it is told apart by then.
const LINE_BYTES_KEPT: usize = 256;

/// The bytes of an acknowledgement of MQTT.
const ANSWER_BYTES: usize = 4;

/// Writes of one turn, at most: a server that takes everything must not keep one client busy.
const WRITES_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Client {
    behaviour: Behaviour,
    script: Script,
    stage: Stage,
    /// The beginning of a line from the server.
    partial: Vec<u8>,
    /// Whether it has ever been connected.
    pub(super) has_come: bool,
}

#[derive(Debug)]
enum Stage {
    Away,
    Connecting(TcpStream),
    Open(TcpStream),
}

impl Client {
    pub(super) fn new(behaviour: Behaviour, number: usize, now_ns: u64) -> Client {
        let script = Script::new(behaviour, number, now_ns);
        Client { behaviour, script, stage: Stage::Away, partial: Vec::new(), has_come: false }
    }

    /// Its turn: to connect, to say more, or to leave.
    pub(super) fn turn(
        &mut self,
        target: SocketAddr,
        source: IpAddr,
        token: Token,
        registry: &Registry,
        count: &mut Count,
    ) {
        match &mut self.stage {
            // Who has given way to a newcomer is not there to come back.
            Stage::Away if self.behaviour == Behaviour::Vanished && self.has_come => {}
            Stage::Away => match connect(self.behaviour, target, source) {
                Ok(mut socket) => {
                    if registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE).is_ok()
                    {
                        self.stage = Stage::Connecting(socket);
                    }
                }
                Err(_) => count.not_connected += 1,
            },
            // The system has not said yet what came of it.
            Stage::Connecting(_) => {}
            Stage::Open(_) if self.behaviour.comes_and_goes() => self.leave(count),
            Stage::Open(_) => self.speak(count),
        }
    }

    /// Something has happened to its socket.
    pub(super) fn happen(&mut self, event: &Event, scratch: &mut [u8], count: &mut Count) {
        if let Stage::Connecting(socket) = &self.stage {
            if !matches!(socket.take_error(), Ok(None)) {
                count.not_connected += 1;
                self.stage = Stage::Away;
                return;
            }
            if socket.peer_addr().is_err() {
                return;
            }
            let Stage::Connecting(socket) = std::mem::replace(&mut self.stage, Stage::Away) else { return };
            self.stage = Stage::Open(socket);
            self.has_come = true;
            self.partial.clear();
            count.connected += 1;
            self.script.begin();
            if self.behaviour != Behaviour::Split {
                self.speak(count);
            }
        }
        if self.behaviour.is_deaf() {
            if event.is_error() || event.is_read_closed() {
                self.cut(count);
            }
        } else if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.listen(scratch, count);
        }
    }

    /// Goes away, and notes what it has waited for in vain.
    pub(super) fn leave(&mut self, count: &mut Count) {
        if matches!(self.stage, Stage::Open(_)) && self.script.waits() {
            count.unanswered += 1;
        }
        self.stage = Stage::Away;
    }

    /// Whether it waits for an answer.
    pub(super) fn waits(&self) -> bool {
        match self.stage {
            Stage::Away => false,
            Stage::Connecting(_) => self.behaviour.must_be_answered(),
            Stage::Open(_) => self.script.waits(),
        }
    }

    fn speak(&mut self, count: &mut Count) {
        let Stage::Open(socket) = &mut self.stage else { return };
        for _ in 0..WRITES_MAX {
            let words = self.script.turn();
            if words.is_empty() {
                return;
            }
            match socket.write(words) {
                Ok(bytes) => {
                    count.bytes_sent += bytes as u64;
                    self.script.went(bytes);
                    if !self.behaviour.is_deaf() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Why is for `listen` to find out: the last line may not have been read.
                Err(_) => return,
            }
        }
    }

    fn listen(&mut self, scratch: &mut [u8], count: &mut Count) {
        loop {
            let Stage::Open(socket) = &mut self.stage else { return };
            match socket.read(scratch) {
                Ok(0) => return self.cut(count),
                Ok(bytes) => {
                    count.bytes_received += bytes as u64;
                    self.hear(&scratch[..bytes], count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.cut(count),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8], count: &mut Count) {
        if self.behaviour.is_of_mqtt() {
            return self.hear_packets(bytes, count);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LINE_BYTES_KEPT - self.partial.len();
            self.partial.extend_from_slice(&text[..text.len().min(room)]);
            if !is_whole {
                continue;
            }
            match self.script.hear(&self.partial) {
                Heard::Right => count.right += 1,
                Heard::Refused => count.refused += 1,
                Heard::Wrong => {
                    count.wrong += 1;
                    let line = || String::from_utf8_lossy(&self.partial).into_owned();
                    count.wrong_line.get_or_insert_with(line);
                }
            }
            self.partial.clear();
        }
    }

    /// All answers that such clients are given have four bytes.
    fn hear_packets(&mut self, bytes: &[u8], count: &mut Count) {
        self.partial.extend_from_slice(bytes);
        let whole = self.partial.len() / ANSWER_BYTES * ANSWER_BYTES;
        for answer in self.partial[..whole].chunks(ANSWER_BYTES) {
            match self.script.hear_packet(answer) {
                Heard::Right => count.right += 1,
                Heard::Refused => count.refused += 1,
                Heard::Wrong => {
                    count.wrong += 1;
                    count.wrong_line.get_or_insert_with(|| answer.escape_ascii().to_string());
                }
            }
        }
        self.partial.drain(..whole);
    }

    /// The server has ended the connection.
    fn cut(&mut self, count: &mut Count) {
        count.cut += 1;
        self.leave(count);
    }
}

fn connect(behaviour: Behaviour, target: SocketAddr, source: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if behaviour.is_deaf() {
        socket.set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
        socket.set_send_buffer_size(DEAF_BUFFER_BYTES)?;
    }
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&target.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}
