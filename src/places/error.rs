//! What can go wrong with places: at a question, and when a provider is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::answer::Answer;

/// The most characters of a provider's own words that are passed on to a client.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a question has no answer. The text of every case is fit for a client: it never holds the key, nor an
/// address but the one that a provider itself points to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacesError {
    /// The provider turned us away: a bad key, an interface that is not enabled, no `User-Agent`. Asking
    /// again will not help.
    #[error("the provider of places refused the request: {0}")]
    Denied(String),
    /// The provider says that the question itself is wrong.
    #[error("the provider of places did not understand the request: {0}")]
    Invalid(String),
    /// The provider says that it was asked too much.
    #[error("the provider of places was asked too often: {0}")]
    OverLimit(String),
    /// The provider asked for a pause, which is not over. Nothing was sent.
    #[error("the provider of places was asked too often: try again in {0} s")]
    Silent(u64),
    /// As many calls as allowed are under way already. Nothing was sent.
    #[error("too many questions about places at once: try again in a moment")]
    Busy,
    /// This connection has asked so often within a minute, and must wait so many seconds. Nothing was sent.
    #[error("more than {0} questions about places within a minute on one connection: try again in {1} s")]
    RateLimited(u32, u64),
    /// The address of this connection has asked so often within a minute, and must wait so many seconds. Nothing was
    /// sent.
    #[error("more than {0} questions about places within a minute from one address: try again in {1} s")]
    AddressLimited(u32, u64),
    /// The server has called the provider so often within this span, and may again in so many seconds. Nothing was
    /// sent.
    #[error("this server may ask the provider of places {0} times within a {1}: try again in {2} s")]
    OverBudget(u32, &'static str, u64),
    /// The breaker is open: the provider failed several times in a row and is not called for a while. Nothing was
    /// sent.
    #[error("the provider of places has failed repeatedly and is given {0} s to recover")]
    Open(u64),
    /// No whole answer in time, whichever part of the call was slow.
    #[error("the provider of places gave no answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// The provider itself gave up on the question (its own time-out, an overload, a failure).
    #[error("the provider of places failed: {0}")]
    Failed(String),
    /// No connection: refused, no such host, a certificate that is not trusted.
    #[error("the provider of places cannot be reached: {0}")]
    Unreachable(String),
    /// The connection ended before the answer did.
    #[error("the answer of the provider of places was cut off")]
    CutOff,
    /// The answer is larger than any real one.
    #[error("the answer of the provider of places is longer than {0} bytes")]
    TooLong(u64),
    /// An answer came that is not what the provider documents.
    #[error("the answer of the provider of places makes no sense: {0}")]
    Garbage(String),
    /// An HTTP status that the provider does not document, and what it says with it.
    #[error("the provider of places answered with {0}")]
    Status(String),
    /// An HTTP status that points elsewhere, and where. It is not followed, because the key would go there too.
    #[error(
        "the provider of places answered with HTTP status {0}: --places-url should be {1} if that is right"
    )]
    Redirected(u16, String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

impl PlacesError {
    /// The `status` of a Nearby Search answer that comes nearest.
    pub fn google_status(&self) -> &'static str {
        match self {
            PlacesError::Denied(_) => "REQUEST_DENIED",
            PlacesError::Invalid(_) => "INVALID_REQUEST",
            PlacesError::OverLimit(_)
            | PlacesError::Silent(_)
            | PlacesError::Busy
            | PlacesError::RateLimited(..)
            | PlacesError::AddressLimited(..)
            | PlacesError::OverBudget(..) => "OVER_QUERY_LIMIT",
            PlacesError::Open(_)
            | PlacesError::TooSlow(_)
            | PlacesError::Failed(_)
            | PlacesError::Unreachable(_)
            | PlacesError::CutOff
            | PlacesError::TooLong(_)
            | PlacesError::Garbage(_)
            | PlacesError::Status(_)
            | PlacesError::Redirected(..)
            | PlacesError::Stopped => "UNKNOWN_ERROR",
        }
    }

    /// What the client gets in place of an answer: the same shape, no results, the reason.
    pub fn to_answer(&self) -> Answer {
        Answer::failure(self.google_status(), &self.to_string())
    }

    /// A provider's own words, shortened to what a client can use.
    pub(crate) fn words(text: &str) -> String {
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        plain.take(MESSAGE_CHARS_MAX).collect::<String>().trim().to_owned()
    }
}

/// An answer that could not be read, with the reader's words.
impl From<serde_json::Error> for PlacesError {
    fn from(why: serde_json::Error) -> PlacesError {
        PlacesError::Garbage(PlacesError::words(&why.to_string()))
    }
}

/// Why a provider could not be opened: one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The word after `--places` is none that is known, with the words that are. The case holds a text because
    /// the table of providers, which lists the words, uses this file.
    #[error("--places: {0}")]
    BadChoice(String),
    /// A provider that needs the Google key was chosen, and there is no key.
    #[error("places: {0} needs a key: set PROXYHERD_GOOGLE_KEY or give --google-key-file")]
    NoKey(&'static str),
    /// The key is there but cannot be one.
    #[error("places: the Google key from {0} {1}")]
    BadKey(String, &'static str),
    /// A file that was named cannot be read, with the operating system's words.
    #[error("places: cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    /// A file of places is not what it should be, in what and where.
    #[error("places: {}: {}", .0.display(), .1)]
    BadFile(PathBuf, String),
    /// `--places-url` is not the address of a server.
    #[error("places: --places-url: {0}")]
    BadUrl(String),
    /// `--places-ca` or `--places-url` with a provider that makes no calls.
    #[error("places: {0} has no meaning with --places {1}, which makes no calls: leave it out")]
    Unused(&'static str, String),
    /// `--places-name-field` with a provider that reads no file.
    #[error("places: --places-name-field is for a file of places, not for --places {0}: leave it out")]
    NoNameField(String),
    /// The file of `--places-ca` holds no certificate that can be used.
    #[error("places: --places-ca: no usable PEM certificate in {}", .0.display())]
    BadCa(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_an_answer_in_the_shape_of_google() {
        let all = [
            (PlacesError::Denied("x".into()), "REQUEST_DENIED"),
            (PlacesError::Invalid("x".into()), "INVALID_REQUEST"),
            (PlacesError::OverLimit("x".into()), "OVER_QUERY_LIMIT"),
            (PlacesError::Silent(30), "OVER_QUERY_LIMIT"),
            (PlacesError::Busy, "OVER_QUERY_LIMIT"),
            (PlacesError::RateLimited(60, 9), "OVER_QUERY_LIMIT"),
            (PlacesError::AddressLimited(60, 9), "OVER_QUERY_LIMIT"),
            (PlacesError::OverBudget(60, "day", 9), "OVER_QUERY_LIMIT"),
            (PlacesError::Open(10), "UNKNOWN_ERROR"),
            (PlacesError::TooSlow(Duration::from_secs(5)), "UNKNOWN_ERROR"),
            (PlacesError::Failed("x".into()), "UNKNOWN_ERROR"),
            (PlacesError::Unreachable("x".into()), "UNKNOWN_ERROR"),
            (PlacesError::CutOff, "UNKNOWN_ERROR"),
            (PlacesError::TooLong(9), "UNKNOWN_ERROR"),
            (PlacesError::Garbage("x".into()), "UNKNOWN_ERROR"),
            (PlacesError::Status("HTTP status 418".into()), "UNKNOWN_ERROR"),
            (PlacesError::Redirected(301, "https://x".into()), "UNKNOWN_ERROR"),
            (PlacesError::Stopped, "UNKNOWN_ERROR"),
        ];
        for (error, status) in all {
            let (answer, seen) = Answer::check(error.to_answer().as_str().to_owned()).unwrap();
            assert_eq!(seen.as_deref(), Some(status), "{error}");
            let value: serde_json::Value = serde_json::from_str(answer.as_str()).unwrap();
            assert_eq!(value["error_message"], error.to_string());
            assert_eq!(value["html_attributions"], serde_json::json!([]));
        }
    }

    #[test]
    fn words_of_a_provider_become_one_short_line() {
        assert_eq!(PlacesError::words(" a\r\nb\u{7} "), "a  b");
        assert_eq!(PlacesError::words(&"é".repeat(5000)).chars().count(), MESSAGE_CHARS_MAX);
    }
}
