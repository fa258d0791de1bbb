//! `overpass`: OpenStreetMap through an Overpass server, which needs no key but asks for manners. Its sources are the
//! rules of the public servers (wiki.openstreetmap.org/wiki/Overpass_API) and the licence of the data
//! (openstreetmap.org/copyright), which allows to keep them and asks to be named.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::places::circles::Circles;
use crate::places::error::PlacesError;
use crate::places::found::Found;
use crate::places::osm::{self, tag};
use crate::places::place::{Place, on_the_globe};
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Request, object};
use crate::proto::line::query::NearbyQuery;

/// The most elements of an answer. With all their tags they take a quarter of a megabyte.
const ELEMENTS_MAX: usize = 500;

pub(super) const PROVIDER: Provider = Provider {
    name: "overpass",
    argument: None,
    about: Some("OpenStreetMap"),
    source: Source::Network(ProviderApi {
        base: "https://overpass-api.de",
        path: "/api/interpreter",
        also: &["/api/status", "/api/timestamp"],
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
        circles: Some(Circles { first_m: 500, calls_max: 6 }),
        request,
        parse,
        #[cfg(test)]
        recorded: include_str!("../../tests/places/overpass-ok.json"),
    }),
};

/// The query for the named things of every kind around a point. `tags center` is all that is read: without it a way
/// comes with every point that it has.
fn request(endpoint: &str, _key: &str, near: &NearbyQuery) -> Request {
    let NearbyQuery { latitude, longitude, radius_m } = near;
    let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
    let around = format!("(around:{},{latitude},{longitude})", osm::on_sphere_m(*radius_m));
    let kinds: String = osm::asked()
        .map(|(key, values)| match values {
            [] => format!("nwr{around}[{key}][name];"),
            _ => format!("nwr{around}[{key}~\"^({})$\"][name];", values.join("|")),
        })
        .collect();
    let text = format!("[out:json][timeout:25];({kinds});out tags center {ELEMENTS_MAX};");
    let headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    Request { url: endpoint.to_owned(), headers, body: Some(text) }
}

fn parse(near: &NearbyQuery, text: &str) -> Result<Parsed, PlacesError> {
    let answer: Elements<'_> = object(text)?;
    // A query that ran out of time or memory comes as a success, with what was found by then.
    if let Some(remark) = answer.remark.as_str().filter(|remark| remark.contains("error")) {
        return Err(PlacesError::Failed(PlacesError::words(remark)));
    }
    let mut found = Found::read(&answer.elements.unwrap_or_default(), place);
    // It sends the lowest numbers, not the nearest: if it sends as many as it was asked for, any other may be nearer.
    found.complete_m = if found.elements < ELEMENTS_MAX { f64::from(near.radius_m) } else { 0.0 };
    Ok(Parsed::Places(found))
}

#[derive(Deserialize)]
struct Elements<'a> {
    // Must be there, and may be null.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    elements: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    remark: Value,
}

/// A node has a point of its own; a way and a relation come with their centre.
#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    kind: String,
    id: i64,
    lat: Option<f64>,
    lon: Option<f64>,
    center: Option<Centre>,
    tags: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Centre {
    lat: f64,
    lon: f64,
}

fn place(element: Element) -> Result<Place, &'static str> {
    // It makes them up for things that are not in OpenStreetMap.
    let id = u64::try_from(element.id).map_err(|_| "a negative id")?;
    let own = element.lat.zip(element.lon);
    let point = own.or(element.center.map(|centre| (centre.lat, centre.lon)));
    let (latitude, longitude) = point.ok_or("no point")?;
    let (latitude, longitude) =
        on_the_globe(latitude, longitude).ok_or("a point that is not on the globe")?;
    let tags = element.tags.unwrap_or_default();
    Ok(Place {
        id: format!("{}/{id}", element.kind),
        name: tag(&tags, "name").ok_or("no name")?,
        latitude,
        longitude,
        types: osm::types(&tags),
        vicinity: osm::vicinity(&tags),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Duration, Value};
    use crate::places::over_http::{NEAR, api, read, read_after, request, terms};
    use crate::places::provider::Parsed;
    use crate::places::request::{Health, Reply};

    const PAUSE_MIN: Duration = Duration::from_secs(30);

    #[test]
    fn the_policy_is_what_the_public_servers_ask_for() {
        let expected = "key false, at once Some(1), waiting 8, retries 0, cached true, \
                        pause 30s, 30 a minute, 2000 a day, [\"(c) OpenStreetMap contributors\"]";
        assert_eq!(terms("overpass"), expected);
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let request = request("overpass", "", &NEAR);
        assert_eq!(request.url, "https://overpass-api.de/api/interpreter");
        let body = request.body.unwrap();
        assert!(
            body.starts_with(
                "[out:json][timeout:25];(nwr(around:10060,34.06893,-118.445127)[amenity][name];nwr("
            ),
            "{body}"
        );
        let railway = r#"[railway~"^(station|halt|tram_stop|subway_entrance)$"][name];"#;
        assert!(body.contains(railway) && body.ends_with("[name];);out tags center 500;"), "{body}");
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
    fn odd_elements_are_left_out_and_what_is_null_is_taken_for_missing() {
        let text = include_str!("../../tests/places/overpass-odd.json");
        let reading =
            api("overpass").read(&NEAR, &Reply { status: 200, text: text.to_owned(), ..Reply::default() });
        let Ok(Parsed::Places(found)) = reading.result else { panic!("{:?}", reading.health) };
        let ids: Vec<&str> = found.places.iter().map(|place| place.id.as_str()).collect();
        assert_eq!(ids, ["node/1", "way/2", "node/12"]);
        assert_eq!(
            found.left_out.unwrap().to_string(),
            "12 of the 15 elements of an answer are no places; the first, [1]: a negative id"
        );
        let answer =
            read("overpass", 200, r#"{"version":0.6,"elements":null,"remark":null}"#).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS"));
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
