//! What a link's connection is written and read by: in frames in a herd with a secret, and as it is in any other.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::net::stream::Stream;
use crate::os::sync::write_now;
use crate::proto::peering::frames::{BadFrame, Opener, Sealer, Wear};

/// The sender's end, and what is being written.
pub(super) struct Outgoing {
    stream: Arc<Stream>,
    sealer: Option<Sealer>,
    lines: Vec<u8>,
    frames: Vec<u8>,
    /// The bytes that are written already.
    written: usize,
}

/// The reader's end.
pub(super) struct Incoming<'a> {
    stream: &'a Stream,
    opener: Option<Opener>,
}

impl Outgoing {
    pub(super) fn new(stream: &Arc<Stream>, sealer: Option<Sealer>) -> Outgoing {
        Outgoing { stream: Arc::clone(stream), sealer, lines: Vec::new(), frames: Vec::new(), written: 0 }
    }

    /// Where the next lines go. All before them must have been written.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.written = 0;
        self.lines.clear();
        &mut self.lines
    }

    /// The lines that are being written, or were written last.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Makes frames of the lines, if they are encrypted. From then on these must be written, because their numbers
    /// have been given.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let Some(sealer) = &mut self.sealer else { return Ok(()) };
        self.frames.clear();
        sealer.seal(&self.lines, &mut self.frames).map_err(bad)
    }

    /// Writes as much as can be without waiting. Whether that was all.
    pub(super) fn write_now(&mut self) -> bool {
        let rest = self.rest();
        let (stream, all) = (&*self.stream, rest.len());
        // An error is found by the thread that goes on.
        let count = if all == 0 { 0 } else { write_now(stream, rest).unwrap_or(0) };
        self.written += count;
        count == all
    }

    /// Writes what is left, however long that takes.
    pub(super) fn write_rest(&mut self) -> io::Result<()> {
        (&*self.stream).write_all(self.rest())
    }

    /// Writes lines.
    pub(super) fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        self.begin().extend_from_slice(lines);
        self.seal()?;
        self.write_rest()
    }

    /// Whether the link, which is so old, is worn. One without keys never is.
    pub(super) fn is_worn(&self, age: Duration, wear: Wear) -> bool {
        self.sealer.as_ref().is_some_and(|sealer| sealer.is_worn(age, wear))
    }

    fn rest(&self) -> &[u8] {
        let bytes = if self.sealer.is_some() { &self.frames } else { &self.lines };
        &bytes[self.written..]
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
