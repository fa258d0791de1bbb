//! `google-legacy`: the Nearby Search of the older Google Places API, whose answers are ours, unchanged. Its source is
//! Google Maps Platform (developers.google.com/maps/documentation/places/web-service/legacy), whose terms forbid to
//! keep answers.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::places::answer::Answer;
use crate::places::error::PlacesError;
use crate::places::found::Found;
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Health, Request, object, percent_encoded};
use crate::proto::line::query::NearbyQuery;

pub(super) const PROVIDER: Provider = Provider {
    name: "google-legacy",
    argument: None,
    about: None,
    source: Source::Network(ProviderApi {
        base: "https://maps.googleapis.com",
        path: "/maps/api/place/nearbysearch/json",
        also: &[],
        policy: UsagePolicy {
            needs_key: true,
            calls_max: None,
            waiting_max: 0,
            retries: 1,
            may_cache: false,
            pause_min: Duration::ZERO,
            // At the list price of a thousand calls, some 32 dollars, that is as much a day.
            calls_per_minute: Some(60),
            calls_per_day: Some(1_000),
            attributions: &[],
        },
        circles: None,
        request,
        parse,
        #[cfg(test)]
        recorded: include_str!("../../tests/places/legacy-ok.json"),
    }),
};

fn request(endpoint: &str, key: &str, near: &NearbyQuery) -> Request {
    let NearbyQuery { latitude, longitude, radius_m } = near;
    // Adding zero makes a negative zero positive. Rust prints degrees without an exponent.
    let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
    let query = format!("location={latitude},{longitude}&radius={radius_m}&key={}", percent_encoded(key));
    Request { url: format!("{endpoint}?{query}"), headers: Vec::new(), body: None }
}

fn parse(_near: &NearbyQuery, text: &str) -> Result<Parsed, PlacesError> {
    let (answer, status) = match Answer::check(text.to_owned()) {
        Ok(checked) => checked,
        Err(why) => {
            // Without a list of results it can only say that there are none.
            let empty = object::<Empty>(text).ok().filter(|empty| empty.results.is_none());
            let none = empty.and_then(|empty| empty.status).filter(|status| status == "ZERO_RESULTS");
            return none.map(|_| Parsed::Places(Found::default())).ok_or(why.into());
        }
    };
    // Google's advice for this one is to ask again; the others would be the same again.
    let failed = status.as_deref() == Some("UNKNOWN_ERROR");
    Ok(Parsed::Answer(answer, if failed { Health::Unwell } else { Health::Well }))
}

#[derive(Deserialize)]
struct Empty {
    status: Option<String>,
    results: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::{Health, NearbyQuery, PlacesError};
    use crate::places::over_http::{NEAR, read, request, terms};

    #[test]
    fn the_policy_is_what_the_terms_say() {
        let expected = "key true, at once None, waiting 0, retries 1, cached false, \
                        pause 0ns, 60 a minute, 1000 a day, []";
        assert_eq!(terms("google-legacy"), expected);
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let asked = request("google-legacy", "AIza-secret", &NEAR);
        assert_eq!(
            asked.url,
            "https://maps.googleapis.com/maps/api/place/nearbysearch/json\
             ?location=34.06893,-118.445127&radius=10000&key=AIza-secret"
        );
        assert!(asked.headers.is_empty() && asked.body.is_none());
        let tiny = NearbyQuery { latitude: -0.0, longitude: 1e-7, radius_m: 1_000 };
        let url = request("google-legacy", "&key=a+b%", &tiny).url;
        assert!(url.ends_with("?location=0,0.0000001&radius=1000&key=%26key%3Da%2Bb%25"), "{url}");
    }

    #[test]
    fn recorded_answers_pass_unchanged() {
        use Health::{Unwell, Well};
        for (text, health) in [
            (include_str!("../../tests/places/legacy-ok.json"), Well),
            (include_str!("../../tests/places/legacy-zero_results.json"), Well),
            (include_str!("../../tests/places/legacy-invalid_request.json"), Well),
            (include_str!("../../tests/places/legacy-over_query_limit.json"), Well),
            (include_str!("../../tests/places/legacy-request_denied.json"), Well),
            (include_str!("../../tests/places/legacy-unknown_error.json"), Unwell),
        ] {
            let reading = read("google-legacy", 200, text);
            assert_eq!(reading.result.unwrap().as_str(), text);
            assert_eq!(reading.health, health, "{text}");
        }
    }

    #[test]
    fn nothing_found_may_come_without_results() {
        for text in [r#"{"status":"ZERO_RESULTS"}"#, r#"{"status":"ZERO_RESULTS","results":null}"#] {
            let answer = read("google-legacy", 200, text).result.unwrap();
            assert!(
                answer.as_str().contains("ZERO_RESULTS") && answer.as_str().contains("results"),
                "{answer}"
            );
        }
        for text in [r#"{"status":"OK"}"#, r#"{"status":"ZERO_RESULTS","results":{}}"#] {
            assert!(read("google-legacy", 200, text).result.is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let error = |status, text| read("google-legacy", status, text).result.unwrap_err();
        assert!(matches!(error(200, "<html>"), PlacesError::Garbage(_)));
        assert!(matches!(error(200, "{}"), PlacesError::Garbage(_)));
        assert!(matches!(error(200, ""), PlacesError::Garbage(_)));
        let long = format!(r#"{{"results":"{}"}}"#, "x".repeat(5_000));
        assert!(error(200, &long).to_string().len() < 500, "the client need not hear all of it");
        assert!(matches!(error(403, ""), PlacesError::Denied(_)));
        assert!(matches!(error(400, ""), PlacesError::Invalid(_)));
        assert!(matches!(error(429, ""), PlacesError::OverLimit(_)));
        assert_eq!(error(503, "<html>"), PlacesError::Failed("HTTP status 503".into()));
        assert_eq!(error(302, ""), PlacesError::Status("HTTP status 302".into()));
        assert_eq!(read("google-legacy", 503, "").health, Health::Unwell);
        assert_eq!(read("google-legacy", 403, "").health, Health::Well);
    }
}
