//! Google Places, the legacy Nearby Search: its answers are ours, unchanged.

use super::key::Key;
use super::request::{Health, Reading, Reply, Request, Rules, Terms};
use super::{Answer, PlacesError};
use crate::proto::line::query::NearbyQuery;

/// Google's own address.
pub(super) const BASE: &str = "https://maps.googleapis.com";
/// Where the interface is on it.
pub(super) const PATH: &str = "/maps/api/place/nearbysearch/json";

/// The rules of the legacy interface.
pub(super) struct GoogleLegacy {
    /// The whole address, without a query.
    pub(super) endpoint: String,
    pub(super) key: Key,
}

impl Rules for GoogleLegacy {
    fn request(&self, near: &NearbyQuery) -> Request {
        let NearbyQuery { latitude, longitude, radius_m } = near;
        // Adding zero makes a negative zero positive. Rust prints degrees without an exponent.
        let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
        let key = percent_encoded(self.key.reveal());
        let query = format!("location={latitude},{longitude}&radius={radius_m}&key={key}");
        Request { url: format!("{}?{query}", self.endpoint), headers: Vec::new(), body: None }
    }

    fn read(&self, _near: &NearbyQuery, reply: Reply) -> Reading {
        read(reply)
    }

    fn terms(&self) -> Terms {
        Terms { calls_max: None, waiting_max: 0, retries: 1, may_cache: false }
    }
}

/// What a reply means; the key has no part in it.
pub(super) fn read(reply: Reply) -> Reading {
    if reply.status != 200 {
        return Reading::of_status(&reply, "");
    }
    match Answer::check(reply.text) {
        Ok((answer, status)) => {
            // Google's advice for this one is to ask again; the others would be the same again.
            let failed = status.as_deref() == Some("UNKNOWN_ERROR");
            let health = if failed { Health::Unwell } else { Health::Well };
            Reading { result: Ok(answer), health }
        }
        Err(why) => Reading::unwell(PlacesError::Garbage(PlacesError::words(&why.to_string()))),
    }
}

/// For a query's value; a real key needs nothing of it.
fn percent_encoded(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: NearbyQuery = NearbyQuery { latitude: 34.068_93, longitude: -118.445_127, radius_m: 10_000 };

    fn rules(key: &str) -> GoogleLegacy {
        GoogleLegacy { endpoint: format!("{BASE}{PATH}"), key: Key::parse(key, "here").unwrap() }
    }

    fn read(status: u16, text: &str) -> Reading {
        rules("AIza-secret").read(&NEAR, Reply { status, retry_after: None, text: text.to_owned() })
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let request = rules("AIza-secret").request(&NEAR);
        assert_eq!(
            request.url,
            "https://maps.googleapis.com/maps/api/place/nearbysearch/json\
             ?location=34.06893,-118.445127&radius=10000&key=AIza-secret"
        );
        assert!(request.headers.is_empty() && request.body.is_none());
        let tiny = NearbyQuery { latitude: -0.0, longitude: 1e-7, radius_m: 1_000 };
        let url = rules("&key=a+b%").request(&tiny).url;
        assert!(url.ends_with("?location=0,0.0000001&radius=1000&key=%26key%3Da%2Bb%25"), "{url}");
    }

    #[test]
    fn every_recorded_answer_passes_unchanged() {
        use Health::{Unwell, Well};
        for (text, health) in [
            (include_str!("../tests/places/legacy-ok.json"), Well),
            (include_str!("../tests/places/legacy-zero_results.json"), Well),
            (include_str!("../tests/places/legacy-invalid_request.json"), Well),
            (include_str!("../tests/places/legacy-over_query_limit.json"), Well),
            (include_str!("../tests/places/legacy-request_denied.json"), Well),
            (include_str!("../tests/places/legacy-unknown_error.json"), Unwell),
        ] {
            let reading = read(200, text);
            assert_eq!(reading.result.unwrap().as_str(), text);
            assert_eq!(reading.health, health, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let error = |status, text| read(status, text).result.unwrap_err();
        assert!(matches!(error(200, "<html>"), PlacesError::Garbage(_)));
        assert!(matches!(error(200, "{}"), PlacesError::Garbage(_)));
        assert!(matches!(error(200, ""), PlacesError::Garbage(_)));
        let long = format!(r#"{{"results":"{}"}}"#, "x".repeat(5_000));
        assert!(error(200, &long).to_string().len() < 500, "the client need not hear all of it");
        assert!(matches!(error(403, ""), PlacesError::Denied(_)));
        assert!(matches!(error(400, ""), PlacesError::Invalid(_)));
        assert!(matches!(error(429, ""), PlacesError::OverLimit(_)));
        assert_eq!(error(503, "<html>"), PlacesError::Failed("HTTP status 503".into()));
        assert_eq!(error(302, ""), PlacesError::Status(302));
        assert_eq!(read(503, "").health, Health::Unwell);
        assert_eq!(read(403, "").health, Health::Well);
    }
}
