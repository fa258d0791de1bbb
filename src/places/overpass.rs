//! OpenStreetMap through an Overpass server, which needs no key but asks for manners.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::Frame;
use super::index::sort_by_distance;
use super::osm::{self, tag};
use super::place::{Place, is_on_the_globe};
use super::request::{Body, Health, Reading, Reply, Request, Rules, Terms, object};
use super::{Answer, PlacesError};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

/// The main public server.
pub(super) const BASE: &str = "https://overpass-api.de";
/// Where the interface is on it.
pub(super) const PATH: &str = "/api/interpreter";

/// OpenStreetMap's licence asks for this wherever its data are shown.
const ATTRIBUTION: &str = "(c) OpenStreetMap contributors";

/// How long Overpass wants to be left alone after it has said 429, whatever its `Retry-After`.
const SILENCE_MIN: Duration = Duration::from_secs(30);

/// Questions that may wait for the one under way: at half a second each, the last is answered in time.
const WAITING_MAX: usize = 8;

/// The rules of an Overpass server.
pub(super) struct Overpass {
    /// The whole address.
    pub(super) endpoint: String,
}

impl Rules for Overpass {
    fn request(&self, near: &NearbyQuery) -> Request {
        let NearbyQuery { latitude, longitude, radius_m } = near;
        let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
        let text = format!(
            "[out:json][timeout:25];nwr(around:{radius_m},{latitude},{longitude})[amenity][name];\
             out center {PLACES_MAX};"
        );
        let body = Body { content_type: "text/plain; charset=utf-8", text };
        Request { url: self.endpoint.clone(), headers: Vec::new(), body: Some(body) }
    }

    fn read(&self, near: &NearbyQuery, reply: Reply) -> Reading {
        read(near, &reply)
    }

    fn terms(&self) -> Terms {
        Terms { calls_max: Some(1), waiting_max: WAITING_MAX, retries: 0, may_cache: true }
    }
}

/// What a reply to a question about `near` means.
pub(super) fn read(near: &NearbyQuery, reply: &Reply) -> Reading {
    match reply.status {
        200 => {}
        406 => return Reading::of_status(reply, "HTTP status 406: it does not like the User-Agent"),
        429 => {
            let silence = reply.retry_after.unwrap_or_default().max(SILENCE_MIN);
            let error = PlacesError::OverLimit("HTTP status 429".to_owned());
            return Reading { result: Err(error), health: Health::AsksForSilence(silence) };
        }
        _ => return Reading::of_status(reply, ""),
    }
    let found: Found = match object(&reply.text) {
        Ok(found) => found,
        Err(error) => return Reading::unwell(error),
    };
    // A query that ran out of time or memory comes as a success, with what was found by then.
    if let Some(remark) = found.remark.filter(|remark| remark.contains("error")) {
        return Reading::unwell(PlacesError::Failed(PlacesError::words(&remark)));
    }
    let mut places: Vec<Place> = found.elements.into_iter().filter_map(place).collect();
    sort_by_distance(near, &mut places);
    places.truncate(usize::from(PLACES_MAX));
    Reading::well(Ok(Answer::of(&places, Frame { attributions: &[ATTRIBUTION], provider: None })))
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

    use super::*;

    const NEAR: NearbyQuery = NearbyQuery { latitude: 34.068_93, longitude: -118.445_127, radius_m: 10_000 };

    fn read_after(status: u16, retry_after: Option<Duration>, text: &str) -> Reading {
        let rules = Overpass { endpoint: format!("{BASE}{PATH}") };
        rules.read(&NEAR, Reply { status, retry_after, text: text.to_owned() })
    }

    fn read(status: u16, text: &str) -> Reading {
        read_after(status, None, text)
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let request = Overpass { endpoint: format!("{BASE}{PATH}") }.request(&NEAR);
        assert_eq!(request.url, "https://overpass-api.de/api/interpreter");
        assert_eq!(
            request.body.unwrap().text,
            "[out:json][timeout:25];nwr(around:10000,34.06893,-118.445127)[amenity][name];out center 20;"
        );
    }

    #[test]
    fn an_answer_is_mapped_nearest_first_and_names_its_source() {
        let reading = read(200, include_str!("../tests/places/overpass-ok.json"));
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
        let answer = read(200, include_str!("../tests/places/overpass-empty.json")).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS") && answer.as_str().contains("OpenStreetMap"));
    }

    #[test]
    fn a_success_with_a_remark_is_a_time_out() {
        let reading = read(200, include_str!("../tests/places/overpass-remark.json"));
        let error = reading.result.unwrap_err();
        assert!(error.to_string().contains("Query timed out"), "{error}");
        assert_eq!((error.google_status(), reading.health), ("UNKNOWN_ERROR", Health::Unwell));
        let harmless = r#"{"elements":[],"remark":"the server is under maintenance tonight"}"#;
        assert!(read(200, harmless).result.is_ok());
    }

    #[test]
    fn every_other_status_has_its_meaning() {
        let case = |status, text, google_status, health| {
            let reading = read(status, text);
            let error = reading.result.unwrap_err();
            assert_eq!((error.google_status(), reading.health), (google_status, health), "{error}");
        };
        use Health::{Unwell, Well};
        case(400, include_str!("../tests/places/overpass-400.html"), "INVALID_REQUEST", Well);
        case(406, include_str!("../tests/places/overpass-406.html"), "REQUEST_DENIED", Well);
        case(504, include_str!("../tests/places/overpass-504.html"), "UNKNOWN_ERROR", Unwell);
        let silence = Health::AsksForSilence(SILENCE_MIN);
        case(429, include_str!("../tests/places/overpass-429.html"), "OVER_QUERY_LIMIT", silence);
        case(200, include_str!("../tests/places/overpass-504.html"), "UNKNOWN_ERROR", Unwell);
        case(200, "{}", "UNKNOWN_ERROR", Unwell);
    }

    #[test]
    fn silence_is_never_shorter_than_half_a_minute() {
        let health = |seconds| read_after(429, Some(Duration::from_secs(seconds)), "").health;
        assert_eq!(health(1), Health::AsksForSilence(Duration::from_secs(30)));
        assert_eq!(health(90), Health::AsksForSilence(Duration::from_secs(90)));
    }

    #[test]
    fn elements_off_the_globe_or_without_a_name_are_no_places() {
        let text = r#"{"elements":[
            {"type":"node","id":1,"lat":91,"lon":0,"tags":{"name":"Nowhere"}},
            {"type":"node","id":2,"lat":1,"lon":0,"tags":{"amenity":"cafe"}},
            {"type":"node","id":3,"lat":1,"lon":0}]}"#;
        assert!(read(200, text).result.unwrap().as_str().contains("ZERO_RESULTS"));
    }
}
