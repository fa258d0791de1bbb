//! Why a server cannot start.

use std::io;
use std::net::SocketAddr;

use crate::config::AddressUse;
use crate::journal::OpenError;
use crate::member::recover::StartError;
use crate::net::certificate::BadPair;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// One of its addresses cannot be bound.
    #[error("cannot listen on {address}: {error}; {}", what_to_do(error.kind()))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// One of its names is not found.
    #[error(
        "cannot find {whose}, {address}: {error}; mend the name, or say in the herd file where this server listens, \
         such as {} = \"[::]:{}\"",
        whose.purpose.bound_key(),
        address.rsplit(':').next().unwrap_or_default()
    )]
    Name {
        /// Whose it is.
        whose: AddressUse,
        /// The name and the port.
        address: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(OpenError),
    /// Its database cannot be used.
    #[error("--database {url} cannot be used: {error}")]
    Database {
        /// Where it is.
        url: String,
        /// What is wrong.
        error: io::Error,
    },
    /// Its certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] BadPair),
    /// TLS cannot be spoken.
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    /// The epoch of its memory needs a random number.
    #[error("the operating system has no random numbers to give: {0}")]
    Random(io::Error),
    /// A thread that it needs from the start.
    #[error("cannot start a thread: {0}; raise the limit on processes")]
    Thread(io::Error),
}

/// What to do when an address cannot be bound.
fn what_to_do(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse {
        "stop what uses it, or choose another in the herd file"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "this machine does not have it, so start this server on the one that has, or say in the herd file where it \
         listens, with listen_client, listen_peer and the like"
    } else if kind == io::ErrorKind::PermissionDenied {
        "choose a port from 1024 on in the herd file"
    } else {
        "choose another in the herd file"
    }
}

impl From<StartError> for ServeError {
    fn from(error: StartError) -> ServeError {
        match error {
            StartError::Journal(error) => ServeError::Journal(error),
            StartError::Random(error) => ServeError::Random(error),
        }
    }
}
