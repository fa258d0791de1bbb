//! Why a server cannot start.

use std::io;
use std::net::SocketAddr;

use crate::journal::OpenError;
use crate::member::recover::StartError;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// One of its addresses cannot be bound.
    #[error("cannot listen on {address}: {error}; stop what uses it, or choose another in the herd file")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(OpenError),
    /// The epoch of its memory needs a random number.
    #[error("the operating system has no random numbers to give: {0}")]
    Random(io::Error),
    /// A thread that it needs from the start.
    #[error("cannot start a thread: {0}; raise the limit on processes")]
    Thread(io::Error),
}

impl From<StartError> for ServeError {
    fn from(error: StartError) -> ServeError {
        match error {
            StartError::Journal(error) => ServeError::Journal(error),
            StartError::Random(error) => ServeError::Random(error),
        }
    }
}
