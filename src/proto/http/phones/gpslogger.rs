//! GPSLogger as Home Assistant has it configured: a form with `latitude`, `longitude` and `device`. The template has no
//! time, so a point is of the moment at which it came in, unless `timestamp` or `time` was added to it.
//!
//! Speeds are in metres per second, the battery in percent. Source: `homeassistant/components/gpslogger` and
//! GPSLogger's placeholders. A URL of one's own with the parameters of OsmAnd is read as that: see [`super::traccar`].

use super::point::{Point, Said, time_or_now};
use super::{NotUnderstood, Taken};
use crate::proto::http::form;
use crate::proto::model::time::Moment;

/// Reads the parameters of a form or a query.
///
/// # Errors
/// If no device or no place is named.
pub fn read(pairs: &[(String, String)], user: Option<&str>, now: Moment) -> Result<Taken, NotUnderstood> {
    let value = |keys: &[&str]| form::value(pairs, keys).map(String::as_str);
    let device = value(&["device", "ser", "aid"]).ok_or(NotUnderstood("no device says whose place it is"))?;
    let place = value(&["latitude", "lat"]).zip(value(&["longitude", "lon"]));
    let place = place.ok_or(NotUnderstood("there is no latitude or no longitude"))?;
    let device = form::name_part(device.trim());
    let client = user.map_or(device.clone(), |user| format!("{}/{device}", form::name_part(user)));
    let said = Said {
        accuracy_m: value(&["accuracy", "acc"]),
        altitude_m: value(&["altitude", "alt"]),
        speed: value(&["speed", "spd"]).map(|speed| (speed, 1.0)),
        course_degrees: value(&["direction", "dir"]),
        battery: value(&["battery", "batt"]).map(|percent| (percent, 1.0)),
        is_charging: value(&["charging", "ischarging"]).and_then(|charging| charging.parse().ok()),
        trigger: value(&["activity", "act"]),
        ..Said::default()
    };
    let time = time_or_now(value(&["timestamp", "time"]), now);
    Ok(Taken::one(Point::new(client, Some(place), &time, &said)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::phones::Useless;
    use crate::proto::model::attributes::Attributes;

    #[test]
    fn form_of_home_assistant_is_read() {
        let now = Moment { seconds: 1_700_000_000, nanos: 0 };
        let read = |text: &str| read(&form::pairs(text.as_bytes()), Some("jane"), now);
        let taken = read(
            "latitude=52.1&longitude=4.5&device=abc&accuracy=12&battery=80&speed=1.25&direction=90.5&altitude=10\
             &provider=gps&activity=still",
        );
        let point = &taken.unwrap().points[0];
        assert_eq!(
            (&*point.client, point.location(), point.time()),
            ("jane/abc", "+52.1+4.5", "1700000000.000000000")
        );
        assert_eq!(
            point.attributes().map_or("", Attributes::text),
            "acc=12&alt=10&speed=1.25&course=90.5&batt=80&trigger=still"
        );
        let at = read("lat=1&lon=2&ser=a&time=2023-11-14T22:13:20.5Z&batt=").unwrap();
        assert_eq!(
            (at.points[0].time(), at.points[0].attributes().map_or("", Attributes::text)),
            ("1700000000.5", "")
        );
        assert_eq!(read("latitude=91&longitude=4.5&device=abc").unwrap().why, Some(Useless::BadPlace));
        assert!(read("latitude=1&device=abc").is_err() && read("latitude=1&longitude=2").is_err());
    }
}
