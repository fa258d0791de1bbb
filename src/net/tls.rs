//! One connection in TLS, from the end of its handshake on: bytes in and out, and how it ends. The thread that owns the
//! connection owns this too, so there is no lock.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::{ServerConfig, ServerConnection};

use super::secured::Secured;
use super::stream::Stream;

/// What is encrypted and waits for the socket, in bytes: one record. A client that takes nothing costs no more, because
/// what follows stays where it was.
const SEALED_BYTES_MAX: usize = 16 * 1024;

/// The alert `internal_error`, with which one is refused before a handshake: it costs us nothing, and the other side
/// says that it was the server.
pub const REFUSAL: &str = "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{50}";

/// What TLS knows of one connection. In a box, because most connections have none.
#[derive(Debug)]
pub struct Tls {
    session: Box<ServerConnection>,
    records: Records,
}

impl Tls {
    /// Nothing has come yet.
    ///
    /// # Errors
    /// What the library says.
    pub fn new(config: &Arc<ServerConfig>) -> io::Result<Tls> {
        let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(SEALED_BYTES_MAX));
        Ok(Tls { session: Box::new(session), records: Records::default() })
    }

    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Reads once, and does what the protocol asks for. Whether anything came.
    pub(super) fn receive(&mut self, socket: &Stream, flags: RecvFlags) -> io::Result<bool> {
        let count = self.session.read_tls(&mut Incoming { socket, flags, records: &mut self.records })?;
        if let Err(error) = self.session.process_new_packets() {
            // The alert, once: it says more than a cut.
            self.write_what_fits(socket);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        self.write_what_waits(socket)?;
        Ok(count > 0)
    }

    /// Answers of the protocol itself, within the write deadline of the socket.
    fn write_what_waits(&mut self, mut socket: &Stream) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It must not be taken for a read that has found nothing.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_what_fits(&mut self, socket: &Stream) {
        // A connection that ends waits for nothing.
        while self.session.wants_write() && matches!(self.session.write_tls(&mut AtOnce(socket)), Ok(1..)) {}
    }
}

impl Secured for Tls {
    fn is_mid_record(&self) -> bool {
        self.records.is_mid_record()
    }

    fn decrypted(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.reader().read(space) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, socket: &Stream, space: &mut [u8], flags: RecvFlags) -> io::Result<Option<usize>> {
        self.receive(socket, flags)?;
        self.decrypted(space)
    }

    fn write(&mut self, mut socket: &Stream, rest: &mut &[u8]) -> io::Result<bool> {
        // It takes nothing while the record before has not left.
        if !self.session.wants_write() {
            let count = self.session.writer().write(rest)?;
            *rest = &rest[count..];
        }
        if self.session.wants_write() && self.session.write_tls(&mut socket)? == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        Ok(rest.is_empty() && !self.session.wants_write())
    }

    fn end(&mut self, socket: &Stream) {
        self.session.send_close_notify();
        self.write_what_fits(socket);
    }
}

/// Bytes that come, followed by [`Records`].
struct Incoming<'a> {
    socket: &'a Stream,
    flags: RecvFlags,
    records: &'a mut Records,
}

impl Read for Incoming<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        let count = if self.flags.is_empty() {
            socket.read(space)?
        } else {
            recv(socket, &mut *space, self.flags).map_err(io::Error::from)?.0
        };
        self.records.pass(&space[..count]);
        Ok(count)
    }
}

/// A socket to which is written only what it takes without a wait.
struct AtOnce<'a>(&'a Stream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows where records end in the bytes that come, which the library does not tell.
#[derive(Debug, Default)]
struct Records {
    header: [u8; RECORD_HEADER_BYTES],
    header_count: usize,
    /// Bytes of the record's payload that have yet to come.
    left: usize,
}

/// The kind of a record, its version, and the length of its payload.
const RECORD_HEADER_BYTES: usize = 5;

impl Records {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.header[self.header_count] = bytes[0];
            self.header_count += 1;
            bytes = &bytes[1..];
            if self.header_count == RECORD_HEADER_BYTES {
                let [.., high, low] = self.header;
                (self.header_count, self.left) = (0, usize::from(u16::from_be_bytes([high, low])));
            }
        }
    }

    fn is_mid_record(&self) -> bool {
        self.header_count > 0 || self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_followed_however_they_are_cut() {
        let stream = b"\x16\x03\x01\x00\x03abc\x17\x03\x03\x01\x02"
            .iter()
            .copied()
            .chain([b'x'; 258])
            .chain(*b"\x14\x03\x03\x00\x00\x15\x03\x03\x00\x01z");
        let stream: Vec<u8> = stream.collect();
        let ends = [8, 8 + 5 + 258, 8 + 5 + 258 + 5, stream.len()];
        for piece in [1, 2, 3, 5, 7, 100] {
            let (mut records, mut passed) = (Records::default(), 0);
            for piece in stream.chunks(piece) {
                records.pass(piece);
                passed += piece.len();
                assert_eq!(!records.is_mid_record(), ends.contains(&passed), "{passed}");
            }
        }
    }

    #[test]
    fn refusal_is_a_fatal_alert() {
        assert_eq!(REFUSAL.as_bytes(), [21, 3, 3, 0, 2, 2, 80]);
    }
}
