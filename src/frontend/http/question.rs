//! Questions of programs: where a client is, and what is near it. And to forget one.

use xxhash_rust::xxh3::xxh3_64;

use super::asked::Asked;
use crate::frontend::page::has_tag;
use crate::logging::Escaped;
use crate::member::located::Located;
use crate::member::{ForgetError, Member};
use crate::proto::http::form;
use crate::proto::http::phones::friends::push_text;
use crate::proto::http::phones::point::{push_decimal, push_degrees};
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;
use crate::proto::line::query::{PLACES_MAX, Query, RADIUS_KM_MAX, WhatsAt};
use crate::proto::model::calendar::push_date_time;
use crate::proto::model::name::ClientId;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::time::Moment;

/// The radius and the number of places of a question that says neither.
const RADIUS_KM_DEFAULT: u8 = 10;

/// The names of attributes with their units, in the order of [`crate::proto::model::attributes`], and whether they are
/// numbers.
const NAMES: [(&str, bool); 8] = [
    ("accuracy_m", true),
    ("altitude_m", true),
    ("altitude_accuracy_m", true),
    ("speed_mps", true),
    ("course_degrees", true),
    ("battery_percent", true),
    ("tracker_id", false),
    ("trigger", false),
];

/// The media types of answers.
pub(super) const JSON: &str = "application/json";
pub(super) const GEOJSON: &str = "application/geo+json";

/// The answer about a client that is not known, or not to the one who asks.
pub(super) fn unknown_client() -> Response {
    Response::problem(404, "nothing is known of this client")
}

/// Where a client is.
pub(super) fn client(member: &Member, request: &Request<'_>, name: &str) -> Response {
    let Some(located) = member.find(name) else { return unknown_client() };
    let is_geojson = accepts_geojson(request);
    let tag = format!("\"{:016x}{}\"", xxh3_64(located.stored_line()), if is_geojson { "-geo" } else { "" });
    if request.headers(Name::IfNoneMatch).any(|tags| has_tag(tags, tag.as_bytes())) {
        return Response::new(304, "", "").with("ETag", tag).with("Vary", "Accept");
    }
    let mut value = Vec::new();
    let media_type = if is_geojson {
        push_feature(&located, None, &mut value);
        GEOJSON
    } else {
        push_object(&located, None, &mut value);
        JSON
    };
    Response::new(200, media_type, value).with("ETag", tag).with("Vary", "Accept")
}

/// Whether GeoJSON is asked for.
pub(super) fn accepts_geojson(request: &Request<'_>) -> bool {
    request.accepts(GEOJSON)
}

/// What is near a client, in the JSON of Google Places, as `WHATSAT` answers it.
pub(super) fn nearby(asked: Asked<'_, '_>, name: &str) -> Response {
    let pairs = asked.request.query_pairs();
    let number = |key: &str, default: u8, most: u8| {
        let Some((_, text)) = pairs.iter().find(|pair| pair.0 == key) else { return Some(default) };
        let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_decimal && (1..=most).contains(number))
    };
    let Some(radius_km) = number("radius", RADIUS_KM_DEFAULT, RADIUS_KM_MAX) else {
        return Response::problem(400, "radius is no whole number of kilometres from 1 to 50");
    };
    let Some(limit) = number("limit", PLACES_MAX, PLACES_MAX) else {
        return Response::problem(400, "limit is no whole number from 1 to 20");
    };
    let ask = WhatsAt { client: ClientId(name), radius_km, limit };
    let member = asked.shared.member;
    let query = || member.read(|node| Query::of(node.store(), &ask));
    let Some(query) = query().or_else(|| if member.fetch(name) { query() } else { None }) else {
        return unknown_client();
    };
    member.metrics.questions.add(1);
    let answer = member.nearby(query.nearby(), asked.rate_limit);
    let mut reply = Vec::new();
    query.finish(answer.as_str(), &mut reply);
    // Behind the `AT` line of the line protocol.
    let start = memchr::memchr(b'\n', &reply).map_or(0, |end| end + 1);
    Response::new(200, JSON, reply[start..].trim_ascii_end())
}

/// Forgets a client, on every server.
pub(super) fn forget(member: &Member, name: &str, now: Moment, asker: &str) -> Response {
    match member.forget(name.as_bytes(), now.seconds) {
        Ok(()) => {
            // Throttled, because a client can ask for it as often as it likes.
            let name = Escaped(name.as_bytes());
            member.metrics.log_connection(format_args!("{name} is forgotten: {asker} asked for it"));
            Response::new(204, "", "")
        }
        Err(ForgetError::Unknown) => unknown_client(),
        Err(ForgetError::NotDurable(why)) => Response::problem(503, &format!("reports {why}")),
    }
}

/// Appends a client as an object, with the digits that were reported, and with the metres that it is away from a place.
pub(super) fn push_object(located: &Located, metres: Option<f64>, out: &mut Vec<u8>) {
    let sighting = located.sighting();
    let (latitude, longitude) = sighting.location.texts();
    let mut object = Object::new(out);
    object.text("client", sighting.client.0);
    object.degrees("latitude", latitude);
    object.degrees("longitude", longitude);
    push_rest(located, &sighting, metres, object);
}

/// Appends a client as a feature of GeoJSON.
pub(super) fn push_feature(located: &Located, metres: Option<f64>, out: &mut Vec<u8>) {
    let sighting = located.sighting();
    let (latitude, longitude) = sighting.location.texts();
    let mut feature = Object::new(out);
    feature.text("type", "Feature");
    feature.text("id", sighting.client.0);
    let mut geometry = Object::new(feature.key("geometry"));
    geometry.text("type", "Point");
    let coordinates = geometry.key("coordinates");
    coordinates.push(b'[');
    push_degrees(longitude, coordinates);
    coordinates.push(b',');
    push_degrees(latitude, coordinates);
    coordinates.push(b']');
    geometry.close();
    let mut properties = Object::new(feature.key("properties"));
    properties.text("client", sighting.client.0);
    push_rest(located, &sighting, metres, properties);
    feature.close();
}

/// All but name and place.
fn push_rest(located: &Located, sighting: &Sighting<'_>, metres: Option<f64>, mut object: Object<'_>) {
    if let Some(metres) = metres {
        object.key("distance_m").extend_from_slice(format!("{metres:.3}").as_bytes());
    }
    object.plain("time", |out| out.extend_from_slice(sighting.time.text().as_bytes()));
    object.plain("time_utc", |out| push_date_time(sighting.time.moment(), out));
    object.plain("server", |out| out.extend_from_slice(sighting.origin.as_bytes()));
    object.plain("skew", |out| out.extend_from_slice(sighting.skew.as_bytes()));
    let (mut values, mut charge) = ([None; NAMES.len()], None);
    for (key, value) in located.attributes().iter().flat_map(|attributes| attributes.pairs()) {
        let place = match key.as_bytes() {
            b"acc" => &mut values[0],
            b"alt" => &mut values[1],
            b"vac" => &mut values[2],
            b"speed" => &mut values[3],
            b"course" => &mut values[4],
            b"batt" => &mut values[5],
            b"tid" => &mut values[6],
            b"trigger" => &mut values[7],
            b"charge" => &mut charge,
            _ => continue,
        };
        place.get_or_insert(value);
    }
    for ((name, is_number), value) in NAMES.into_iter().zip(values) {
        match value {
            None => {}
            Some(value) if is_number => object.number(name, value),
            Some(value) => object.text(name, &form::decode(value.as_bytes())),
        }
    }
    if let Some(charge) = charge {
        object.key("is_charging").extend_from_slice(if charge == "1" { b"true" } else { b"false" });
    }
    object.close();
}

/// An object of JSON that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    /// What the value of a key is to be appended to.
    // With a key that is known where this is called, its three parts are written without a call for each.
    #[inline(always)]
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if std::mem::take(&mut self.is_empty) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text of ASCII letters, digits and signs that JSON escapes none of.
    #[inline(always)]
    fn plain(&mut self, key: &str, push: impl FnOnce(&mut Vec<u8>)) {
        let out = self.key(key);
        out.push(b'"');
        push(out);
        out.push(b'"');
    }

    #[inline(always)]
    fn text(&mut self, key: &str, value: &str) {
        push_text(value, self.key(key));
    }

    fn number(&mut self, key: &str, value: &str) {
        push_decimal(value, self.key(key));
    }

    /// Degrees of a location.
    fn degrees(&mut self, key: &str, value: &str) {
        push_degrees(value, self.key(key));
    }

    fn close(self) {
        self.out.push(b'}');
    }
}
