//! What a provider's interface and the network say to each other: plain values.

use std::time::Duration;

use serde::Deserialize;

use super::error::PlacesError;
use super::said::Said;
use crate::proto::line::query::NearbyQuery;

/// A question as something that can be compared: equal ones are one call, and share a cached answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question([u64; 3]);

impl From<&NearbyQuery> for Question {
    fn from(near: &NearbyQuery) -> Question {
        // Adding zero makes a negative zero positive; both are the same place.
        let bits = |degrees: f64| (degrees + 0.0).to_bits();
        Question([bits(near.latitude), bits(near.longitude), u64::from(near.radius_m)])
    }
}

/// One HTTP request. It may hold the key, in its address or a header, and so is never printed.
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// A body makes it a POST.
    pub(crate) body: Option<String>,
}

/// One HTTP response, read to its end.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// From a `Retry-After` header in seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Where a redirection points.
    pub(crate) location: Option<String>,
    pub(crate) text: String,
}

impl Reply {
    /// A reply with these bytes as its body, which must be text if they are an answer: of a refusal the status counts.
    pub(crate) fn new(
        status: u16,
        retry_after: Option<Duration>,
        body: Vec<u8>,
    ) -> Result<Reply, PlacesError> {
        let text = match (String::from_utf8(body), status) {
            // A byte order mark, as some programs write, is no part of JSON.
            (Ok(text), _) if text.starts_with('\u{feff}') => text.trim_start_matches('\u{feff}').to_owned(),
            (Ok(text), _) => text,
            (Err(_), 200) => return Err(PlacesError::Garbage("not UTF-8".to_owned())),
            (Err(_), _) => String::new(),
        };
        Ok(Reply { status, retry_after, text, ..Reply::default() })
    }

    /// Takes the key out of all that it says.
    pub(crate) fn blot_out(&mut self, key: &str) {
        for text in [Some(&mut self.text), self.location.as_mut()].into_iter().flatten() {
            for key in [key, &percent_encoded(key)] {
                if text.contains(key) {
                    *text = text.replace(key, KEY_BLOT);
                }
            }
        }
    }
}

/// Stands in a provider's text in place of our key, should the provider repeat it.
const KEY_BLOT: &str = "(hidden)";

/// Reads a JSON object. A derived struct alone would take an array too, and find nothing missing in it.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, PlacesError> {
    if !text.trim_start().starts_with('{') {
        return Err(PlacesError::Garbage("it is no JSON object".to_owned()));
    }
    Ok(serde_json::from_str(text)?)
}

/// For the value of a query in an address; a real key needs nothing of it.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What a reply means.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    pub(crate) result: Result<T, PlacesError>,
    pub(crate) health: Health,
}

/// What an attempt says about the provider's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It works, even if it refused this question.
    Well,
    /// It failed. Another attempt may succeed.
    Unwell,
    /// It was asked too often, and wants no calls for so long.
    AsksForSilence(Duration),
}

impl<T> Reading<T> {
    /// The provider works, and this is what it says.
    pub(crate) fn well(result: Result<T, PlacesError>) -> Reading<T> {
        Reading { result, health: Health::Well }
    }

    /// The provider failed.
    pub(crate) fn unwell(error: PlacesError) -> Reading<T> {
        Reading { result: Err(error), health: Health::Unwell }
    }

    /// What a reply that is no answer means: what the provider itself says, in Google's words or in HTTP's. 4xx is our
    /// fault, 5xx is the provider's.
    pub(crate) fn of_refusal(reply: &Reply) -> Reading<T> {
        let said = Said::of(&reply.text);
        let code = if reply.status == 200 { said.code.unwrap_or_default() } else { reply.status };
        if let (300..=399, Some(location)) = (code, &reply.location) {
            return Reading::unwell(PlacesError::Redirected(code, location.clone()));
        }
        let status = (reply.status != 200).then(|| format!("HTTP status {}", reply.status));
        let status = status.into_iter().chain(Some(said.status.clone()).filter(|word| !word.is_empty()));
        let status = status.collect::<Vec<_>>().join(", ");
        let said_words = [status, said.message].into_iter().filter(|words| !words.is_empty());
        let words = PlacesError::words(&said_words.collect::<Vec<_>>().join(": "));
        let too_often = Health::AsksForSilence(reply.retry_after.unwrap_or_default());
        match (said.status.as_str(), code) {
            // A wrong key comes as a wrong argument; only the details tell.
            ("INVALID_ARGUMENT", _) if said.bad_key => Reading::well(Err(PlacesError::Denied(words))),
            ("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "INVALID_REQUEST", _) => {
                Reading::well(Err(PlacesError::Invalid(words)))
            }
            ("PERMISSION_DENIED" | "UNAUTHENTICATED" | "REQUEST_DENIED", _) => {
                Reading::well(Err(PlacesError::Denied(words)))
            }
            ("RESOURCE_EXHAUSTED" | "OVER_QUERY_LIMIT" | "OVER_DAILY_LIMIT", _) | (_, 429) => {
                Reading { result: Err(PlacesError::OverLimit(words)), health: too_often }
            }
            (_, 400) => Reading::well(Err(PlacesError::Invalid(words))),
            (_, 401 | 403 | 406) => Reading::well(Err(PlacesError::Denied(words))),
            (_, 500..=599) => Reading::unwell(PlacesError::Failed(words)),
            _ if reply.status == 200 => Reading::unwell(PlacesError::Failed(words)),
            _ => Reading::unwell(PlacesError::Status(words)),
        }
    }
}
