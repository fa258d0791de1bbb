//! An Overpass that knows what a test tells it: the elements around a point on its sphere, lowest numbers first, cut.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::server::{LocalServer, Seen, reply};

/// Metres per radian on the sphere of Overpass, which is 40,000 km around.
const METRES_PER_RADIAN: f64 = 20_000_000.0 / std::f64::consts::PI;

/// Its elements; the number of each is its place in the list.
pub(super) type World = Arc<Mutex<Vec<Element>>>;

/// A node with a name and one other tag.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) tag: (&'static str, &'static str),
}

/// Serves `world`.
pub(super) fn serve(world: &World) -> LocalServer {
    let world = Arc::clone(world);
    LocalServer::http(move |seen: &Seen, out: &mut dyn Write| -> io::Result<bool> {
        reply(out, 200, &[], &answer(&world.lock(), &seen.body))
    })
}

/// The radii of the circles that a server was asked for.
pub(super) fn radii(server: &LocalServer) -> Vec<f64> {
    server.seen().iter().map(|seen| circle(&seen.body)[0]).collect()
}

fn answer(world: &[Element], query: &str) -> String {
    let [radius_m, latitude, longitude] = circle(query);
    let most: usize = query.split("out tags center ").nth(1).unwrap().trim_end_matches(';').parse().unwrap();
    let is_asked = |(key, value): (&str, &str)| {
        let any = format!("[{key}][name]");
        let some = query.split(&format!("[{key}~\"^(")).nth(1).and_then(|rest| rest.split(")$").next());
        query.contains(&any) || some.is_some_and(|values| values.split('|').any(|asked| asked == value))
    };
    let elements: Vec<Value> = world
        .iter()
        .enumerate()
        .filter(|(_, element)| {
            is_asked(element.tag)
                && metres(latitude, longitude, element.latitude, element.longitude) <= radius_m
        })
        .take(most)
        .map(|(number, Element { latitude, longitude, tag: (key, value) })| {
            let tags = json!({ "name": format!("Number {number}"), *key: value });
            json!({ "type": "node", "id": number, "lat": latitude, "lon": longitude, "tags": tags })
        })
        .collect();
    json!({ "version": 0.6, "elements": elements }).to_string()
}

/// Radius, latitude and longitude of the circle in a query.
fn circle(query: &str) -> [f64; 3] {
    let (_, rest) = query.split_once("(around:").unwrap();
    let numbers = rest.split(')').next().unwrap().split(',').map(|number| number.parse().unwrap());
    numbers.collect::<Vec<f64>>().try_into().unwrap()
}

/// As Overpass computes it.
fn metres(latitude: f64, longitude: f64, other_latitude: f64, other_longitude: f64) -> f64 {
    let [a, b] = [latitude, other_latitude].map(f64::to_radians);
    let across = (other_longitude - longitude).to_radians().cos() - 1.0;
    ((b - a).cos() + a.cos() * b.cos() * across).min(1.0).acos() * METRES_PER_RADIAN
}
