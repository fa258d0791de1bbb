//! Overland and those that copy it (GPSLogger's Dawarich mode, Dawarich's own apps): batches of GeoJSON features.
//!
//! A batch is deleted on the phone only if the answer is an object with `"result":"ok"`. Speeds are in metres per
//! second, the battery goes from 0 to 1, and -1 is unknown. Source: README of Overland; source of GPSLogger 136.

use serde::Deserialize;

use super::json::{Elements, Raw, object, object_in, text};
use super::point::{Point, Said};
use super::{NotUnderstood, Taken, Useless};
use crate::proto::http::form;

/// The device of a batch that names none.
const DEVICE: &str = "overland";

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    locations: Elements<'a>,
}

#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(borrow)]
    geometry: Raw<'a>,
    #[serde(borrow)]
    properties: Raw<'a>,
}

#[derive(Deserialize)]
struct Geometry<'a> {
    #[serde(borrow)]
    coordinates: Elements<'a>,
}

#[derive(Deserialize)]
struct Properties<'a> {
    #[serde(borrow)]
    timestamp: Raw<'a>,
    #[serde(borrow)]
    device_id: Raw<'a>,
    #[serde(borrow)]
    unique_id: Raw<'a>,
    #[serde(borrow)]
    altitude: Raw<'a>,
    #[serde(borrow)]
    speed: Raw<'a>,
    #[serde(borrow)]
    course: Raw<'a>,
    #[serde(borrow)]
    horizontal_accuracy: Raw<'a>,
    #[serde(borrow)]
    vertical_accuracy: Raw<'a>,
    #[serde(borrow)]
    battery_level: Raw<'a>,
    #[serde(borrow)]
    battery_state: Raw<'a>,
}

/// Whether a body is a batch.
pub fn is_batch(body: &[u8]) -> bool {
    object::<Batch<'_>>(body).is_some()
}

/// Reads a batch of the user, if it has said who it is.
///
/// # Errors
/// If it is none.
pub fn read(body: &[u8], user: Option<&str>) -> Result<Taken, NotUnderstood> {
    let batch: Batch<'_> = object(body).ok_or(NotUnderstood("the body is no JSON object with locations"))?;
    let mut taken = Taken::default();
    for feature in batch.locations.0 {
        // One odd feature must not keep all others on the phone for ever.
        let feature = object_in::<Feature<'_>>(Some(feature)).ok_or(Useless::NoPlace);
        taken.take(feature.and_then(|feature| feature.point(user)));
    }
    Ok(taken)
}

impl Feature<'_> {
    fn point(&self, user: Option<&str>) -> Result<Point, Useless> {
        let properties: Properties<'_> = object_in(self.properties).ok_or(Useless::BadTime)?;
        let geometry = object_in::<Geometry<'_>>(self.geometry).map(|geometry| geometry.coordinates.0);
        let coordinates = geometry.unwrap_or_default();
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
            (&*point.client, &*point.location, &*point.time),
            ("my%20phone", "+37.331800-122.030581", "1443711600")
        );
        assert_eq!(point.attributes, "acc=30&alt=0&speed=4&batt=83&charge=1");
        assert_eq!((&*taken.points[1].client, &*taken.points[1].location), ("overland", "+2+1"));
        assert_eq!(read(BATCH.as_bytes(), Some("jane")).unwrap().points[0].client, "jane/my%20phone");
        assert_eq!(read(b"{\"locations\":[]}", None), Ok(Taken::default()));
        for body in ["", "[]", "[[]]", "{}", "{\"locations\":5}", "{\"locations\":null}"] {
            assert!(read(body.as_bytes(), None).is_err(), "{body}");
        }
    }
}
