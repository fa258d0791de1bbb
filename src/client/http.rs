//! Questions of the command line to a running server over HTTP.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, RequestBuilder};

use super::error::{CONNECT_DEADLINE, ClientError};
use crate::config::given_file;

/// Where the first server of the built-in herd speaks HTTP.
pub const URL_DEFAULT: &str = "http://127.0.0.1:12750";

/// How long a whole answer may take: a report that waits for a slow disk has it by then.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long an answer that goes on may say nothing: a server says something every 30 s.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// The most bytes of an answer: a thousand clients with all that is known of them fit.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The most bytes of a file with a token.
const TOKEN_BYTES_MAX: usize = 4 << 10;

/// The most bytes of a file with certificates: more than any set of them has.
const CA_BYTES_MAX: u64 = 4 << 20;

/// The most characters of an address that the server points to.
const LOCATION_CHARS_MAX: usize = 200;

/// A server, and as whom it is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Where it is, such as `http://127.0.0.1:12750`.
    pub url: String,
    /// The file with the token of a user, if there are users.
    pub token_file: Option<PathBuf>,
    /// The file with the certificates to trust, in place of the public authorities.
    pub ca: Option<PathBuf>,
}

/// A server with what is needed to ask it.
pub struct Http {
    /// Without a slash at its end.
    pub url: String,
    authorization: Option<String>,
    agent: Agent,
}

/// An answer that goes on.
pub type Lines = BufReader<Box<dyn Read>>;

impl Server {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn open(&self) -> Result<Http, ClientError> {
        let roots = match &self.ca {
            Some(path) => RootCerts::from(certificates(path)?),
            None => RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A proxy of the environment would see the token.
            .proxy(None)
            // So would the server that is pointed to.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT_DEADLINE))
            .timeout_connect(Some(CONNECT_DEADLINE))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Http {
            url: self.url.trim_end_matches('/').to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            agent: Agent::new_with_config(config.build()),
        })
    }
}

impl Http {
    /// Asks for what is at a path.
    ///
    /// # Errors
    /// If the server cannot be asked, or refuses; it says why.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        let text = self.text(path)?;
        serde_json::from_str(&text).map_err(|_| self.failed(None, NO_JSON.to_owned()))
    }

    /// The same, as it comes.
    ///
    /// # Errors
    /// Those of [`Http::get`].
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        let call = self.authorized(self.agent.get(self.at(path)));
        self.whole(call.config().timeout_global(Some(ANSWER_TIME_MAX)).build().call())
    }

    /// Removes what is at a path.
    ///
    /// # Errors
    /// Those of [`Http::get`].
    pub fn delete(&self, path: &str) -> Result<(), ClientError> {
        let call = self.authorized(self.agent.delete(self.at(path)));
        self.whole(call.config().timeout_global(Some(ANSWER_TIME_MAX)).build().call()).map(drop)
    }

    /// Sends a value to a path, whose answer may take so long.
    ///
    /// # Errors
    /// Those of [`Http::get`].
    pub fn post(&self, path: &str, value: &Value, time: Duration) -> Result<Value, ClientError> {
        self.send(path, "application/json", value.to_string().as_bytes(), time)
    }

    /// Sends bytes of a media type to a path, whose answer may take so long.
    ///
    /// # Errors
    /// Those of [`Http::get`].
    pub fn send(
        &self,
        path: &str,
        media_type: &str,
        body: &[u8],
        time: Duration,
    ) -> Result<Value, ClientError> {
        let call = self.authorized(self.agent.post(self.at(path))).content_type(media_type);
        let text = self.whole(call.config().timeout_global(Some(time)).build().send(body))?;
        serde_json::from_str(&text).map_err(|_| self.failed(None, NO_JSON.to_owned()))
    }

    /// Asks for an answer that goes on, with one more header field.
    ///
    /// # Errors
    /// Those of [`Http::get`].
    pub fn stream(&self, path: &str, field: Option<(&str, &str)>) -> Result<Lines, ClientError> {
        let mut call = self.authorized(self.agent.get(self.at(path)));
        if let Some((name, value)) = field {
            call = call.header(name, value);
        }
        let config = call.config().timeout_recv_response(Some(ANSWER_TIME_MAX));
        let answered = config.timeout_per_read(Some(SILENCE_MAX)).build().call();
        let response = answered.map_err(|error| self.failed(None, what_happened(&error)))?;
        if response.status().as_u16() != 200 {
            return Err(self.refusal(response));
        }
        Ok(BufReader::new(Box::new(response.into_body().into_reader())))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn authorized<B>(&self, call: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => call.header("Authorization", authorization),
            None => call,
        }
    }

    fn whole(&self, answered: Result<Response<Body>, ureq::Error>) -> Result<String, ClientError> {
        let mut response = answered.map_err(|error| self.failed(None, what_happened(&error)))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        text.map_err(|error| self.failed(None, what_happened(&error)))
    }

    /// What a server says that refuses, and what to do.
    fn refusal(&self, mut response: Response<Body>) -> ClientError {
        let status = response.status();
        let location = response.headers().get("Location").and_then(|value| value.to_str().ok());
        if let Some(location) = location.filter(|_| status.is_redirection()) {
            let location: String = location.chars().take(LOCATION_CHARS_MAX).collect();
            let why = format!("it points to {location}: say that with --url, if you trust it");
            return self.failed(Some(status.as_u16()), why);
        }
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let value: Option<Value> = text.ok().and_then(|text| serde_json::from_str(&text).ok());
        let detail = value.as_ref().and_then(|value| value["detail"].as_str());
        let why = detail.map_or_else(|| format!("{status}: is it a server of the herd?"), str::to_owned);
        let advice = match status.as_u16() {
            401 if self.authorization.is_none() => ": name the file with yours by --token-file",
            401 => ": see --token-file; `proxyherd token new` makes a new one",
            403 if detail.is_some_and(|why| why.contains("same machine")) => {
                ", and this command has to run there"
            }
            404 if detail.is_some_and(|why| why.contains("at this path")) => {
                ": is it a server of an older release, or has --url a path too much?"
            }
            _ => "",
        };
        self.failed(Some(status.as_u16()), why + advice)
    }

    pub(super) fn failed(&self, status: Option<u16>, why: String) -> ClientError {
        ClientError::Http { url: self.url.clone(), status, why }
    }
}

const NO_JSON: &str = "what it says is no JSON: is it a server of the herd?";

/// The library's errors, and what to do.
fn what_happened(error: &ureq::Error) -> String {
    use ureq::Error::{BadUri, HostNotFound, Http, Io, Protocol, Timeout};
    let text = error.to_string();
    let has = |words: &str| text.contains(words);
    if matches!(error, Timeout(_)) {
        "it does not answer in time: try again, or another server".to_owned()
    } else if matches!(error, HostNotFound) || matches!(error, Io(_)) && has("lookup") {
        "no such host is found: is --url right?".to_owned()
    } else if matches!(error, Io(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
        "connection refused: is it running? its `http` key says where it would be".to_owned()
    } else if has("CaUsedAsEndEntity") {
        // As `openssl req -x509` makes one, if it is not told otherwise.
        "its certificate is that of an authority: make one with -addext basicConstraints=critical,CA:FALSE"
            .to_owned()
    } else if has("certificate") {
        format!("{text}: name the file of those who vouch for it by --ca, and the host as it has it")
    } else if has("InvalidContentType") || has("corrupt message") {
        "there is no TLS there: write http:// and not https://".to_owned()
    } else if matches!(error, Protocol(_) | Http(_) | BadUri(_)) {
        format!("{text}: is that where it speaks HTTP?")
    } else {
        format!("{text}; is it running?")
    }
}

/// Reads a line with its line feed, which is missing from one that is longer, and from the last of an input that was
/// cut off. Returns whether there was one.
pub(super) fn next_line(input: &mut impl BufRead, bytes_max: usize, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    input.by_ref().take(bytes_max as u64).read_until(b'\n', line).map(|count| count > 0)
}

fn read_token(path: &Path) -> Result<String, ClientError> {
    let unreadable = |why: String| ClientError::TokenFile { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let token = text.trim();
    let is_token =
        !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|it| it.is_ascii_graphic());
    is_token.then(|| token.to_owned()).ok_or_else(|| unreadable("it holds no token on one line".to_owned()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let unusable = |why: String| ClientError::CaFile { path: path.to_owned(), why };
    let pem = given_file::text(path, CA_BYTES_MAX).map_err(|error| unusable(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unusable(error.to_string())),
        }
    }
    if certificates.is_empty() {
        return Err(unusable("it has no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}
