//! The key: in no text, and sent to trusted servers only.

use std::io::Write;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::server::{LocalServer, reply};
use super::{ELSEWHERE, NEAR, all, open, options, provider, status_of};
use crate::places::{Options, PlacesError};

#[test]
fn the_key_is_in_no_text() {
    // Servers that repeat everything they are sent, in every way they could.
    for (name, ..) in all() {
        for status in [200, 302, 400, 401, 403, 404, 429, 500] {
            let server = LocalServer::http(move |seen, out| {
                let key = seen.headers.get("x-goog-api-key").cloned().unwrap_or(seen.target.clone());
                let body = format!(
                    r#"{{"results":[],"elements":[],"places":[{{"id":"{key}","location":{{}}}}],
                    "remark":"error {key}","error_message":"{key}",
                    "error":{{"message":"bad key {key}","status":"{key}"}}}}"#
                );
                reply(out, status, &[("Location", &seen.target)], &body)
            });
            let text = match provider(name, &server).nearby(&NEAR) {
                Ok(answer) => answer.as_str().to_owned(),
                Err(error) => format!("{error} {error:?} {}", error.to_answer()),
            };
            assert!(!text.contains("secret"), "{name} {status}: {text}");
        }
        let server = LocalServer::http(|seen, out| {
            write!(out, "{} {:?} no HTTP\r\n\r\n", seen.target, seen.headers)?;
            Ok(false)
        });
        let options = options(name, server.url());
        let error = open(&options).unwrap().nearby(&NEAR).unwrap_err();
        assert!(!format!("{error} {error:?} {options:?}").contains("secret"), "{name}");
        for url in ["gopher://x", "https://a b", "http://x?key"] {
            let error = open(&Options { url: Some(url.to_owned()), ..options.clone() }).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("secret"), "{name} {url}: {error}");
        }
    }
}

#[test]
fn a_key_is_read_again_from_its_file() {
    for name in ["google", "google-legacy"] {
        let server = LocalServer::http(|seen, out| {
            let is_new = format!("{} {:?}", seen.target, seen.headers).contains("second-key");
            reply(out, if is_new { 503 } else { 403 }, &[], "{}")
        });
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let google_key_file = Some(file.path().to_owned());
        let places = open(&Options { google_key_file, ..options(name, server.url()) }).unwrap();
        assert!(places.has_file());
        let is_denied = || matches!(places.nearby(&NEAR), Err(PlacesError::Denied(_)));
        // The file has nothing in it, so the key that was read before stays in use.
        places.reload();
        assert!(is_denied(), "{name}");
        file.write_all(b"second-key\n").unwrap();
        places.reload();
        assert!(!is_denied(), "{name}");
    }
}

/// A certificate for this machine, as PEM, and a server's configuration with it.
fn certificate() -> (tempfile::NamedTempFile, ServerConfig) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(cert.pem().as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    (file, config)
}

#[test]
fn https_needs_a_trusted_certificate() {
    for (name, _, fine) in all() {
        let (ca, tls) = certificate();
        let server = LocalServer::https(tls, move |_, out| reply(out, 200, &[], fine));
        let known = Options { ca: Some(ca.path().to_owned()), ..options(name, server.url()) };
        let places = open(&known).unwrap();
        assert_eq!(status_of(&places.nearby(&NEAR).unwrap()), "OK");
        places.nearby(&ELSEWHERE).unwrap();
        let calls = server.seen().len();
        assert_eq!((calls >= 2, server.connections()), (true, 1));

        let (another, _) = certificate();
        for ca in [None, Some(another.path().to_owned())] {
            let stranger = Options { ca, ..options(name, server.url()) };
            let error = open(&stranger).unwrap().nearby(&NEAR).unwrap_err();
            assert!(
                matches!(&error, PlacesError::Unreachable(why) if why.contains("certificate")),
                "{error}"
            );
        }
        assert_eq!(server.seen().len(), calls, "no request, and no key, for a stranger");
    }
}
