//! What encrypts one connection, whichever protocol does: bytes in and out, and how it ends.

use std::io;

use rustix::net::RecvFlags;

use super::stream::Stream;

/// What encrypts a connection. The thread that owns the connection owns this too.
pub trait Secured: Send {
    /// Whether a part of a record has come. Its rest has a deadline, as that of a message has.
    fn is_mid_record(&self) -> bool;

    /// What has been decrypted already, because no socket becomes readable for that. `None` if nothing is.
    ///
    /// # Errors
    /// `InvalidData` if what came is not what the other side has encrypted, `UnexpectedEof` if the stream was cut: the
    /// other side has not said that it is the end.
    fn decrypted(&mut self, space: &mut [u8]) -> io::Result<Option<usize>>;

    /// Reads once from the socket, and decrypts into `space`; `None` if no message's bytes were in what came.
    ///
    /// # Errors
    /// What the system says of the stream, and those of [`Secured::decrypted`].
    fn read(&mut self, socket: &Stream, space: &mut [u8], flags: RecvFlags) -> io::Result<Option<usize>>;

    /// Encrypts of `rest` what fits, writes once, and returns whether all is with the kernel.
    ///
    /// # Errors
    /// What the system says of the stream.
    fn write(&mut self, socket: &Stream, rest: &mut &[u8]) -> io::Result<bool>;

    /// Says that nothing more will be sent, so that the other side knows its end from a cut. It is tried once.
    fn end(&mut self, socket: &Stream);
}
