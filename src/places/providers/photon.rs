//! `photon`: OpenStreetMap through Photon, a geocoder that needs no key and is easy to host. Its sources are the
//! documents of Photon (github.com/komoot/photon), which ask for reasonable use of the public server, and the licence
//! of the data (openstreetmap.org/copyright), which allows to keep them and asks to be named.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Map;
use serde_json::value::RawValue;

use crate::places::circles::{Circle, Circles};
use crate::places::error::PlacesError;
use crate::places::found::Found;
use crate::places::osm;
use crate::places::place::{Place, on_the_globe};
use crate::places::provider::{Parsed, Provider, ProviderApi, Source, UsagePolicy};
use crate::places::request::{Request, object};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

/// The most places of an answer, and the most that a server sends unless it is told otherwise.
const FEATURES_MAX: usize = 50;

pub(super) const PROVIDER: Provider = Provider {
    name: "photon",
    argument: None,
    about: Some("OpenStreetMap"),
    source: Source::Network(ProviderApi {
        base: "https://photon.komoot.io",
        path: "/reverse",
        also: &["/api", "/structured", "/status"],
        policy: UsagePolicy {
            needs_key: false,
            calls_max: Some(1),
            // At half a second for each question, the last one is answered in time.
            waiting_max: 8,
            retries: 0,
            may_cache: true,
            pause_min: Duration::from_secs(30),
            // The public server names no number, and bans those who ask too much.
            calls_per_minute: Some(30),
            calls_per_day: Some(1_000),
            // The licence asks for it wherever the data are shown.
            attributions: &["(c) OpenStreetMap contributors"],
        },
        // It puts places in order itself, so one call about the whole circle brings the nearest.
        circles: Some(Circles { first_m: u32::MAX, calls_max: 1 }),
        request,
        parse,
        #[cfg(test)]
        recorded: include_str!("../../tests/places/photon-ok.json"),
    }),
};

/// No parameter is younger than Photon 0.4: a server refuses those that it does not know.
fn request(endpoint: &str, _key: &str, near: &NearbyQuery) -> Request {
    let NearbyQuery { latitude, longitude, radius_m } = near;
    let (latitude, longitude) = (latitude + 0.0, longitude + 0.0);
    let radius_km = f64::from(osm::on_sphere_m(*radius_m)) / 1_000.0;
    let kinds: String = osm::asked()
        .flat_map(|(key, values)| match values {
            [] => vec![format!("&osm_tag={key}")],
            _ => values.iter().map(|value| format!("&osm_tag={key}:{value}")).collect(),
        })
        .collect();
    let query = format!("lat={latitude}&lon={longitude}&radius={radius_km}&limit={FEATURES_MAX}{kinds}");
    Request { url: format!("{endpoint}?{query}"), headers: Vec::new(), body: None }
}

fn parse(near: &NearbyQuery, text: &str) -> Result<Parsed, PlacesError> {
    let answer: Features<'_> = object(text)?;
    let mut found = Found::read(&answer.features.unwrap_or_default(), place);
    found.complete_m = if found.elements < usize::from(PLACES_MAX) {
        f64::from(near.radius_m)
    } else {
        // A server may send fewer than it is asked for, so it is sure only as far as the last place.
        let Circle { places, .. } = Circle::around(near, 0.0, found.places.clone());
        let farthest_m = places.last().map_or(0.0, |(metres, _)| *metres);
        osm::surely_m(farthest_m).min(f64::from(near.radius_m))
    };
    Ok(Parsed::Places(found))
}

#[derive(Deserialize)]
struct Features<'a> {
    // Must be there, and may be null.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    features: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Feature {
    geometry: Option<Point>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Point {
    coordinates: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Properties {
    osm_type: Option<String>,
    osm_id: Option<u64>,
    osm_key: Option<String>,
    osm_value: Option<String>,
    name: Option<String>,
    housenumber: Option<String>,
    street: Option<String>,
    locality: Option<String>,
    district: Option<String>,
    city: Option<String>,
    county: Option<String>,
}

fn place(feature: Feature) -> Result<Place, &'static str> {
    let point = feature.geometry.and_then(|point| point.coordinates).unwrap_or_default();
    let [Some(longitude), Some(latitude), ..] = point[..] else { return Err("no point") };
    let (latitude, longitude) =
        on_the_globe(latitude, longitude).ok_or("a point that is not on the globe")?;
    let about = feature.properties.ok_or("no properties")?;
    let kind = match about.osm_type.as_deref() {
        Some("N") => "node",
        Some("W") => "way",
        Some("R") => "relation",
        _ => return Err("no osm_type"),
    };
    let id = about.osm_id.ok_or("no osm_id")?;
    let name =
        about.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).ok_or("no name")?;
    // The tags of OpenStreetMap that these were made of.
    let town = about.city.or(about.district).or(about.locality).or(about.county);
    let tags: Map<_, _> = [
        (about.osm_key, about.osm_value),
        (Some("addr:housenumber".to_owned()), about.housenumber),
        (Some("addr:street".to_owned()), about.street),
        (Some("addr:city".to_owned()), town),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key?, value?.into())))
    .collect();
    Ok(Place {
        id: format!("{kind}/{id}"),
        name,
        latitude,
        longitude,
        types: osm::types(&tags),
        vicinity: osm::vicinity(&tags),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{NearbyQuery, Parsed};
    use crate::places::over_http::{NEAR, api, read, request, terms};
    use crate::places::request::{Health, Reply};

    #[test]
    fn the_policy_is_modest() {
        let expected = "key false, at once Some(1), waiting 8, retries 0, cached true, \
                        pause 30s, 30 a minute, 1000 a day, [\"(c) OpenStreetMap contributors\"]";
        assert_eq!(terms("photon"), expected);
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let asked = request("photon", "", &NEAR);
        let begin = "https://photon.komoot.io/reverse?lat=34.06893&lon=-118.445127&radius=10.06&limit=50\
                     &osm_tag=amenity&osm_tag=shop&osm_tag=tourism&osm_tag=leisure&";
        assert!(asked.url.starts_with(begin), "{}", asked.url);
        assert!(asked.url.contains("&osm_tag=railway:station&osm_tag=railway:halt&"), "{}", asked.url);
        assert!(asked.headers.is_empty() && asked.body.is_none());
    }

    #[test]
    fn an_answer_is_mapped_nearest_first_and_names_its_source() {
        let reading = read("photon", 200, include_str!("../../tests/places/photon-ok.json"));
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
                    "vicinity": "Westwood",
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
        let empty = r#"{"type":"FeatureCollection","features":[]}"#;
        let answer = read("photon", 200, empty).result.unwrap();
        assert!(answer.as_str().contains("ZERO_RESULTS") && answer.as_str().contains("OpenStreetMap"));
    }

    #[test]
    fn odd_features_are_left_out() {
        let text = include_str!("../../tests/places/photon-odd.json");
        let reply = Reply { status: 200, text: text.to_owned(), ..Reply::default() };
        let Ok(Parsed::Places(found)) = api("photon").read(&NEAR, &reply).result else { panic!("no answer") };
        let names: Vec<&str> = found.places.iter().map(|place| place.name.as_str()).collect();
        assert_eq!(names, ["First", "Second"]);
        let left_out = found.left_out.unwrap().to_string();
        assert_eq!(left_out, "10 of the 12 elements of an answer are no places; the first, [1]: no point");
    }

    #[test]
    fn errors_of_the_service_keep_their_words() {
        let bad = include_str!("../../tests/places/photon-400.json");
        let error = read("photon", 400, bad).result.unwrap_err();
        assert_eq!(error.google_status(), "INVALID_REQUEST");
        assert!(error.to_string().contains("Unknown query parameter 'distance'."), "{error}");
        let error = read("photon", 200, "{}").result.unwrap_err();
        assert_eq!(error.google_status(), "UNKNOWN_ERROR");
        let error = read("photon", 429, "").result.unwrap_err();
        assert_eq!(error.google_status(), "OVER_QUERY_LIMIT");
    }

    #[test]
    fn full_answer_is_sure_up_to_its_last_place() {
        let features = |count: usize| {
            let one = |number: usize| {
                json!({ "geometry": { "coordinates": [0.0, 0.000_9 * number as f64] },
                    "properties": { "osm_type": "N", "osm_id": number, "name": "x" } })
            };
            json!({ "features": (1..=count).map(one).collect::<Vec<_>>() }).to_string()
        };
        let near = NearbyQuery { latitude: 0.0, longitude: 0.0, radius_m: 20_000 };
        let complete_m = |count| {
            let reply = Reply { status: 200, text: features(count), ..Reply::default() };
            let Ok(Parsed::Places(found)) = api("photon").read(&near, &reply).result else {
                panic!("no answer")
            };
            found.complete_m
        };
        assert_eq!(complete_m(19), 20_000.0);
        assert!((4_900.0..4_976.0).contains(&complete_m(50)), "{}", complete_m(50));
    }
}
