//! What a provider's interface and the network say to each other: plain values.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::error::PlacesError;
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
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// From a `Retry-After` header in seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) text: String,
}

impl Reply {
    /// A reply with these bytes as its body, which must be text.
    pub(crate) fn new(
        status: u16,
        retry_after: Option<Duration>,
        body: Vec<u8>,
    ) -> Result<Reply, PlacesError> {
        let text = String::from_utf8(body).map_err(|_| PlacesError::Garbage("not UTF-8".to_owned()))?;
        Ok(Reply { status, retry_after, text })
    }
}

/// Reads a JSON object. A derived struct alone would take an array too, and find nothing missing in it.
pub(crate) fn object<T: DeserializeOwned>(text: &str) -> Result<T, PlacesError> {
    if !text.trim_start().starts_with('{') {
        return Err(PlacesError::Garbage("it is no JSON object".to_owned()));
    }
    Ok(serde_json::from_str(text)?)
}

/// What a reply means.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) result: Result<Answer, PlacesError>,
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

impl Reading {
    /// The provider works, and this is what it says.
    pub(crate) fn well(result: Result<Answer, PlacesError>) -> Reading {
        Reading { result, health: Health::Well }
    }

    /// The provider failed.
    pub(crate) fn unwell(error: PlacesError) -> Reading {
        Reading { result: Err(error), health: Health::Unwell }
    }

    /// What an HTTP status means when the provider itself says no more about it: 4xx is our fault, 5xx is the
    /// provider's.
    pub(crate) fn of_status(reply: &Reply, words: &str) -> Reading {
        let words = if words.is_empty() { format!("HTTP status {}", reply.status) } else { words.to_owned() };
        match reply.status {
            400 => Reading::well(Err(PlacesError::Invalid(words))),
            401 | 403 | 406 => Reading::well(Err(PlacesError::Denied(words))),
            429 => Reading {
                result: Err(PlacesError::OverLimit(words)),
                health: Health::AsksForSilence(reply.retry_after.unwrap_or_default()),
            },
            500..=599 => Reading::unwell(PlacesError::Failed(words)),
            other => Reading::unwell(PlacesError::Status(other)),
        }
    }
}
