//! The nearest places, from a provider that sends those with the lowest numbers.

use std::sync::Arc;
use std::thread;

use geographiclib_rs::{DirectGeodesic, Geodesic, InverseGeodesic};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::Value;

use super::fake_overpass::{Element, World, radii, serve};
use super::server::{LocalServer, reply};
use super::{NEAR, OVERPASS_OK, PHOTON_OK, open, options, remote, status_of};
use crate::places::{Options, PlacesError, PlacesProvider};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};
use crate::tests::harness::{TestServer, herd};

/// The most calls of a question, as the provider's entry says.
const CALLS_MAX: usize = 6;

/// Nodes in a ring around a point: so many, from so near to so far.
fn ring(near: &NearbyQuery, count: usize, from_m: f64, to_m: f64) -> Vec<Element> {
    let earth = Geodesic::wgs84();
    // Steps of the golden angle spread them evenly.
    let node = |number: usize| {
        let part = (number as f64 + 0.5) / count as f64;
        let metres = (from_m * from_m + part * (to_m * to_m - from_m * from_m)).sqrt();
        let (latitude, longitude) =
            earth.direct(near.latitude, near.longitude, 137.508 * number as f64, metres);
        Element { latitude, longitude, tag: ("amenity", "cafe") }
    };
    (0..count).map(node).collect()
}

/// The distances of all that an answer shows, in its order.
fn shown(near: &NearbyQuery, answer: &Value) -> Vec<f64> {
    let earth = Geodesic::wgs84();
    let point = |result: &Value| {
        let at = |side: &str| result["geometry"]["location"][side].as_f64().unwrap();
        earth.inverse(near.latitude, near.longitude, at("lat"), at("lng"))
    };
    answer["results"].as_array().unwrap().iter().map(point).collect()
}

/// Whether distances are the same to a micrometre: coordinates lose their last bit on their way through JSON.
fn are_same(some: &[f64], others: &[f64]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(a, b)| (a - b).abs() < 1e-6)
}

/// The same, by measuring every element.
fn by_force(near: &NearbyQuery, world: &[Element]) -> Vec<f64> {
    let earth = Geodesic::wgs84();
    let metres =
        |at: &Element| -> f64 { earth.inverse(near.latitude, near.longitude, at.latitude, at.longitude) };
    let mut all: Vec<f64> = world.iter().map(metres).filter(|it| *it <= f64::from(near.radius_m)).collect();
    all.sort_by(f64::total_cmp);
    all.truncate(usize::from(PLACES_MAX));
    all
}

fn ask(places: &dyn PlacesProvider, near: &NearbyQuery) -> Value {
    serde_json::from_str(places.nearby(near).unwrap().as_str()).unwrap()
}

fn world(rings: impl IntoIterator<Item = Vec<Element>>) -> World {
    Arc::new(Mutex::new(rings.into_iter().flatten().collect()))
}

#[test]
fn new_places_nearby_come_before_old_ones_that_are_far() {
    let world = world([ring(&NEAR, 60, 5_000.0, 9_000.0), ring(&NEAR, 10, 20.0, 110.0)]);
    let overpass = serve(&world);
    let places = open(&options("overpass", overpass.url())).unwrap();
    let server = TestServer::start(&herd(&["Alford"], &[], true), "Alford", places);
    let mut client = server.client();
    client.ask("IAMAT me +34.068930-118.445127 1");
    for limit in [5, 20] {
        client.ask(&format!("WHATSAT me 10 {limit}"));
        let answer = client.json();
        let metres = shown(&NEAR, &answer);
        assert_eq!(metres.len(), limit);
        assert!(are_same(&metres, &by_force(&NEAR, &world.lock())[..limit]), "{metres:?}");
        assert!(metres[4] < 110.0 && answer.get("info_messages").is_none(), "{answer}");
    }
    assert_eq!(radii(&overpass), [503.0, 2_012.0, 11_066.0]);
}

#[test]
fn city_is_asked_about_in_a_small_circle() {
    let world = world([ring(&NEAR, 20_000, 0.0, 3_000.0)]);
    let overpass = serve(&world);
    let places = remote(&options("overpass", overpass.url()));
    let metres = shown(&NEAR, &ask(&places, &NEAR));
    assert!(are_same(&metres, &by_force(&NEAR, &world.lock())), "{metres:?}");
    assert_eq!(radii(&overpass).len(), 2, "{:?}", radii(&overpass));
}

#[test]
fn more_places_in_one_spot_than_it_sends_are_an_answer_that_says_so() {
    let world = world([ring(&NEAR, 5, 100.0, 200.0), ring(&NEAR, 5_000, 700.0, 700.001)]);
    let overpass = serve(&world);
    let answer = ask(&remote(&options("overpass", overpass.url())), &NEAR);
    let metres = shown(&NEAR, &answer);
    assert_eq!((metres.len(), metres[4] < 200.0, metres[5] > 699.0), (20, true, true));
    let info = answer["info_messages"][0].as_str().unwrap();
    assert!(
        info.contains("surely the nearest up to") && info.contains("more places near each other"),
        "{info}"
    );
    assert!(radii(&overpass).len() <= CALLS_MAX);
}

#[test]
fn crowd_far_away_is_found_in_few_calls() {
    // More than one answer takes, in a band that halving would come to last.
    let world = world([ring(&NEAR, 1_200, 13_000.0, 15_000.0), ring(&NEAR, 9, 100.0, 4_000.0)]);
    let overpass = serve(&world);
    let near = NearbyQuery { radius_m: 50_000, ..NEAR };
    let metres = shown(&near, &ask(&remote(&options("overpass", overpass.url())), &near));
    assert!(are_same(&metres, &by_force(&near, &world.lock())), "{metres:?}");
    assert!(radii(&overpass).len() <= CALLS_MAX, "{:?}", radii(&overpass));
}

#[test]
fn kinds_that_a_file_has_are_asked_for_as_well() {
    let tags = [
        ("amenity", "bench"),
        ("shop", "bakery"),
        ("tourism", "museum"),
        ("leisure", "park"),
        ("public_transport", "station"),
        ("railway", "station"),
        ("healthcare", "doctor"),
        ("aeroway", "aerodrome"),
        ("natural", "peak"),
        ("office", "company"),
        ("historic", "castle"),
        ("craft", "brewery"),
        // Stretches of a railway are no places.
        ("railway", "rail"),
        ("highway", "residential"),
    ];
    let mut elements = ring(&NEAR, tags.len(), 10.0, 400.0);
    for (element, tag) in elements.iter_mut().zip(tags) {
        element.tag = tag;
    }
    let overpass = serve(&world([elements]));
    let answer = ask(&remote(&options("overpass", overpass.url())), &NEAR);
    let types: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|it| it["types"][0].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "bench",
            "bakery",
            "museum",
            "park",
            "station",
            "station",
            "doctor",
            "aerodrome",
            "peak",
            "company",
            "castle",
            "brewery"
        ]
    );
}

#[test]
fn answer_so_far_is_given_when_a_later_call_fails() {
    // Three places within the first circle; then the provider has had enough.
    for (status, body, said) in [
        (429, "", "asked too often"),
        (504, "", "failed"),
        (200, r#"{"elements":[],"remark":"runtime error: Query timed out"}"#, "Query timed out"),
        (200, "nonsense", "makes no sense"),
    ] {
        let server = LocalServer::http(move |seen, out| match seen.number {
            0 => reply(out, 200, &[], OVERPASS_OK),
            _ => reply(out, status, &[], body),
        });
        let answer = ask(&remote(&options("overpass", server.url())), &NEAR);
        assert_eq!((answer["status"].as_str(), shown(&NEAR, &answer).len()), (Some("OK"), 3));
        let info = answer["info_messages"][0].as_str().unwrap();
        assert!(
            info.starts_with("these are surely the nearest up to 500 m only: ") && info.contains(said),
            "{info}"
        );
        assert_eq!(server.seen().len(), 2);
    }
    // With nothing to show it is the error.
    let empty = r#"{"elements":[]}"#;
    let server = LocalServer::http(move |seen, out| {
        let status = if seen.number == 0 { 200 } else { 504 };
        reply(out, status, &[], empty)
    });
    let places = remote(&options("overpass", server.url()));
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Failed(_))));
}

#[test]
fn every_call_of_a_question_takes_a_unit_of_the_budget() {
    let overpass = serve(&world([ring(&NEAR, 3, 20.0, 110.0)]));
    let options = Options { budget_per_minute: Some(2), ..options("overpass", overpass.url()) };
    let places = remote(&options);
    let answer = ask(&places, &NEAR);
    assert_eq!((overpass.seen().len(), shown(&NEAR, &answer).len()), (2, 3));
    let info = answer["info_messages"][0].as_str().unwrap();
    assert!(info.contains("up to 2000 m only: this server may ask"), "{info}");
    let elsewhere = NearbyQuery { latitude: 0.0, ..NEAR };
    assert!(matches!(places.nearby(&elsewhere), Err(PlacesError::OverBudget(2, "minute", _))));
    assert_eq!(overpass.seen().len(), 2);
}

#[test]
fn clients_near_each_other_share_what_is_known() {
    let world = world([ring(&NEAR, 2_000, 0.0, 2_000.0)]);
    let overpass = serve(&world);
    let places = remote(&options("overpass", overpass.url()));
    ask(&places, &NEAR);
    let calls = overpass.seen().len();
    // Around the first point there are some 125 places within 500 m, so that it takes a long way to leave them.
    thread::scope(|scope| {
        for client in 0..8 {
            let (places, world) = (&places, &world);
            scope.spawn(move || {
                let near = NearbyQuery { latitude: NEAR.latitude + 0.000_3 * f64::from(client), ..NEAR };
                let metres = shown(&near, &ask(places, &near));
                assert!(are_same(&metres, &by_force(&near, &world.lock())), "{metres:?}");
            });
        }
    });
    assert_eq!(overpass.seen().len(), calls);
    // A wider question about the same ground, and one from too far away.
    ask(&places, &NearbyQuery { radius_m: 50_000, ..NEAR });
    assert_eq!(overpass.seen().len(), calls);
    let farther = NearbyQuery { latitude: NEAR.latitude + 0.005, ..NEAR };
    let metres = shown(&farther, &ask(&places, &farther));
    assert!(are_same(&metres, &by_force(&farther, &world.lock())), "{metres:?}");
    assert!(overpass.seen().len() > calls);
}

#[test]
fn client_that_moves_through_empty_land_is_answered_from_one_question() {
    let world = world([ring(&NEAR, 3, 1_000.0, 9_000.0)]);
    let overpass = serve(&world);
    let places = remote(&options("overpass", overpass.url()));
    ask(&places, &NEAR);
    let calls = overpass.seen().len();
    // A tenth of the radius more was asked for.
    let near = NearbyQuery { latitude: NEAR.latitude + 0.008, ..NEAR };
    let metres = shown(&near, &ask(&places, &near));
    assert!(are_same(&metres, &by_force(&near, &world.lock())), "{metres:?}");
    assert_eq!(overpass.seen().len(), calls);
}

#[test]
fn what_is_known_does_not_become_younger_by_being_found_again() {
    let overpass = serve(&world([ring(&NEAR, 3, 10.0, 400.0)]));
    let options = Options { budget_per_minute: Some(2), ..options("overpass", overpass.url()) };
    let places = remote(&options);
    ask(&places, &NEAR);
    let known = places.areas();
    // Nearby, the same three places are all that is known, and the budget is used up.
    let near = NearbyQuery { latitude: NEAR.latitude + 0.001, ..NEAR };
    assert!(ask(&places, &near).get("info_messages").is_some());
    assert_eq!((places.areas(), overpass.seen().len()), (known, 2));
}

#[test]
fn photon_is_asked_once() {
    let server = LocalServer::replying(200, PHOTON_OK);
    let places = remote(&options("photon", server.url()));
    let answer = ask(&places, &NEAR);
    assert_eq!((shown(&NEAR, &answer).len(), answer.get("info_messages")), (3, None));
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.method, "GET");
    assert!(
        seen.target.starts_with("/reverse?lat=34.06893&lon=-118.445127&radius=11.066&limit=50&"),
        "{seen:?}"
    );
    ask(&places, &NearbyQuery { latitude: NEAR.latitude + 0.001, ..NEAR });
    assert_eq!(server.seen().len(), 1, "and not again for a client nearby");
}

#[test]
fn answer_that_is_too_long_is_asked_for_in_a_smaller_circle() {
    let server = LocalServer::http(move |seen, out| match seen.number {
        0 => reply(out, 200, &[], &format!("{{\"elements\":[{}]}}", " ".repeat(2_000_000))),
        _ => reply(out, 200, &[], OVERPASS_OK),
    });
    let near = NearbyQuery { radius_m: 1_000, ..NEAR };
    let answer = ask(&remote(&options("overpass", server.url())), &near);
    assert_eq!(status_of(&crate::places::Answer::parse(answer.to_string()).unwrap()), "OK");
    assert!(radii(&server)[1] < radii(&server)[0] / 3.0, "{:?}", radii(&server));
}

/// A point near which others are: the poles and the date line as often as anywhere.
fn centre() -> impl Strategy<Value = (f64, f64)> {
    let latitude = prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), 89.9..=90.0, -90.0..=-89.9];
    let longitude = prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.9..=180.0];
    (latitude, longitude)
}

/// A cluster: its distance and direction from the centre, its size, and how many are in it.
fn cluster() -> impl Strategy<Value = (f64, f64, f64, usize)> {
    let metres = prop_oneof![0.0..100.0, 0.0..3_000.0, 0.0..60_000.0];
    let size = prop_oneof![50.0..500.0, 500.0..20_000.0];
    (metres, 0.0..360.0, size, prop_oneof![0usize..30, 0usize..300])
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nearest_are_those_that_measuring_every_element_finds(
        (latitude, longitude) in centre(),
        radius_km in prop_oneof![1u32..=10, 1u32..=50],
        clusters in prop::collection::vec(cluster(), 0..6),
        city in prop_oneof![3 => Just(0usize), 1 => 2_000usize..6_000],
        shift in 0usize..5_000,
    ) {
        let near = NearbyQuery { latitude, longitude, radius_m: radius_km * 1_000 };
        let earth = Geodesic::wgs84();
        let rings = clusters.iter().map(|&(metres, bearing, size, count)| {
            let (latitude, longitude) = earth.direct(near.latitude, near.longitude, bearing, metres);
            ring(&NearbyQuery { latitude, longitude, radius_m: 0 }, count, 0.0, size)
        });
        let mut elements: Vec<Element> = rings.flatten().collect();
        elements.extend(ring(&near, city, 0.0, 2_000.0));
        let shift = shift.min(elements.len());
        elements.rotate_left(shift);
        let expected = by_force(&near, &elements);
        let overpass = serve(&world([elements]));
        let answer = ask(&remote(&options("overpass", overpass.url())), &near);
        prop_assert!(overpass.seen().len() <= CALLS_MAX);
        prop_assert_eq!(answer.get("info_messages"), None, "{:?}", radii(&overpass));
        let metres = shown(&near, &answer);
        prop_assert!(are_same(&metres, &expected), "{:?} {:?}", metres, expected);
    }
}
