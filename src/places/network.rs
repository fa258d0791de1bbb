//! The one way out to the network: every call has deadlines, and every answer a largest size.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error, RequestBuilder};

use super::error::{OpenError, PlacesError};
use super::file::read_up_to;
use super::request::{Reply, Request};

/// Who is asking. Overpass refuses those who do not say.
const USER_AGENT: &str = concat!(
    "proxyherd/",
    env!("CARGO_PKG_VERSION"),
    " (a server herd that looks up places near its clients)"
);

/// The most bytes of an answer. Twenty places with everything Google knows are a tenth of it.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The most bytes of a refusal that are read: it says why in its first words.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;

/// The most characters of an address that a redirection points to.
const LOCATION_CHARS_MAX: usize = 200;

/// The one coding of answers that is asked for and understood.
const PLAIN: &str = "identity";

/// How the bytes of codings begin that some servers use without saying so.
const CODED: [(&[u8], &str); 2] = [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")];

/// The most bytes of an answer's header.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// The library's buffer per connection for what comes in. A header must fit into it with room to spare, or it would
/// count as cut off.
const INPUT_BUFFER_BYTES: usize = HEADER_BYTES_MAX + 8 * 1024;

/// The library's buffer per connection for what goes out; its default is 128 KiB, for small requests.
const OUTPUT_BUFFER_BYTES: usize = 16 * 1024;

/// A larger file than any set of certificates.
const CA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The shared HTTP client.
pub(crate) struct Network {
    agent: Agent,
}

impl Network {
    /// A client that waits at most `connect` for a connection (TLS included) and `read` for more of an
    /// answer. It trusts `ca` instead of the public authorities, if given.
    pub(crate) fn new(connect: Duration, read: Duration, ca: Option<&Path>) -> Result<Network, OpenError> {
        let roots = match ca {
            Some(path) => RootCerts::from(certificates(path)?),
            None => RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .accept_encoding(PLAIN)
            .http_status_as_error(false)
            // An address from the environment would see the questions; none is wanted unless asked for.
            .proxy(None)
            // None of the interfaces redirects, and a redirect would carry the key elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(read))
            .timeout_per_write(Some(read))
            .max_response_header_size(HEADER_BYTES_MAX)
            .input_buffer_size(INPUT_BUFFER_BYTES)
            .output_buffer_size(OUTPUT_BUFFER_BYTES)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Network { agent: Agent::new_with_config(config) })
    }

    /// Sends `request` and reads the whole reply within `time`, whatever its status.
    pub(crate) fn call(&self, request: &Request, time: Duration) -> Result<Reply, PlacesError> {
        self.exchange(request, time).map_err(|error| what_happened(error, time))?
    }

    /// Breaks off the calls under way; later ones fail. A call that is still looking up a name or
    /// connecting ends with its own deadline.
    pub(crate) fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    fn exchange(&self, request: &Request, time: Duration) -> Result<Result<Reply, PlacesError>, Error> {
        let mut response = match &request.body {
            Some(body) => prepared(self.agent.post(&request.url), request, time).send(body)?,
            None => prepared(self.agent.get(&request.url), request, time).call()?,
        };
        let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let location = header("Location").map(plain_address);
        let coding = header("Content-Encoding").map(|coding| coding.trim().to_ascii_lowercase());
        let coding = coding.filter(|coding| !coding.is_empty() && coding != PLAIN);
        if status != 200 {
            let mut bytes = Vec::new();
            // The status says enough if the rest of it does not come.
            let _ = response.body_mut().as_reader().take(REFUSAL_BYTES_MAX).read_to_end(&mut bytes);
            let text = if coding.is_some() { String::new() } else { text_of(bytes) };
            return Ok(Ok(Reply { status, retry_after, location, text }));
        }
        let bytes = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
        let begins = CODED.iter().find(|(start, _)| bytes.starts_with(start));
        if let Some(coding) = coding.or(begins.map(|(_, name)| (*name).to_owned())) {
            let coding = PlacesError::words(&coding);
            let why = format!("it came coded as {coding}, although it was asked to be sent as it is");
            return Ok(Err(PlacesError::Garbage(why)));
        }
        Ok(Reply::new(status, retry_after, bytes))
    }
}

fn prepared<B>(mut call: RequestBuilder<B>, request: &Request, time: Duration) -> RequestBuilder<B> {
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    call.config().timeout_global(Some(time)).build()
}

/// The library's errors in our words. Its own texts are not used where they could hold an address, which
/// may hold the key.
fn what_happened(error: Error, time: Duration) -> PlacesError {
    match error {
        Error::Timeout(_) => PlacesError::TooSlow(time),
        Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            PlacesError::Unreachable("connection refused".to_owned())
        }
        Error::Io(error) if is_cut_off(error.kind()) => PlacesError::CutOff,
        Error::Io(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
            PlacesError::TooSlow(time)
        }
        Error::Io(error) => PlacesError::Unreachable(PlacesError::words(&error.to_string())),
        Error::HostNotFound => PlacesError::Unreachable("no such host".to_owned()),
        Error::Rustls(error) => PlacesError::Unreachable(PlacesError::words(&error.to_string())),
        Error::Tls(why) => PlacesError::Unreachable(why.to_owned()),
        Error::BodyExceedsLimit(_) => PlacesError::TooLong(BODY_BYTES_MAX),
        Error::LargeResponseHeader(_, _) => PlacesError::Garbage("its header is too long".to_owned()),
        // The library has room for so many, and no option for more.
        Error::Protocol(error) if error.to_string().contains("too many headers") => {
            PlacesError::Garbage("it has more than 128 header fields".to_owned())
        }
        Error::Protocol(_) | Error::Http(_) => PlacesError::Garbage("it is not HTTP".to_owned()),
        Error::StatusCode(_)
        | Error::BadUri(_)
        | Error::RedirectFailed
        | Error::InvalidProxyUrl
        | Error::ConnectionFailed
        | Error::TooManyRedirects
        | Error::Pem(_)
        | Error::RequireHttpsOnly(_)
        | Error::ConnectProxyFailed(_)
        | Error::TlsRequired
        | Error::Other(_)
        | _ => PlacesError::Unreachable("the call could not be made".to_owned()),
    }
}

/// A text that may have been cut within a character; what is no text is none.
fn text_of(mut bytes: Vec<u8>) -> String {
    if let Err(bad) = std::str::from_utf8(&bytes)
        && bad.error_len().is_none()
    {
        bytes.truncate(bad.valid_up_to());
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// An address without what may be secret in it, and short.
fn plain_address(location: &str) -> String {
    let location = location.split(['?', '#']).next().unwrap_or_default();
    let plain = match location.split_once("//") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => location.to_owned(),
    };
    PlacesError::words(&plain).chars().take(LOCATION_CHARS_MAX).collect()
}

fn is_cut_off(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

/// The certificates of a PEM file; anything else in it is ignored.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, OpenError> {
    let bad = || OpenError::BadCa(path.to_owned());
    let bytes = read_up_to(path, CA_BYTES_MAX)?;
    let items: Vec<PemItem<'_>> = parse_pem(&bytes).collect::<Result<_, Error>>().map_err(|_| bad())?;
    let certificate =
        |item| if let PemItem::Certificate(found) = item { Some(found.to_owned()) } else { None };
    let found: Vec<Certificate<'static>> = items.into_iter().filter_map(certificate).collect();
    if found.is_empty() { Err(bad()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::{plain_address, text_of};

    #[test]
    fn text_may_be_cut_within_a_character() {
        assert_eq!(text_of("caf\u{e9}".as_bytes()[..4].to_vec()), "caf");
        assert_eq!(text_of(b"\x1f\x8bgzip".to_vec()), "");
    }

    #[test]
    fn addresses_are_told_without_secrets() {
        for (location, told) in [
            ("https://example.org/api/?key=secret#secret", "https://example.org/api/"),
            ("http://user:secret@example.org:8080", "http://example.org:8080"),
            ("//user@example.org/x\u{7}", "//example.org/x"),
            ("/api/interpreter?secret", "/api/interpreter"),
            ("?secret", ""),
        ] {
            assert_eq!(plain_address(location), told);
        }
        assert_eq!(plain_address(&"x".repeat(5_000)).len(), 200);
    }
}
