//! Overland and those that copy it (GPSLogger's Dawarich mode, Dawarich's own apps): batches of GeoJSON features.
//!
//! A batch is deleted on the phone only if the answer is an object with `"result":"ok"`. Speeds are in metres per
//! second, the battery goes from 0 to 1, and -1 is unknown. Source: README of Overland; source of GPSLogger 136.

use super::json::{Elements, Raw, last_value_counts, object, object_in, text};
use super::point::{Point, Said};
use super::{NotUnderstood, Taken, Useless};
use crate::proto::http::form;

/// The device of a batch that names none.
const DEVICE: &str = "overland";

#[derive(Default)]
struct Batch<'a> {
    locations: Option<Elements<'a>>,
}

last_value_counts!(Batch {
    "locations" => locations,
});

#[derive(Default)]
struct Feature<'a> {
    geometry: Raw<'a>,
    properties: Raw<'a>,
}

last_value_counts!(Feature {
    "geometry" => geometry,
    "properties" => properties,
});

#[derive(Default)]
struct Geometry<'a> {
    coordinates: Option<Elements<'a>>,
}

last_value_counts!(Geometry {
    "coordinates" => coordinates,
});

#[derive(Default)]
struct Properties<'a> {
    timestamp: Raw<'a>,
    device_id: Raw<'a>,
    unique_id: Raw<'a>,
    altitude: Raw<'a>,
    speed: Raw<'a>,
    course: Raw<'a>,
    horizontal_accuracy: Raw<'a>,
    vertical_accuracy: Raw<'a>,
    battery_level: Raw<'a>,
    battery_state: Raw<'a>,
}

last_value_counts!(Properties {
    "timestamp" => timestamp,
    "device_id" => device_id,
    "unique_id" => unique_id,
    "altitude" => altitude,
    "speed" => speed,
    "course" => course,
    "horizontal_accuracy" => horizontal_accuracy,
    "vertical_accuracy" => vertical_accuracy,
    "battery_level" => battery_level,
    "battery_state" => battery_state,
});

/// Whether a body is a batch.
pub fn is_batch(body: &[u8]) -> bool {
    object::<Batch<'_>>(body).is_some_and(|batch| batch.locations.is_some())
}

/// Reads a batch of the user, if it has said who it is.
///
/// # Errors
/// If it is none.
pub fn read(body: &[u8], user: Option<&str>) -> Result<Taken, NotUnderstood> {
    let batch = object::<Batch<'_>>(body).and_then(|batch| batch.locations);
    let locations = batch.ok_or(NotUnderstood("the body is no JSON object with locations"))?;
    let mut taken = Taken::default();
    for feature in locations.0 {
        // One odd feature must not keep all others on the phone for ever.
        let feature = object_in::<Feature<'_>>(Some(feature)).ok_or(Useless::NoPlace);
        taken.take(feature.and_then(|feature| feature.point(user)));
    }
    Ok(taken)
}

impl Feature<'_> {
    fn point(&self, user: Option<&str>) -> Result<Point, Useless> {
        let properties: Properties<'_> = object_in(self.properties).ok_or(Useless::BadTime)?;
        let geometry = object_in::<Geometry<'_>>(self.geometry).and_then(|geometry| geometry.coordinates);
        let coordinates = geometry.map_or(Vec::new(), |coordinates| coordinates.0);
        let [longitude, latitude] = [0, 1].map(|at| text(coordinates.get(at).copied()));
        let device =
            text(properties.device_id).filter(|id| !id.is_empty()).or_else(|| text(properties.unique_id));
        let device = form::name_part(device.as_deref().filter(|id| !id.is_empty()).unwrap_or(DEVICE));
        let client = user.map_or(device.clone(), |user| format!("{}/{device}", form::name_part(user)));
        let fields = [
            properties.altitude,
            properties.speed,
            properties.course,
            properties.horizontal_accuracy,
            properties.vertical_accuracy,
            properties.battery_level,
        ];
        let fields = fields.map(text);
        let [altitude, speed, course, accuracy, vertical, battery] = fields.each_ref().map(Option::as_deref);
        let said = Said {
            accuracy_m: accuracy,
            altitude_m: altitude,
            altitude_accuracy_m: vertical,
            speed: speed.map(|speed| (speed, 1.0)),
            course_degrees: course,
            battery: battery.map(|level| (level, 100.0)),
            is_charging: match text(properties.battery_state).as_deref() {
                Some("charging" | "full") => Some(true),
                Some("unplugged") => Some(false),
                _ => None,
            },
            ..Said::default()
        };
        let time = text(properties.timestamp);
        let place = latitude.as_deref().zip(longitude.as_deref());
        Point::new(client, place, time.as_deref().unwrap_or_default(), &said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::attributes::Attributes;

    const BATCH: &str = r#"{"locations":[
        {"type":"Feature","geometry":{"type":"Point","coordinates":[-122.030581,37.331800]},"properties":{
         "timestamp":"2015-10-01T08:00:00-0700","altitude":0,"speed":4,"horizontal_accuracy":30,"vertical_accuracy":-1,
         "motion":["driving"],"pauses":false,"activity":"other_navigation","deffered":0,"wifi":"x",
         "device_id":"my phone",
         "battery_state":"charging","battery_level":0.83,"course":-1}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":[]},
         "properties":{"timestamp":"2015-10-01T08:00:01Z"}},
        {"type":"Feature","geometry":null,"properties":null}, 5,
        {"type":"Feature","geometry":{"type":"Point","coordinates":[1,2,3]},"properties":{"timestamp":1443711602}}
        ],"current":{},"trip":{}}"#;

    #[test]
    fn batch_gives_a_point_for_each_good_feature() {
        let taken = read(BATCH.as_bytes(), None).unwrap();
        assert_eq!((taken.points.len(), taken.left_out, taken.why), (2, 3, Some(Useless::NoPlace)));
        let point = &taken.points[0];
        assert_eq!(
            (&*point.client, point.location(), point.time()),
            ("my%20phone", "+37.331800-122.030581", "1443711600")
        );
        assert_eq!(point.attributes().map_or("", Attributes::text), "acc=30&alt=0&speed=4&batt=83&charge=1");
        assert_eq!((&*taken.points[1].client, taken.points[1].location()), ("overland", "+2+1"));
        assert_eq!(read(BATCH.as_bytes(), Some("jane")).unwrap().points[0].client, "jane/my%20phone");
        assert_eq!(read(b"{\"locations\":[]}", None), Ok(Taken::default()));
        for body in ["", "[]", "[[]]", "{}", "{\"locations\":5}", "{\"locations\":null}"] {
            assert!(read(body.as_bytes(), None).is_err(), "{body}");
        }
    }
}
