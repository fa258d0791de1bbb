//! How the servers of the herd know each other: the secret they share, and where one may listen without it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::{AddressUse, ConfigError};
use super::herd::Member;
use crate::proto::trust::{SECRET_BYTES_MAX, Secret};

/// Where the secret is taken from if no file is named.
pub const SECRET_VARIABLE: &str = "PROXYHERD_SECRET";

/// How the servers of the herd know each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By a secret that all of them have.
    Secret(Secret),
    /// Not at all: whoever can reach the ports is believed, so they must be on this machine alone.
    Loopback,
    /// Not at all, on whatever addresses, as somebody has asked for.
    Insecure,
}

impl Trust {
    /// What the command line and the environment say. A file that was named goes before the variable.
    pub fn of(file: Option<&Path>, variable: Option<OsString>, insecure: bool) -> Result<Trust, ConfigError> {
        let (place, text) = match (file, variable) {
            (Some(path), _) => (path.display().to_string(), secret_text(path)?),
            (None, Some(text)) => (SECRET_VARIABLE.to_owned(), text.into_encoded_bytes()),
            (None, None) if insecure => return Ok(Trust::Insecure),
            (None, None) => return Ok(Trust::Loopback),
        };
        Secret::parse(&text).map(Trust::Secret).map_err(|source| ConfigError::Secret { place, source })
    }

    /// The secret, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Trust::Secret(secret) => Some(secret),
            Trust::Loopback | Trust::Insecure => None,
        }
    }

    /// Checks that a server that knows others in this way may listen where it is to.
    pub fn allows(&self, member: &Member) -> Result<(), ConfigError> {
        match (self, exposed(member)) {
            (Trust::Loopback, Some((whose, address))) => Err(ConfigError::NeedsSecret { whose, address }),
            (Trust::Secret(_) | Trust::Loopback | Trust::Insecure, _) => Ok(()),
        }
    }

    /// Whether everybody in a network could pose as a server here.
    pub fn is_exposed(&self, member: &Member) -> bool {
        self.secret().is_none() && exposed(member).is_some()
    }
}

/// The first address that other machines can reach.
fn exposed(member: &Member) -> Option<(AddressUse, std::net::SocketAddr)> {
    let uses = [AddressUse::Client(member.name.clone()), AddressUse::Peer(member.name.clone())];
    let mut reachable = uses.into_iter().zip([member.client, member.peer]);
    reachable.find(|(_, address)| !address.ip().to_canonical().is_loopback())
}

fn secret_text(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        // A few bytes more than a secret and its line end may have: enough to see that it is too long.
        File::open(path)?.take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| ConfigError::SecretFile { path: PathBuf::from(path), source })
}
