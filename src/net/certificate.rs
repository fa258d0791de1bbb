//! The certificate and key with which a server says who it is: checked before they are used, and read again when the
//! files change. A wrong pair changes nothing; connections that are open keep what they began with.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use crossbeam_channel::RecvTimeoutError;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};

use crate::config::{TlsFiles, given_file};
use crate::os::clock;
use crate::os::sync::{AtomicBool, Receiver, RwLock, Sender, bounded};

/// The most bytes of a PEM file: a chain of a hundred certificates fits.
const PEM_BYTES_MAX: u64 = 256 * 1024;

/// How often the files are looked at: what renews certificates does so days before the old one ends.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often a certificate that ends soon is warned of.
const LOOKS_PER_DAY: u32 = 24 * 60;

/// What soon is: what renews certificates has failed for two weeks by then.
const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A pair as it is now, and a thread's work to read it again.
pub struct Certificate {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
    asked: (Sender<()>, Receiver<()>),
    is_stopping: AtomicBool,
}

/// Why a pair is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadPair {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; name a file with --tls-cert and one with --tls-key", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file is larger than any such file.
    #[error("{} has more than {PEM_BYTES_MAX} bytes: is it the right file?", .0.display())]
    TooLong(PathBuf),
    /// A file is no PEM.
    #[error("{} is not PEM: {why}; it takes text with lines such as -----BEGIN CERTIFICATE-----", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: pem::Error,
    },
    /// No certificate is in its file.
    #[error(
        "{} has no certificate: it takes the server's own in PEM, and after it those that vouch for it",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// No key is in its file.
    #[error("{} has no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The key needs a passphrase, and there is no one to ask for it.
    #[error(
        "the key in {path} has a passphrase: `openssl pkey -in {path} -out NEW` writes it without one",
        path = .0.display()
    )]
    Encrypted(PathBuf),
    /// A certificate cannot be understood.
    #[error("a certificate in {} cannot be understood: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: rustls::Error,
    },
    /// The key cannot be understood, or is of a kind that is not supported.
    #[error("the key in {} is of no use: {why}; an ECDSA key on P-256 or an RSA key of 2048 bits is", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: rustls::Error,
    },
    /// They are not of each other.
    #[error(
        "the key in {} is not that of the first certificate in {}: name the files of one pair, and put the server's \
         own certificate first",
        key.display(),
        cert.display()
    )]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl Certificate {
    /// Reads and checks the pair.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn open(files: TlsFiles) -> Result<Certificate, BadPair> {
        let pair = read(&files)?;
        warn_if_readable(&files.key);
        warn_of_end(&files.cert, &pair);
        Ok(Certificate {
            files,
            current: RwLock::new(Arc::new(pair)),
            asked: bounded(1),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// What a port speaks that shows this certificate: TLS 1.3 and 1.2, and these protocols inside if any are named.
    ///
    /// # Errors
    /// What the library says: it needs random numbers.
    pub fn server_config(self: &Arc<Self>, protocols: &[&str]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let versions = [&TLS13, &TLS12];
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&versions)?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // A phone that comes again saves the bytes of the certificate. What is needed for that is in its ticket, so
        // that strangers fill no memory here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }

    /// Has the files read again, by the thread that is in [`Certificate::run`].
    pub fn ask_to_reload(&self) {
        // Full: they will be read again anyway.
        let _ = self.asked.0.try_send(());
    }

    /// Ends [`Certificate::run`].
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.ask_to_reload();
    }

    /// Reads the files again whenever it is asked to, or they have changed, until [`Certificate::stop`].
    pub fn run(&self) {
        let mut seen = self.stamps();
        let mut looks = 0;
        loop {
            let is_asked = match self.asked.1.recv_timeout(LOOK_EVERY) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_stopping.load(Ordering::Acquire) {
                return;
            }
            looks += u32::from(!is_asked);
            // Before they are read: what changes meanwhile is seen the next time.
            let stamps = self.stamps();
            if is_asked || stamps != seen {
                seen = stamps;
                self.reload();
            } else if looks >= LOOKS_PER_DAY {
                looks = 0;
                warn_of_end(&self.files.cert, &self.current.read().clone());
            }
        }
    }

    fn reload(&self) {
        let TlsFiles { cert, key } = &self.files;
        match read(&self.files) {
            Ok(pair) => {
                warn_if_readable(key);
                let until =
                    end_of(&pair).map_or_else(String::new, |end| format!(", good until {}", shown(end)));
                log::info!("{} and {} are read again{until}", cert.display(), key.display());
                warn_of_end(cert, &pair);
                *self.current.write() = Arc::new(pair);
            }
            Err(why) => log::warn!("the certificate is as it was before: {why}"),
        }
    }

    /// What tells that the files have changed: for each its number, its time and its size.
    fn stamps(&self) -> [Option<(u64, i64, i64, u64)>; 2] {
        let TlsFiles { cert, key } = &self.files;
        [cert, key].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads a pair, and checks that the key is that of the certificate.
fn read(TlsFiles { cert, key }: &TlsFiles) -> Result<CertifiedKey, BadPair> {
    let not_pem = |path: &Path| {
        let path = path.to_owned();
        move |why| BadPair::NotPem { path, why }
    };
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&text(cert)?).collect::<Result<_, _>>().map_err(not_pem(cert))?;
    for certificate in &chain {
        ParsedCertificate::try_from(certificate)
            .map_err(|why| BadPair::Certificate { path: cert.clone(), why })?;
    }
    if chain.is_empty() {
        return Err(BadPair::NoCertificate(cert.clone()));
    }
    let secret = text(key)?;
    let is_encrypted = secret.windows(9).any(|word| word == b"ENCRYPTED");
    let secret = match PrivateKeyDer::from_pem_slice(&secret) {
        _ if is_encrypted => return Err(BadPair::Encrypted(key.clone())),
        Err(pem::Error::NoItemsFound) => return Err(BadPair::NoKey(key.clone())),
        found => found.map_err(not_pem(key))?,
    };
    CertifiedKey::from_der(chain, secret, &default_provider()).map_err(|why| {
        if why == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            BadPair::Mismatch { cert: cert.clone(), key: key.clone() }
        } else {
            BadPair::Key { path: key.clone(), why }
        }
    })
}

fn text(path: &Path) -> Result<Vec<u8>, BadPair> {
    let text = given_file::text(path, PEM_BYTES_MAX + 1)
        .map_err(|source| BadPair::Unreadable { path: path.to_owned(), source })?;
    if text.len() as u64 > PEM_BYTES_MAX {
        return Err(BadPair::TooLong(path.to_owned()));
    }
    Ok(text)
}

/// The last moment at which a pair is good.
fn end_of(pair: &CertifiedKey) -> Option<Duration> {
    // By the end of time every certificate has ended, and the library says when.
    match validity_at(pair, Duration::from_secs(u64::from(u32::MAX) * 60)) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            Some(Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

/// What is wrong with the time of a certificate then. What else is wrong, such as that we do not know who vouches for
/// it, is for clients to judge.
fn validity_at(pair: &CertifiedKey, since_1970: Duration) -> Option<CertificateError> {
    let certificate = ParsedCertificate::try_from(pair.end_entity_cert().ok()?).ok()?;
    let (no_roots, now) = (RootCertStore::empty(), UnixTime::since_unix_epoch(since_1970));
    let algorithms = default_provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&certificate, &no_roots, &[], now, algorithms) {
        Err(rustls::Error::InvalidCertificate(why)) => Some(why),
        Ok(()) | Err(_) => None,
    }
}

fn warn_of_end(path: &Path, pair: &CertifiedKey) {
    let now = Duration::from_secs(clock::now().seconds);
    let path = path.display();
    if let Some(CertificateError::NotValidYetContext { not_before, .. }) = validity_at(pair, now) {
        let from = shown(Duration::from_secs(not_before.as_secs()));
        log::warn!(
            "the certificate in {path} is not good before {from}: is the clock of this machine right?"
        );
    }
    match end_of(pair) {
        Some(end) if end < now => {
            log::warn!("the certificate in {path} is out of date since {}: clients refuse it", shown(end));
        }
        Some(end) if end < now + ENDS_SOON => {
            log::warn!("the certificate in {path} ends soon, at {}: renew it", shown(end));
        }
        Some(_) | None => {}
    }
}

fn shown(since_1970: Duration) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970)
}

fn warn_if_readable(key: &Path) {
    if given_file::is_readable_by_others(key) {
        let path = key.display();
        log::warn!("other users can read the key file {path}: chmod 600 {path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
    use std::fs;
    use tempfile::TempDir;

    /// Files with this text.
    fn files(cert: &str, key: &str) -> (TempDir, TlsFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        (dir, files)
    }

    fn pair(changed: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        changed(&mut params);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn refusal(cert: &str, key: &str) -> String {
        let (_dir, files) = files(cert, key);
        read(&files).unwrap_err().to_string()
    }

    #[test]
    fn chain_is_taken_and_its_key_must_be_that_of_the_first() {
        let authority_key = KeyPair::generate().unwrap();
        let authority = CertificateParams::new(Vec::new()).unwrap().self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(CertificateParams::new(Vec::new()).unwrap(), authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = params.signed_by(&key, &issuer).unwrap();
        let chain = format!("Subject: words of openssl\n{}\n{}", own.pem(), authority.pem());
        let (_dir, right) = files(&chain, &key.serialize_pem());
        assert_eq!(read(&right).unwrap().cert.len(), 2);
        let refused = refusal(&format!("{}{}", authority.pem(), own.pem()), &key.serialize_pem());
        assert!(refused.contains("is not that of the first certificate in "), "{refused}");
    }

    #[test]
    fn wrong_pair_is_refused_in_a_sentence() {
        let (cert, key) = pair(|_| ());
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let cut = &key[..key.len() / 2];
        let garbled = cert.replacen("MII", "AAA", 1);
        let huge = "x".repeat(PEM_BYTES_MAX as usize + 1);
        for (cert, key, expected) in [
            (cert.as_str(), pair(|_| ()).1.as_str(), "is not that of the first certificate"),
            (&key, &key, "cert.pem has no certificate: it takes the server's own in PEM"),
            ("", &key, "cert.pem has no certificate"),
            (&cert, &cert, "key.pem has no private key in PEM"),
            (&cert, "", "key.pem has no private key in PEM"),
            (&cert, &encrypted, "has a passphrase: `openssl pkey -in "),
            (&cert, cut, "key.pem is not PEM: "),
            (&garbled, &key, "a certificate in "),
            (&huge, &key, "cert.pem has more than 262144 bytes: is it the right file?"),
            (&cert, "\0", "it has zero bytes"),
        ] {
            let refused = refusal(cert, key);
            assert!(refused.contains(expected), "{refused}");
        }
        let (dir, mut files) = files(&cert, &key);
        files.key = dir.path().to_owned();
        let refused = read(&files).unwrap_err().to_string();
        assert!(refused.contains("it is a directory: name a file; name a file with --tls-cert"), "{refused}");
    }

    #[test]
    fn end_is_known() {
        let (cert, key) = pair(|params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 5, 19);
        });
        let (_dir, files) = files(&cert, &key);
        let pair = read(&files).unwrap();
        assert_eq!(end_of(&pair).map(|end| shown(end).to_string()).as_deref(), Some("2021-05-19T00:00:00Z"));
        let at = |seconds| validity_at(&pair, Duration::from_secs(seconds));
        assert!(matches!(at(1_500_000_000), Some(CertificateError::NotValidYetContext { .. })));
        assert!(
            matches!(at(1_600_000_000), Some(CertificateError::UnknownIssuer)),
            "{:?}",
            at(1_600_000_000)
        );
    }

    #[test]
    fn wrong_file_changes_nothing() {
        let (cert, key) = pair(|_| ());
        let (_dir, files) = files(&cert, &key);
        let certificate = Certificate::open(files.clone()).unwrap();
        let first = Arc::clone(&certificate.current.read());
        let (next_cert, next_key) = pair(|_| ());
        let before = certificate.stamps();
        fs::write(&files.cert, &next_cert).unwrap();
        assert_ne!(certificate.stamps(), before);
        certificate.reload();
        assert!(Arc::ptr_eq(&first, &certificate.current.read()));
        fs::write(&files.key, &next_key).unwrap();
        certificate.reload();
        assert_ne!(first.cert, certificate.current.read().cert);
    }
}
