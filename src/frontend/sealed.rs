//! The connection of a neighbour in a herd with a secret: frames in and out, from the answer to the handshake on.

use std::io::{self, ErrorKind, Read, Write};

use rustix::net::{RecvFlags, recv};

use crate::net::secured::Secured;
use crate::net::stream::Stream;
use crate::proto::peering::frames::{BadFrame, FRAME_LINES_BYTES_MAX, Frames};

/// What encrypts the connection.
pub(super) struct Sealed {
    frames: Box<Frames>,
    /// A frame that waits for the socket: the neighbour may take little of it at a time.
    frame: Vec<u8>,
    written: usize,
}

impl Sealed {
    pub(super) fn new(frames: Box<Frames>) -> Sealed {
        Sealed { frames, frame: Vec::new(), written: 0 }
    }
}

impl Secured for Sealed {
    fn is_mid_record(&self) -> bool {
        self.frames.opener.is_mid_frame()
    }

    fn decrypted(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        self.frames.opener.read(space).map_err(bad)
    }

    fn read(&mut self, mut socket: &Stream, space: &mut [u8], flags: RecvFlags) -> io::Result<Option<usize>> {
        let free = self.frames.opener.space();
        let count = if flags.is_empty() { socket.read(free)? } else { recv(socket, free, flags)?.0 };
        if count == 0 {
            // Anyone can end the stream, so its end ends no line.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.frames.opener.filled(count);
        self.decrypted(space)
    }

    fn write(&mut self, mut socket: &Stream, rest: &mut &[u8]) -> io::Result<bool> {
        if self.written == self.frame.len() {
            let (lines, after) = rest.split_at(rest.len().min(FRAME_LINES_BYTES_MAX));
            *rest = after;
            self.frame.clear();
            self.written = 0;
            self.frames.sealer.seal(lines, &mut self.frame).map_err(bad)?;
        }
        match socket.write(&self.frame[self.written..])? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => self.written += count,
        }
        Ok(rest.is_empty() && self.written == self.frame.len())
    }

    fn end(&mut self, _: &Stream) {
        // There is nothing to say: an end that was not announced costs no line.
    }
}

fn bad(error: BadFrame) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
