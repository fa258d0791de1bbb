//! Traccar Client and OsmAnd: parameters in the query or in a form, one JSON object of Traccar Client 9, or an array of
//! flat objects of its SDK.
//!
//! The parameters of both apps have the same names. Traccar Client says seconds and knots; OsmAnd, whose times are in
//! milliseconds, says metres per second. Source: the decoder of Traccar for this protocol, and the apps' sources.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::json::{Elements, Raw, Value, is_true, last_value_counts, object, object_in, text};
use super::point::{KNOT, Point, Said, time_or_now};
use super::{NotUnderstood, Taken, Useless};
use crate::proto::http::form::{self, value};
use crate::proto::model::time::Moment;

/// A time from here on is in milliseconds, as in the decoder of Traccar.
const SECONDS_MAX: u64 = i32::MAX as u64;

/// Whether these look like parameters of a report, though they may name no client.
pub fn is_report(pairs: &[(String, String)]) -> bool {
    let is_word = |key: &str| {
        let words =
            ["id", "deviceid", "device", "device_id", "lat", "lon", "latitude", "longitude", "timestamp"];
        words.iter().any(|word| key.eq_ignore_ascii_case(word))
    };
    pairs.iter().any(|pair| is_word(&pair.0))
}

/// Reads the parameters of a query and of a form, of which the form counts first. A point without a time is of `now`.
///
/// # Errors
/// If they name no client.
pub fn read_pairs(
    form: &[(String, String)],
    query: &[(String, String)],
    now: Moment,
) -> Result<Taken, NotUnderstood> {
    let value = |keys: &[&'static str]| value(form, keys).or_else(|| value(query, keys));
    read_values(value, now).map(Taken::one)
}

/// Reads a body of JSON: an object, or an array of flat ones. Who reports may stand in the query.
///
/// # Errors
/// If it is neither, or names no client.
pub fn read_json(body: &[u8], query: &[(String, String)], now: Moment) -> Result<Taken, NotUnderstood> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.trim_ascii_start().starts_with(b"[") {
        return read_array(body, query, now);
    }
    let report: Report<'_> =
        object(body).ok_or(NotUnderstood("the body is no JSON object of Traccar Client"))?;
    let client = text(report.device_id).filter(|id| !id.is_empty());
    match (client, report.location) {
        (Some(client), Some(location)) => {
            let location = object_in::<Location<'_>>(Some(location)).ok_or(Useless::NoPlace);
            Ok(Taken::one(location.and_then(|location| location.point(client_name(&client)))))
        }
        (Some(_), None) => Err(NotUnderstood("the object has no location")),
        (None, _) => read_flat(body, query, now).map(Taken::one),
    }
}

/// One odd element must not keep all others on the phone for ever; but if none is understood, nothing is.
fn read_array(body: &[u8], query: &[(String, String)], now: Moment) -> Result<Taken, NotUnderstood> {
    let Elements(objects) = serde_json::from_slice(body)
        .map_err(|_| NotUnderstood("the body is no JSON array of up to 10,000 points"))?;
    let (mut taken, mut not_understood) = (Taken::default(), None);
    for object in &objects {
        match read_flat(object.0.as_bytes(), query, now) {
            Ok(point) => taken.take(point),
            Err(why) => {
                not_understood = Some(why);
                taken.take(Err(Useless::BadName));
            }
        }
    }
    match not_understood {
        Some(why) if taken.points.is_empty() && taken.left_out == objects.len() => Err(why),
        _ => Ok(taken),
    }
}

/// One flat object with the names of the parameters.
fn read_flat(
    body: &[u8],
    query: &[(String, String)],
    now: Moment,
) -> Result<Result<Point, Useless>, NotUnderstood> {
    let members: BTreeMap<Cow<'_, str>, Value<'_>> =
        object(body).ok_or(NotUnderstood("the body is no JSON object of Traccar Client"))?;
    let flat = |value: Value<'_>| match value.0 {
        word @ ("true" | "false") => Some(word.to_owned()),
        _ => text(Some(value)).map(Cow::into_owned),
    };
    let members: BTreeMap<&str, String> =
        members.iter().filter_map(|(key, value)| Some((&**key, flat(*value)?))).collect();
    read_values(
        |keys: &[&'static str]| {
            let member = keys.iter().find_map(|key| members.get(key)).filter(|it| !it.is_empty());
            member.or_else(|| value(query, keys))
        },
        now,
    )
}

fn read_values<'a>(
    value: impl Fn(&[&'static str]) -> Option<&'a String>,
    now: Moment,
) -> Result<Result<Point, Useless>, NotUnderstood> {
    let value = |keys: &[&'static str]| value(keys).map(String::as_str);
    let client = value(&["id", "deviceid"]).ok_or(NotUnderstood("no id says whose place it is"))?;
    let both = value(&["location"]).and_then(|both| both.split_once(','));
    let place = value(&["lat", "latitude"]).zip(value(&["lon", "lng", "longitude"])).or(both);
    let time = value(&["timestamp", "time"]);
    let milliseconds = time.and_then(|time| time.parse::<u64>().ok()).filter(|&time| time > SECONDS_MAX);
    let time = match (milliseconds, time) {
        (Some(time), _) => format!("{}.{:03}", time / 1_000, time % 1_000),
        (None, time) => time_or_now(time, now),
    };
    let said = Said {
        accuracy_m: value(&["accuracy"]),
        altitude_m: value(&["altitude"]),
        altitude_accuracy_m: None,
        speed: value(&["speed"]).map(|speed| (speed, if milliseconds.is_some() { 1.0 } else { KNOT })),
        course_degrees: value(&["bearing", "heading"]),
        battery: value(&["batt"]).map(|percent| (percent, 1.0)),
        is_charging: value(&["charge"]).and_then(|charge| charge.parse().ok()),
        tracker_id: None,
        trigger: value(&["alarm", "event"]),
    };
    Ok(Point::new(client_name(client), place, &time, &said))
}

/// An identifier may be anything that a user types; `jane/phone` stays what it is.
fn client_name(id: &str) -> String {
    id.trim().split('/').map(form::name_part).collect::<Vec<_>>().join("/")
}

// The object of Traccar Client 9.
#[derive(Default)]
struct Report<'a> {
    device_id: Raw<'a>,
    location: Raw<'a>,
}

last_value_counts!(Report {
    "device_id" => device_id,
    "location" => location,
});

#[derive(Default)]
struct Location<'a> {
    timestamp: Raw<'a>,
    coords: Raw<'a>,
    battery: Raw<'a>,
    event: Raw<'a>,
}

last_value_counts!(Location {
    "timestamp" => timestamp,
    "coords" => coords,
    "battery" => battery,
    "event" => event,
});

#[derive(Default)]
struct Coords<'a> {
    latitude: Raw<'a>,
    longitude: Raw<'a>,
    accuracy: Raw<'a>,
    speed: Raw<'a>,
    heading: Raw<'a>,
    altitude: Raw<'a>,
}

last_value_counts!(Coords {
    "latitude" => latitude,
    "longitude" => longitude,
    "accuracy" => accuracy,
    "speed" => speed,
    "heading" => heading,
    "altitude" => altitude,
});

#[derive(Default)]
struct Battery<'a> {
    level: Raw<'a>,
    is_charging: Raw<'a>,
}

last_value_counts!(Battery {
    "level" => level,
    "is_charging" => is_charging,
});

impl Location<'_> {
    fn point(&self, client: String) -> Result<Point, Useless> {
        let coords: Coords<'_> = object_in(self.coords).ok_or(Useless::NoPlace)?;
        let battery = object_in::<Battery<'_>>(self.battery);
        let fields = [
            coords.latitude,
            coords.longitude,
            coords.accuracy,
            coords.speed,
            coords.heading,
            coords.altitude,
        ];
        let fields = fields.map(text);
        let [latitude, longitude, accuracy, speed, heading, altitude] =
            fields.each_ref().map(Option::as_deref);
        let level = battery.as_ref().and_then(|battery| text(battery.level));
        let (time, event) = (text(self.timestamp), text(self.event));
        let said = Said {
            accuracy_m: accuracy,
            altitude_m: altitude,
            speed: speed.map(|speed| (speed, 1.0)),
            course_degrees: heading,
            battery: level.as_deref().map(|level| (level, 100.0)),
            is_charging: battery.as_ref().and_then(|battery| is_true(battery.is_charging)),
            trigger: event.as_deref(),
            ..Said::default()
        };
        Point::new(client, latitude.zip(longitude), time.as_deref().unwrap_or_default(), &said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::attributes::Attributes;

    const NOW: Moment = Moment { seconds: 1_700_000_000, nanos: 5 };

    fn query(text: &str) -> Result<Taken, NotUnderstood> {
        read_pairs(&[], &form::pairs(text.as_bytes()), NOW)
    }

    #[test]
    fn parameters_of_all_clients_are_read() {
        let taken = query(
            "id=123456&lat=34.06893&lon=-118.445127&timestamp=1700000000&accuracy=5.0&altitude=12.0&speed=3.11\
             &bearing=90.0&batt=87&charge=false",
        );
        let point = &taken.unwrap().points[0];
        assert_eq!(
            (&*point.client, point.location(), point.time()),
            ("123456", "+34.06893-118.445127", "1700000000")
        );
        assert_eq!(
            point.attributes().map_or("", Attributes::text),
            "acc=5.0&alt=12.0&speed=1.6&course=90.0&batt=87&charge=0"
        );

        let osmand = query(
            "deviceid=my+car&lat=1&lon=2&timestamp=1700000000123&hdop=4&altitude=0&speed=3.5&bearing=0",
        );
        let point = &osmand.unwrap().points[0];
        assert_eq!((&*point.client, point.time()), ("my%20car", "1700000000.123"));
        assert_eq!(point.attributes().map_or("", Attributes::text), "alt=0&speed=3.5&course=0");

        let point = |text| query(text).unwrap().points.remove(0);
        assert_eq!(point("id=jane/phone&location=1.5,-2.5").location(), "+1.5-2.5");
        assert_eq!(point("id=jane/phone&lat=1&lon=2").time(), "1700000000.000000005");
        assert_eq!(point("id=a&lat=1&lon=2&timestamp=2023-11-14T22:13:20Z").time(), "1700000000");
        assert_eq!(query("id=a&batt=50").unwrap().why, Some(Useless::NoPlace), "a sign of life");
        assert!(query("lat=1&lon=2").is_err());
    }

    #[test]
    fn form_counts_before_the_query() {
        let pairs = |text: &str| form::pairs(text.as_bytes());
        let taken =
            read_pairs(&pairs("id=a&lat=1&lon=2&timestamp=5"), &pairs("id=token&lat=9"), NOW).unwrap();
        assert_eq!((&*taken.points[0].client, taken.points[0].location()), ("a", "+1+2"));
    }

    #[test]
    fn json_of_the_app_and_of_its_sdk_is_read() {
        let body = r#"{"location":{"timestamp":"2025-06-15T13:45:12.862Z","coords":{
            "latitude":37.42,"longitude":-122.08,"accuracy":5,
            "speed":0,"heading":-1,"altitude":5},"is_moving":false,"odometer":0,"event":"motionchange",
            "battery":{"level":0.5,"is_charging":false},"activity":{"type":"still"},"extras":{}},
            "device_id":"48241179"}"#;
        let taken = read_json(body.as_bytes(), &[], NOW).unwrap();
        let point = &taken.points[0];
        assert_eq!(
            (&*point.client, point.location(), point.time()),
            ("48241179", "+37.42-122.08", "1749995112.862")
        );
        assert_eq!(
            point.attributes().map_or("", Attributes::text),
            "acc=5&alt=5&speed=0&batt=50&charge=0&trigger=motionchange"
        );

        let array = r#"[{"id":"a","lat":1.50,"lon":2,"timestamp":1700000000,"speed":10,"charge":true},
            {"id":"a","batt":5}, {"id":"b","lat":"3","lon":"4","timestamp":1700000001}]"#;
        let taken = read_json(array.as_bytes(), &[], NOW).unwrap();
        assert_eq!((taken.points.len(), taken.left_out, taken.why), (2, 1, Some(Useless::NoPlace)));
        assert_eq!(
            (taken.points[0].location(), taken.points[0].attributes().map_or("", Attributes::text)),
            ("+1.50+2", "speed=5.14&charge=1")
        );
        let odd = r#"[{"id":"a","lat":1,"lon":2,"timestamp":5},{"lat":1,"lon":2},null,{"id":{"a":1}}]"#;
        let taken = read_json(odd.as_bytes(), &[], NOW).unwrap();
        assert_eq!((taken.points.len(), taken.left_out), (1, 3));
        let many = format!("[{}]", vec![r#"{"id":"a","lat":1,"lon":2,"timestamp":5}"#; 14].join(","));
        assert_eq!(read_json(many.as_bytes(), &[], NOW).unwrap().points.len(), 14);
        let named = read_json(br#"{"lat":1,"lon":2}"#, &form::pairs(b"id=x"), NOW).unwrap();
        assert_eq!(named.points[0].client, "x");
        let odd = body.replace("{\"level\":0.5,\"is_charging\":false}", "5");
        assert_eq!(read_json(odd.as_bytes(), &[], NOW).unwrap().points.len(), 1);
        for body in ["{}", "[{}]", "[1]", "5", "{\"device_id\":\"a\"}", "{", "[{\"lat\":1,\"lon\":2}]"] {
            assert!(read_json(body.as_bytes(), &[], NOW).is_err(), "{body}");
        }
    }
}
