//! The fields of a packet, read one after the other.

use super::bad_packet::BadPacket;

/// The most bytes of a variable byte integer.
const VARIABLE_BYTES_MAX: usize = 4;

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next bytes.
    ///
    /// # Errors
    /// As of every other field: if the packet ends before.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], BadPacket> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(BadPacket::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A byte.
    ///
    /// # Errors
    /// If it is not there.
    pub fn byte(&mut self) -> Result<u8, BadPacket> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    /// A number of two bytes.
    ///
    /// # Errors
    /// If it is not there.
    pub fn two(&mut self) -> Result<u16, BadPacket> {
        self.bytes(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A number of four bytes.
    ///
    /// # Errors
    /// If it is not there.
    pub fn four(&mut self) -> Result<u32, BadPacket> {
        self.bytes(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Bytes behind their count.
    ///
    /// # Errors
    /// If they are not there.
    pub fn binary(&mut self) -> Result<&'a [u8], BadPacket> {
        let count = self.two()?;
        self.bytes(count.into())
    }

    /// A text behind its count.
    ///
    /// # Errors
    /// If it is not there, is no UTF-8, or has a NUL in it.
    pub fn text(&mut self) -> Result<&'a str, BadPacket> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| BadPacket::Malformed)?;
        if text.contains('\0') { Err(BadPacket::Malformed) } else { Ok(text) }
    }

    /// The identifier of a packet, which is never 0.
    ///
    /// # Errors
    /// If it is not there, or 0.
    pub fn packet_id(&mut self) -> Result<u16, BadPacket> {
        self.two().and_then(|id| if id == 0 { Err(BadPacket::Malformed) } else { Ok(id) })
    }

    /// A number of one to four bytes.
    ///
    /// # Errors
    /// If it is not there, or longer.
    pub fn variable(&mut self) -> Result<usize, BadPacket> {
        let (number, count) = variable(self.0)?.ok_or(BadPacket::Malformed)?;
        self.0 = &self.0[count..];
        Ok(number)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// If something is.
    pub fn end(self) -> Result<(), BadPacket> {
        if self.0.is_empty() { Ok(()) } else { Err(BadPacket::Malformed) }
    }
}

/// A variable byte integer at the beginning of `bytes`, and how many it takes; `None` if its end has not come.
///
/// # Errors
/// If it has no end within four bytes.
pub fn variable(bytes: &[u8]) -> Result<Option<(usize, usize)>, BadPacket> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(VARIABLE_BYTES_MAX).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() < VARIABLE_BYTES_MAX { Ok(None) } else { Err(BadPacket::Malformed) }
}
