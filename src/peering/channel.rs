//! What a link's connection is written and read by: in frames in a herd with a secret, and as it is in any other.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use crate::net::stream::Stream;
use crate::proto::peering::frames::{BadFrame, Opener, Sealer, Wear};

/// The sender's end.
pub(super) struct Outgoing<'a> {
    stream: &'a Stream,
    sealer: Option<Sealer>,
    frames: Vec<u8>,
}

/// The reader's end.
pub(super) struct Incoming<'a> {
    stream: &'a Stream,
    opener: Option<Opener>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(stream: &'a Stream, sealer: Option<Sealer>) -> Outgoing<'a> {
        Outgoing { stream, sealer, frames: Vec::new() }
    }

    /// Writes lines.
    pub(super) fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut stream, Some(sealer)) = (self.stream, &mut self.sealer) else {
            return (&*self.stream).write_all(lines);
        };
        self.frames.clear();
        sealer.seal(lines, &mut self.frames).map_err(bad)?;
        stream.write_all(&self.frames)
    }

    /// What encrypts it, for the thread that goes on writing.
    pub(super) fn into_sealer(self) -> Option<Sealer> {
        self.sealer
    }

    /// Whether the link, which is so old, is worn. One without keys never is.
    pub(super) fn is_worn(&self, age: Duration, wear: Wear) -> bool {
        self.sealer.as_ref().is_some_and(|sealer| sealer.is_worn(age, wear))
    }
}

impl<'a> Incoming<'a> {
    pub(super) fn new(stream: &'a Stream, opener: Option<Opener>) -> Incoming<'a> {
        Incoming { stream, opener }
    }

    /// What decrypts it, for the thread that goes on reading.
    pub(super) fn into_opener(self) -> Option<Opener> {
        self.opener
    }

    /// Reads lines, and says how many bytes of them; 0 is the end of the stream.
    pub(super) fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        let Some(opener) = &mut self.opener else { return stream.read(space) };
        loop {
            if let Some(count) = opener.read(space).map_err(bad)? {
                return Ok(count);
            }
            match stream.read(opener.space())? {
                0 => return Ok(0),
                count => opener.filled(count),
            }
        }
    }
}

/// Whether what has come is not what the neighbour has sealed.
pub(super) fn is_tampered(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidData
}

fn bad(error: BadFrame) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
