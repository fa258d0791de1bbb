//! `overpass`: OpenStreetMap through an Overpass server, which needs no key but asks for manners. Its sources are the
//! rules of the public servers (wiki.openstreetmap.org/wiki/Overpass_API) and the licence of the data
//! (openstreetmap.org/copyright), which allows to keep them and asks to be named.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::places::error::PlacesError;
use crate::places::index::sort_by_distance;
use crate::places::osm::{self, tag};
use crate::places::place::{Place, is_on_the_globe};
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Reading, Reply, Request, object};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

pub(super) const PROVIDER: Provider = Provider {
    name: "overpass",
    argument: None,
    about: Some("OpenStreetMap"),
    source: Source::Network(ProviderApi {
        base: "https://overpass-api.de",
        path: "/api/interpreter",
        policy: UsagePolicy {
            needs_key: false,
            calls_max: Some(1),
            // At half a second for each question, the last one is answered in time.
            waiting_max: 8,
            retries: 0,
            may_cache: true,
            pause_min: Duration::from_secs(30),
            // The public servers ask for less than 10,000 a day from one address: a herd of five there keeps to it.
            calls_per_minute: Some(30),
            calls_per_day: Some(2_000),
            // The licence asks for it wherever the data are shown.
            attributions: &["(c) OpenStreetMap contributors"],
        },
        request,
        parse,
        refusal,
        #[cfg(test)]
        recorded: include_str!("../../tests/places/overpass-ok.json"),
    }),
};

fn request(endpoint: &str, _key: &str, near: &NearbyQuery) -> Request {
    let NearbyQuery { latitude, longitude, radius_m } = near;
    let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
    let text = format!(
        "[out:json][timeout:25];nwr(around:{radius_m},{latitude},{longitude})[amenity][name];\
         out center {PLACES_MAX};"
    );
    let headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    Request { url: endpoint.to_owned(), headers, body: Some(text) }
}

fn parse(near: &NearbyQuery, text: String) -> Result<Parsed, PlacesError> {
    let found: Found = object(&text)?;
    // A query that ran out of time or memory comes as a success, with what was found by then.
    if let Some(remark) = found.remark.filter(|remark| remark.contains("error")) {
        return Err(PlacesError::Failed(PlacesError::words(&remark)));
    }
    let mut places: Vec<Place> = found.elements.into_iter().filter_map(place).collect();
    sort_by_distance(near, &mut places);
    places.truncate(usize::from(PLACES_MAX));
    Ok(Parsed::Places(places))
}

fn refusal(reply: &Reply) -> Reading {
    let dislike = "HTTP status 406: it does not like the User-Agent";
    Reading::of_status(reply, if reply.status == 406 { dislike } else { "" })
}

#[derive(Deserialize)]
struct Found {
    elements: Vec<Element>,
    remark: Option<String>,
}

/// A node has a point of its own; a way and a relation come with their centre.
#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    kind: String,
    id: u64,
    lat: Option<f64>,
    lon: Option<f64>,
    center: Option<Centre>,
    #[serde(default)]
    tags: Map<String, Value>,
}

#[derive(Deserialize)]
struct Centre {
    lat: f64,
    lon: f64,
}

/// An element with a name and a point on the globe; others are no places.
fn place(element: Element) -> Option<Place> {
    let own = element.lat.zip(element.lon);
    let (latitude, longitude) = own.or(element.center.map(|centre| (centre.lat, centre.lon)))?;
    if !is_on_the_globe(latitude, longitude) {
        return None;
    }
    Some(Place {
        id: format!("{}/{}", element.kind, element.id),
        name: tag(&element.tags, "name")?,
        latitude,
        longitude,
        types: osm::types(&element.tags),
        vicinity: osm::vicinity(&element.tags),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Duration, UsagePolicy, Value};
    use crate::places::over_http::{NEAR, policy, read, read_after, request};
    use crate::places::request::Health;

    const PAUSE_MIN: Duration = Duration::from_secs(30);

    #[test]
    fn the_policy_is_what_the_public_servers_ask_for() {
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
        } = policy("overpass");
        assert_eq!((calls_per_minute, calls_per_day), (Some(30), Some(2_000)));
        assert_eq!((needs_key, calls_max, waiting_max, retries), (false, Some(1), 8, 0));
        assert_eq!((may_cache, pause_min), (true, PAUSE_MIN));
        assert_eq!(attributions, ["(c) OpenStreetMap contributors"]);
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let request = request("overpass", "", &NEAR);
        assert_eq!(request.url, "https://overpass-api.de/api/interpreter");
        assert_eq!(
            request.body.unwrap(),
            "[out:json][timeout:25];nwr(around:10000,34.06893,-118.445127)[amenity][name];out center 20;"
        );
    }

    #[test]
    fn an_answer_is_mapped_nearest_first_and_names_its_source() {
        let reading = read("overpass", 200, include_str!("../../tests/places/overpass-ok.json"));
        assert_eq!(reading.health, Health::Well);
        let value: Value = serde_json::from_str(reading.result.unwrap().as_str()).unwrap();
        let expected = json!({
            "html_attributions": ["(c) OpenStreetMap contributors"],
            "results": [
                {
                    "geometry": { "location": { "lat": 34.069, "lng": -118.445 } },
                    "name": "Near",
                    "place_id": "node/1001",
                    "types": ["restaurant", "point_of_interest", "establishment"],
                    "vicinity": "308 Westwood Plaza, Los Angeles",
                },
                {
                    "geometry": { "location": { "lat": 34.0664, "lng": -118.4467 } },
                    "name": "Ronald Reagan UCLA Medical Center",
                    "place_id": "relation/3003",
                    "types": ["hospital", "point_of_interest", "establishment"],
                },
                {
                    "geometry": { "location": { "lat": 34.0716, "lng": -118.4422 } },
                    "name": "Powell Library",
                    "place_id": "way/2002",
                    "types": ["library", "point_of_interest", "establishment"],
                },
            ],
            "status": "OK",
        });
        assert_eq!(value, expected);
        let answer =
            read("overpass", 200, include_str!("../../tests/places/overpass-empty.json")).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS") && answer.as_str().contains("OpenStreetMap"));
    }

    #[test]
    fn a_success_with_a_remark_is_a_failure() {
        let reading = read("overpass", 200, include_str!("../../tests/places/overpass-remark.json"));
        let error = reading.result.unwrap_err();
        assert!(error.to_string().contains("Query timed out"), "{error}");
        assert_eq!((error.google_status(), reading.health), ("UNKNOWN_ERROR", Health::Unwell));
        let harmless = r#"{"elements":[],"remark":"the server is under maintenance tonight"}"#;
        assert!(read("overpass", 200, harmless).result.is_ok());
    }

    #[test]
    fn every_other_status_has_its_meaning() {
        let case = |status, text, google_status, health| {
            let reading = read("overpass", status, text);
            let error = reading.result.unwrap_err();
            assert_eq!((error.google_status(), reading.health), (google_status, health), "{error}");
        };
        use Health::{Unwell, Well};
        case(400, include_str!("../../tests/places/overpass-400.html"), "INVALID_REQUEST", Well);
        case(406, include_str!("../../tests/places/overpass-406.html"), "REQUEST_DENIED", Well);
        case(504, include_str!("../../tests/places/overpass-504.html"), "UNKNOWN_ERROR", Unwell);
        let silence = Health::AsksForSilence(PAUSE_MIN);
        case(429, include_str!("../../tests/places/overpass-429.html"), "OVER_QUERY_LIMIT", silence);
        case(200, include_str!("../../tests/places/overpass-504.html"), "UNKNOWN_ERROR", Unwell);
        case(200, "{}", "UNKNOWN_ERROR", Unwell);
    }

    #[test]
    fn a_pause_lasts_at_least_half_a_minute() {
        let health = |seconds| read_after("overpass", 429, Some(Duration::from_secs(seconds)), "").health;
        assert_eq!(health(1), Health::AsksForSilence(Duration::from_secs(30)));
        assert_eq!(health(90), Health::AsksForSilence(Duration::from_secs(90)));
    }

    #[test]
    fn elements_off_the_globe_or_without_a_name_are_left_out() {
        let text = r#"{"elements":[
            {"type":"node","id":1,"lat":91,"lon":0,"tags":{"name":"Nowhere"}},
            {"type":"node","id":2,"lat":1,"lon":0,"tags":{"amenity":"cafe"}},
            {"type":"node","id":3,"lat":1,"lon":0}]}"#;
        assert!(read("overpass", 200, text).result.unwrap().as_str().contains("ZERO_RESULTS"));
    }
}
