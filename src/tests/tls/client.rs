//! A client in TLS, and a server that it can talk to.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::config::{Config, Herd, Member, TlsFiles};
use crate::tests::free_address::free_address;
use crate::tests::harness::{TestServer, WAIT, catalogue, config, herd};
use crate::tests::mqtt::{packet, text as text_of};
use crate::tests::transcripts::run::Talk;

/// A certificate for `localhost`, signed by itself, and its key.
pub(super) fn pair() -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

/// The herd with ports for TLS.
pub(super) fn with_tls(herd: &Herd) -> Herd {
    let member = |member: &Member| Member {
        client_tls: Some(free_address().into()),
        https: Some(free_address().into()),
        mqtts: Some(free_address().into()),
        ..member.clone()
    };
    Herd::new(herd.members().iter().map(member).collect(), herd.links().to_vec(), herd.catch_up).unwrap()
}

/// A server with ports for TLS.
pub(super) struct TlsServer {
    server: TestServer,
    pub(super) client_tls: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) mqtts: SocketAddr,
    pub(super) files: TlsFiles,
    first_cert: CertificateDer<'static>,
    _dir: TempDir,
}

impl Deref for TlsServer {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl TlsServer {
    pub(super) fn alone(changed: impl FnOnce(Config) -> Config) -> TlsServer {
        TlsServer::of(&with_tls(&herd(&["Alford"], &[], true)), "Alford", changed)
    }

    pub(super) fn of(herd: &Herd, name: &str, changed: impl FnOnce(Config) -> Config) -> TlsServer {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let (cert, key) = pair();
        fs::write(&files.cert, &cert).unwrap();
        fs::write(&files.key, key).unwrap();
        let config = changed(Config { tls: Some(files.clone()), ..config(herd, name) });
        let member = config.member();
        TlsServer {
            server: TestServer::with(&config, catalogue()),
            client_tls: member.client_tls.as_ref().unwrap().literal().unwrap(),
            https: member.https.as_ref().unwrap().literal().unwrap(),
            mqtts: member.mqtts.as_ref().unwrap().literal().unwrap(),
            files,
            first_cert: CertificateDer::from_pem_slice(cert.as_bytes()).unwrap(),
            _dir: dir,
        }
    }

    pub(super) fn stop(self) {
        self.server.stop();
    }

    /// What trusts the certificates that are in the file, and that were at first.
    pub(super) fn client_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.first_cert.clone()).unwrap();
        roots.add(CertificateDer::from_pem_file(&self.files.cert).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        builder.with_root_certificates(roots).with_no_client_auth()
    }

    pub(super) fn connect(
        &self,
        to: SocketAddr,
        changed: impl FnOnce(&mut ClientConfig),
    ) -> Result<Secured, String> {
        self.connect_by(rustls::ALL_VERSIONS, to, changed)
    }

    pub(super) fn connect_by(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        to: SocketAddr,
        changed: impl FnOnce(&mut ClientConfig),
    ) -> Result<Secured, String> {
        let mut config = self.client_config(versions);
        changed(&mut config);
        Secured::begin(Arc::new(config), to)
    }

    /// A conversation on the port for clients.
    pub(super) fn client(&self) -> Secured {
        self.connect(self.client_tls, |_| ()).unwrap()
    }

    /// A conversation on the port for HTTP.
    pub(super) fn https(&self) -> Secured {
        self.connect(self.https, |_| ()).unwrap()
    }

    /// A client of MQTT 5 that was let in.
    pub(super) fn mqtts(&self, id: &str) -> Secured {
        let mut client = self.connect(self.mqtts, |_| ()).unwrap();
        let body = [text_of("MQTT"), vec![5, 2, 0, 60, 0], text_of(id)].concat();
        client.send(&packet(0x10, &body)).unwrap();
        let answer = client.packet().unwrap();
        assert_eq!((answer[0], answer[3]), (0x20, 0), "{answer:?}");
        client
    }

    /// What a client says first.
    pub(super) fn hello(&self) -> Vec<u8> {
        let mut session = session(Arc::new(self.client_config(rustls::ALL_VERSIONS)));
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        hello
    }

    /// The certificate that a new connection is shown.
    pub(super) fn shown(&self) -> CertificateDer<'static> {
        self.client().session.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

fn session(config: Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap()
}

/// A connection in TLS. Every wait in it ends.
pub(super) struct Secured {
    pub(super) session: StreamOwned<ClientConnection, TcpStream>,
    pub(super) one_by_one: bool,
    read: Vec<u8>,
}

impl Secured {
    pub(super) fn begin(config: Arc<ClientConfig>, to: SocketAddr) -> Result<Secured, String> {
        Secured::over(config, TcpStream::connect_timeout(&to, WAIT).unwrap())
    }

    /// The handshake, and what is said after it at once: in TLS 1.3 a client may be refused then.
    pub(super) fn over(config: Arc<ClientConfig>, socket: TcpStream) -> Result<Secured, String> {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let mut session = StreamOwned::new(session(config), socket);
        while session.conn.is_handshaking() {
            session.conn.complete_io(&mut session.sock).map_err(|error| error.to_string())?;
        }
        Ok(Secured { session, one_by_one: false, read: Vec::new() })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.session.sock
    }

    /// These bytes in records that are not sent yet.
    pub(super) fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        self.session.conn.set_buffer_limit(None);
        self.session.conn.writer().write_all(bytes).unwrap();
        while self.session.conn.wants_write() {
            self.session.conn.write_tls(&mut sealed).unwrap();
        }
        sealed
    }

    pub(super) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n").as_bytes()).unwrap();
        text(self.line().unwrap().expect("a line"))
    }

    /// The status and the body of the answer to a request.
    pub(super) fn ask_http(&mut self, request: &str) -> (u16, String) {
        self.send(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let line = text(self.line().unwrap().expect("a header"));
            match line.trim_end() {
                "" => break,
                line => {
                    if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                        status = rest[..3].parse().unwrap();
                    } else if let Some(bytes) = line.strip_prefix("Content-Length: ") {
                        length = bytes.parse().unwrap();
                    }
                }
            }
        }
        while self.read.len() < length {
            assert!(self.fill().unwrap() > 0, "the connection ended in an answer");
        }
        (status, text(self.read.drain(..length).collect()))
    }

    /// The next packet of MQTT, or none if the other side has said that this is the end.
    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        while self.read.len() < 2 || self.read.len() < 2 + usize::from(self.read[1]) {
            if self.fill().expect("the end is announced") == 0 {
                assert!(self.read.is_empty(), "it ended in a packet");
                return None;
            }
        }
        Some(self.read.drain(..2 + usize::from(self.read[1])).collect())
    }

    /// All until the other side says that this is the end.
    pub(super) fn rest(&mut self) -> String {
        while self.fill().expect("the end is announced") > 0 {}
        text(std::mem::take(&mut self.read))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut space = [0; 4096];
        let count = self.session.read(&mut space)?;
        self.read.extend_from_slice(&space[..count]);
        Ok(count)
    }
}

impl Talk for Secured {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sealed = self.sealed(bytes);
        let piece = if self.one_by_one { 1 } else { sealed.len() };
        sealed
            .chunks(piece)
            .try_for_each(|piece| self.session.sock.write_all(piece))
            .map_err(|e| e.to_string())
    }

    fn half_close(&mut self) -> Result<(), String> {
        self.session.conn.send_close_notify();
        match self.session.conn.write_tls(&mut self.session.sock) {
            // The server may have closed already.
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            match self.fill() {
                Ok(0) if self.read.is_empty() => return Ok(None),
                Ok(0) => return Err("the connection ended in a line".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
