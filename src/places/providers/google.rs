//! `google`: the Nearby Search of Google Places API (New), mapped to the legacy shape. Its source is Google Maps
//! Platform (developers.google.com/maps/documentation/places), whose terms forbid to keep answers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::places::error::PlacesError;
use crate::places::found::Found;
use crate::places::place::{Place, on_the_globe};
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Request, object};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

pub(super) const PROVIDER: Provider = Provider {
    name: "google",
    argument: None,
    about: None,
    source: Source::Network(ProviderApi {
        base: "https://places.googleapis.com",
        path: "/v1/places:searchNearby",
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

fn parse(_near: &NearbyQuery, text: &str) -> Result<Parsed, PlacesError> {
    let answer: Places<'_> = object(text)?;
    if !answer.error.is_null() {
        return Err(PlacesError::Garbage("it is an error".to_owned()));
    }
    let mut found = Found::read(&answer.places.unwrap_or_default(), place);
    found.places.truncate(usize::from(PLACES_MAX));
    Ok(Parsed::Places(found))
}

/// An answer with places; `{}` when there is none.
#[derive(Deserialize)]
struct Places<'a> {
    #[serde(borrow)]
    places: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewPlace {
    id: Option<String>,
    display_name: Option<DisplayName>,
    formatted_address: Option<String>,
    location: Option<LatLng>,
    types: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct DisplayName {
    text: Option<String>,
}

/// Google leaves a coordinate out when it is zero, as its format does with every default.
#[derive(Deserialize)]
struct LatLng {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// A place in the legacy words.
fn place(found: NewPlace) -> Result<Place, &'static str> {
    let given = |text: &String| !text.trim().is_empty();
    let id = found.id.filter(given).ok_or("no id")?;
    let name = found.display_name.and_then(|name| name.text).filter(given).ok_or("no name")?;
    let LatLng { latitude, longitude } = found.location.ok_or("no location")?;
    let (latitude, longitude) = (latitude.unwrap_or_default(), longitude.unwrap_or_default());
    let (latitude, longitude) =
        on_the_globe(latitude, longitude).ok_or("a location that is not on the globe")?;
    let types = found.types.unwrap_or_default().into_iter().flatten().collect();
    Ok(Place { id, name, latitude, longitude, types, vicinity: found.formatted_address })
}

#[cfg(test)]
mod tests {
    use super::{Duration, Value, json};
    use crate::places::error::PlacesError;
    use crate::places::over_http::{NEAR, api, read, read_after, request, terms};
    use crate::places::provider::Parsed;
    use crate::places::request::{Health, Reply};

    #[test]
    fn the_policy_is_what_the_terms_say() {
        let expected = "key true, at once None, waiting 0, retries 1, cached false, \
                        pause 0ns, 60 a minute, 1000 a day, []";
        assert_eq!(terms("google"), expected);
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
        for text in ["", "[]x", "<html>", r#"{"places":3}"#] {
            assert!(matches!(read("google", 200, text).result, Err(PlacesError::Garbage(_))), "{text}");
        }
        assert_eq!(read("google", 502, "<html>").result, Err(PlacesError::Failed("HTTP status 502".into())));
        let reading = read_after("google", 429, Some(Duration::from_secs(7)), "");
        assert_eq!(reading.health, Health::AsksForSilence(Duration::from_secs(7)));
    }

    #[test]
    fn odd_places_are_left_out_and_what_is_null_is_taken_for_missing() {
        let text = include_str!("../../tests/places/google-odd.json");
        let reply = Reply { status: 200, text: text.to_owned(), ..Reply::default() };
        let Ok(Parsed::Places(found)) = api("google").read(&NEAR, &reply).result else { panic!("no answer") };
        let ids: Vec<&str> = found.places.iter().map(|place| place.id.as_str()).collect();
        assert_eq!(ids, ["good-1", "good-2"]);
        assert_eq!((found.places[1].latitude, found.places[1].types.len()), (0.0, 2));
        assert_eq!(
            found.left_out.unwrap().to_string(),
            "10 of the 12 elements of an answer are no places; the first, [1]: no id"
        );
        let answer = read("google", 200, r#"{"places":null,"error":null}"#).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS"), "{answer}");
    }

    #[test]
    fn a_place_off_the_globe_is_left_out() {
        let one = |longitude: f64| {
            format!(
                r#"{{"id":"x","displayName":{{"text":"y"}},
                    "location":{{"latitude":34.06892,"longitude":{longitude}}}}}"#
            )
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
