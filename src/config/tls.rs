//! The files with which a server speaks TLS: a certificate and its key, for servers with a port for it.

use std::path::PathBuf;

use super::error::ConfigError;
use super::herd::Member;

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// A chain of certificates in PEM, the server's own first.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The files that the command line names, which a server with a port for TLS needs and no other has use for.
    ///
    /// # Errors
    /// If one of them is missing, or there is no such port.
    pub fn of(
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        member: &Member,
    ) -> Result<Option<TlsFiles>, ConfigError> {
        let address = member.tls_address();
        match (address, cert, key) {
            (None, None, None) => Ok(None),
            (None, _, _) => Err(ConfigError::NoUseForPair(member.name.clone())),
            (Some(_), Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (Some((whose, address)), cert, _) => {
                let missing = if cert.is_none() { "--tls-cert FILE" } else { "--tls-key FILE" };
                Err(ConfigError::NeedsPair { whose, address: address.clone(), missing })
            }
        }
    }
}
