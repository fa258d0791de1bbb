//! `google`: the Nearby Search of Google Places API (New), mapped to the legacy shape. Its source is Google Maps
//! Platform (developers.google.com/maps/documentation/places), whose terms forbid to keep answers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::places::error::PlacesError;
use crate::places::place::{Place, is_on_the_globe};
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Reading, Reply, Request, object};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

pub(super) const PROVIDER: Provider = Provider {
    name: "google",
    argument: None,
    about: None,
    source: Source::Network(ProviderApi {
        base: "https://places.googleapis.com",
        path: "/v1/places:searchNearby",
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
        request,
        parse,
        refusal,
        #[cfg(test)]
        recorded: include_str!("../../tests/places/google-ok.json"),
    }),
};

/// The fields that an answer is made of. Google demands the list, and bills by what is in it.
const FIELD_MASK: &str = "places.id,places.displayName,places.formattedAddress,places.location,places.types";

fn request(endpoint: &str, key: &str, near: &NearbyQuery) -> Request {
    let text = json!({
        "maxResultCount": PLACES_MAX,
        "rankPreference": "DISTANCE",
        "locationRestriction": {
            "circle": {
                "center": { "latitude": near.latitude + 0.0, "longitude": near.longitude + 0.0 },
                "radius": f64::from(near.radius_m),
            }
        }
    });
    Request {
        url: endpoint.to_owned(),
        headers: vec![
            ("Content-Type", "application/json".to_owned()),
            ("X-Goog-Api-Key", key.to_owned()),
            ("X-Goog-FieldMask", FIELD_MASK.to_owned()),
        ],
        body: Some(text.to_string()),
    }
}

fn parse(_near: &NearbyQuery, text: String) -> Result<Parsed, PlacesError> {
    let found: Found = object(&text)?;
    let places = found.places.into_iter().take(usize::from(PLACES_MAX)).filter_map(place);
    Ok(Parsed::Places(places.collect()))
}

/// An answer with places; `{}` when there is none.
#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    places: Vec<NewPlace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewPlace {
    id: String,
    display_name: Option<DisplayName>,
    formatted_address: Option<String>,
    location: Option<LatLng>,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Deserialize)]
struct DisplayName {
    text: String,
}

/// Google leaves a coordinate out when it is zero, as its format does with every default.
#[derive(Deserialize)]
struct LatLng {
    #[serde(default)]
    latitude: f64,
    #[serde(default)]
    longitude: f64,
}

/// An error, as all of Google's newer interfaces send it.
#[derive(Default, Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Default, Deserialize)]
struct RefusalError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    reason: String,
}

/// A place in the legacy words; one without a point on the globe has none.
fn place(found: NewPlace) -> Option<Place> {
    let LatLng { latitude, longitude } = found.location?;
    is_on_the_globe(latitude, longitude).then(|| Place {
        id: found.id,
        name: found.display_name.map(|name| name.text).unwrap_or_default(),
        latitude,
        longitude,
        types: found.types,
        vicinity: found.formatted_address,
    })
}

fn refusal(reply: &Reply) -> Reading {
    let Refusal { error } = object(&reply.text).unwrap_or_default();
    let words = PlacesError::words(&error.message);
    let bad_key = error.details.iter().any(|detail| detail.reason == "API_KEY_INVALID");
    match error.status.as_str() {
        // A wrong key comes as a wrong argument; only the details tell.
        "INVALID_ARGUMENT" if bad_key => Reading::well(Err(PlacesError::Denied(words))),
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => {
            Reading::well(Err(PlacesError::Invalid(words)))
        }
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => Reading::well(Err(PlacesError::Denied(words))),
        _ => Reading::of_status(reply, &words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Duration, UsagePolicy, json};
    use crate::places::error::PlacesError;
    use crate::places::over_http::{NEAR, policy, read, read_after, request};
    use crate::places::request::Health;

    #[test]
    fn the_policy_is_what_the_terms_say() {
        let UsagePolicy {
            needs_key,
            calls_max,
            waiting_max,
            retries,
            may_cache,
            pause_min,
            calls_per_minute,
            calls_per_day,
            attributions,
        } = policy("google");
        assert_eq!((calls_per_minute, calls_per_day), (Some(60), Some(1_000)));
        assert_eq!((needs_key, calls_max, waiting_max, retries), (true, None, 0, 1));
        assert_eq!((may_cache, pause_min, attributions), (false, Duration::ZERO, &[][..]));
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let request = request("google", "AIza-secret", &NEAR);
        assert_eq!(request.url, "https://places.googleapis.com/v1/places:searchNearby");
        assert_eq!(request.headers[0], ("Content-Type", "application/json".to_owned()));
        assert_eq!(request.headers[1], ("X-Goog-Api-Key", "AIza-secret".to_owned()));
        assert_eq!(request.headers[2].0, "X-Goog-FieldMask");
        assert_eq!(
            request.body.unwrap(),
            concat!(
                r#"{"maxResultCount":20,"rankPreference":"DISTANCE","locationRestriction":{"circle":{"center":"#,
                r#"{"latitude":34.06893,"longitude":-118.445127},"radius":10000.0}}}"#
            )
        );
    }

    #[test]
    fn an_answer_is_mapped_to_the_legacy_shape() {
        let answer = read("google", 200, include_str!("../../tests/places/google-ok.json")).result.unwrap();
        let value: Value = serde_json::from_str(answer.as_str()).unwrap();
        let expected = json!({
            "html_attributions": [],
            "results": [
                {
                    "geometry": { "location": { "lat": 34.06892, "lng": -118.4451811 } },
                    "name": "University of California, Los Angeles",
                    "place_id": "ChIJZa6ezJa8woAR7ykk3ErbJfQ",
                    "types": ["university", "point_of_interest", "establishment"],
                    "vicinity": "Los Angeles, CA 90095, USA",
                },
                {
                    "geometry": { "location": { "lat": 51.4779, "lng": 0.0 } },
                    "name": "A place on the prime meridian",
                    "place_id": "ChIJ0Null",
                    "types": [],
                },
            ],
            "status": "OK",
        });
        assert_eq!(value, expected);
        let answer =
            read("google", 200, include_str!("../../tests/places/google-empty.json")).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS"), "{answer}");
    }

    #[test]
    fn every_recorded_error_has_its_google_status() {
        use Health::{Unwell, Well};
        let case = |status, text, google_status, health| {
            let reading = read("google", status, text);
            let error = reading.result.unwrap_err();
            assert_eq!((error.google_status(), reading.health), (google_status, health), "{error}");
            // The words that Google uses to say it reach the client.
            let value: Value = serde_json::from_str(text).unwrap();
            let words = value["error"]["message"].as_str().unwrap();
            assert!(status == 404 || error.to_string().contains(words), "{error}");
        };
        let invalid = "INVALID_REQUEST";
        case(400, include_str!("../../tests/places/google-400-invalid_argument.json"), invalid, Well);
        case(400, include_str!("../../tests/places/google-400-failed_precondition.json"), invalid, Well);
        case(400, include_str!("../../tests/places/google-400-out_of_range.json"), invalid, Well);
        let denied = "REQUEST_DENIED";
        case(400, include_str!("../../tests/places/google-400-bad_key.json"), denied, Well);
        case(401, include_str!("../../tests/places/google-401-unauthenticated.json"), denied, Well);
        case(403, include_str!("../../tests/places/google-403-permission_denied.json"), denied, Well);
        let unknown = "UNKNOWN_ERROR";
        case(404, include_str!("../../tests/places/google-404-not_found.json"), unknown, Unwell);
        case(500, include_str!("../../tests/places/google-500-internal.json"), unknown, Unwell);
        case(503, include_str!("../../tests/places/google-503-unavailable.json"), unknown, Unwell);
        case(504, include_str!("../../tests/places/google-504-deadline_exceeded.json"), unknown, Unwell);
        let over = "OVER_QUERY_LIMIT";
        case(429, include_str!("../../tests/places/google-429-resource_exhausted.json"), over, Well);
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["", "[]x", "<html>", r#"{"places":3}"#, r#"{"places":[{"id":5}]}"#] {
            assert!(matches!(read("google", 200, text).result, Err(PlacesError::Garbage(_))), "{text}");
        }
        assert_eq!(read("google", 502, "<html>").result, Err(PlacesError::Failed("HTTP status 502".into())));
        let reading = read_after("google", 429, Some(Duration::from_secs(7)), "");
        assert_eq!(reading.health, Health::AsksForSilence(Duration::from_secs(7)));
    }

    #[test]
    fn a_place_off_the_globe_is_left_out() {
        let one = |longitude: f64| {
            format!(r#"{{"id":"x","location":{{"latitude":34.06892,"longitude":{longitude}}}}}"#)
        };
        let text = format!("{{\"places\":[{},{}]}}", one(-379.4451811), one(-118.4));
        let value: Value = serde_json::from_str(read("google", 200, &text).result.unwrap().as_str()).unwrap();
        assert_eq!(value["results"].as_array().unwrap().len(), 1);
        assert_eq!(value["results"][0]["geometry"]["location"]["lng"], -118.4);
    }

    #[test]
    fn more_places_than_asked_for_are_left_out() {
        let one = r#"{"id":"x","displayName":{"text":"y"},"location":{"latitude":1,"longitude":2}}"#;
        let text = format!("{{\"places\":[{}]}}", vec![one; 50].join(","));
        let answer = read("google", 200, &text).result.unwrap();
        let value: Value = serde_json::from_str(answer.as_str()).unwrap();
        assert_eq!(value["results"].as_array().unwrap().len(), 20);
    }
}
