//! Questions of the command line to a running server over HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use super::error::ClientError;

/// Where the first server of the built-in herd speaks HTTP.
pub const URL_DEFAULT: &str = "http://127.0.0.1:12750";

/// How long a whole answer may take: a report that waits for a slow disk has it by then.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The most bytes of an answer: a thousand clients with all that is known of them fit.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The most bytes of a file with a token.
const TOKEN_BYTES_MAX: usize = 4 << 10;

/// A server, and as whom it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where it is, such as `http://127.0.0.1:12750`.
    pub url: String,
    /// The file with the token of a user, if there are users.
    pub token_file: Option<PathBuf>,
}

impl Server {
    /// Asks for what is at a path.
    ///
    /// # Errors
    /// If the server cannot be asked, or refuses; it says why.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        let request = agent().get(self.at(path));
        let request = match self.token()? {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.call())
    }

    /// Sends a value to a path.
    ///
    /// # Errors
    /// Those of [`Server::get`].
    pub fn post(&self, path: &str, value: &Value) -> Result<Value, ClientError> {
        let request = agent().post(self.at(path)).content_type("application/json");
        let request = match self.token()? {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.send(value.to_string()))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    fn token(&self) -> Result<Option<String>, ClientError> {
        self.token_file.as_deref().map(read_token).transpose()
    }

    fn answer(&self, answered: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, ClientError> {
        let failed = |why: String| ClientError::Http { url: self.url.clone(), why };
        let mut response = answered.map_err(|error| failed(format!("{error}; is it running?")))?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| failed(error.to_string()))?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        match (response.status().is_success(), value) {
            (true, Some(value)) => Ok(value),
            (true, None) => Err(failed("what it says is no JSON: is it a server of the herd?".to_owned())),
            (false, value) => {
                let why = value.as_ref().and_then(|value| value["detail"].as_str());
                Err(failed(why.map_or_else(|| response.status().to_string(), str::to_owned)))
            }
        }
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().timeout_global(Some(ANSWER_TIME_MAX)).http_status_as_error(false);
    config.build().into()
}

fn read_token(path: &Path) -> Result<String, ClientError> {
    let unreadable = |why: String| ClientError::TokenFile { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let token = text.trim();
    let is_token =
        !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|it| it.is_ascii_graphic());
    is_token.then(|| token.to_owned()).ok_or_else(|| unreadable("it holds no token on one line".to_owned()))
}
