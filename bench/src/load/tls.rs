//! TLS 1.3 between a connection and its socket.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

use super::error::LoadError;
use super::options::{Options, Protocol};

/// The name that certificates must be for.
const NAME: &str = "localhost";

/// What all connections of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    config: ClientConfig,
    resumes: bool,
}

/// TLS of one connection.
#[derive(Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    session: Option<Box<ClientConnection>>,
    resumes: bool,
    /// Whether the server has shown itself before: the next handshake must build on that, if any is resumed.
    is_known: bool,
}

impl Trust {
    /// What `options` say; `None` if the protocol is in plain text.
    ///
    /// # Errors
    /// If there is no certificate that can be trusted.
    pub(super) fn of(options: &Options) -> Result<Option<Trust>, LoadError> {
        let Some(path) = options.ca.as_ref().filter(|_| options.protocol == Protocol::Https) else {
            return Ok(None);
        };
        let refuse = |why: String| LoadError::Usage(format!("--ca {}: {why}", path.display()));
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(path).map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(|error| refuse(error.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Some(Trust { config, resumes: options.resume }))
    }

    /// For one connection, whose tickets are its own.
    pub(super) fn connection(&self) -> Tls {
        let mut config = self.config.clone();
        if self.resumes {
            config.resumption = Resumption::in_memory_sessions(1);
        }
        Tls { config: Arc::new(config), session: None, resumes: self.resumes, is_known: false }
    }
}

impl Tls {
    /// A new socket follows.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        self.session = Some(Box::new(session));
        Ok(())
    }

    /// The socket is gone.
    pub(super) fn end(&mut self) {
        self.is_known |= self.session.take().is_some_and(|session| !session.is_handshaking());
    }

    /// Whether there was a whole handshake where one was to be resumed.
    pub(super) fn has_not_resumed(&self) -> bool {
        let kind = self.session.as_ref().and_then(|session| session.handshake_kind());
        self.resumes && self.is_known && kind.is_some_and(|kind| kind != HandshakeKind::Resumed)
    }

    /// Encrypts as many of the bytes as there is room for, and sends what the socket takes. Returns how many it were.
    pub(super) fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Err(ErrorKind::NotConnected.into()) };
        push(session, socket)?;
        let count = session.writer().write(bytes)?;
        push(session, socket)?;
        Ok(count)
    }

    /// Reads until there are bytes to return, or the socket has none.
    pub(super) fn receive(&mut self, socket: &mut TcpStream, scratch: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Err(ErrorKind::NotConnected.into()) };
        loop {
            match session.reader().read(scratch) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.read_tls(socket)? == 0 {
                return Ok(0);
            }
            session
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
            push(session, socket)?;
        }
    }
}

/// Sends what the socket takes of what is encrypted.
fn push(session: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
