//! The one place that asks the operating system for random numbers, which no outsider can foretell.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::proto::model::epoch::Epoch;
use crate::proto::peering::noise::EphemeralKey;

/// The key of one handshake between servers.
///
/// # Errors
/// If the system has none to give; without one no other side can be believed.
pub fn ephemeral_key() -> io::Result<EphemeralKey> {
    Ok(EphemeralKey(bytes()?))
}

/// The epoch of a memory that begins now.
///
/// # Errors
/// If the system has none to give.
pub fn epoch() -> io::Result<Epoch> {
    Ok(Epoch(u64::from_ne_bytes(bytes()?)))
}

/// The token of a user, as hexadecimal digits: they can stand anywhere in an address, and in a file.
///
/// # Errors
/// If the system has none to give.
pub fn token() -> io::Result<String> {
    Ok(bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random bytes.
///
/// # Errors
/// If the system has none to give.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}
