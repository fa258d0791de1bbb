//! OwnTracks in its HTTP mode: one JSON object in each request, on a path of the user's choice.
//!
//! Only `location` moves a client. Its other messages are understood, answered, and not kept. Speeds are in km/h,
//! accuracies and altitudes in metres, the battery in percent. Source: booklet of OwnTracks, "JSON"; the apps' sources.

use std::borrow::Cow;

use super::json::{Members, Raw, ShortKey, object_of, text};
use super::point::{KILOMETRE_PER_HOUR, Point, Said};
use super::{NotUnderstood, Taken};
use crate::proto::http::form;

/// The `_type`s that the apps send and that no client is moved by.
const OTHERS: [&str; 13] = [
    "beacon",
    "card",
    "cmd",
    "configuration",
    "dump",
    "lwt",
    "request",
    "status",
    "steps",
    "tour",
    "transition",
    "waypoint",
    "waypoints",
];

/// Who a phone says that it is beside its message: the user and the device of its header fields, its query or its
/// login.
#[derive(Clone, Debug, Default)]
pub struct Whose<'a> {
    /// The user.
    pub user: Option<Cow<'a, str>>,
    /// The device.
    pub device: Option<Cow<'a, str>>,
}

impl<'a> Whose<'a> {
    /// The sender of an encrypted message: the outer one, whatever the message itself says.
    pub fn of(sender: Option<&'a str>) -> Whose<'a> {
        let parts = sender.and_then(|sender| sender.split_once('/'));
        let (user, device) = parts.unzip();
        let part = |part: Option<&'a str>| part.map(|part| form::decode(part.as_bytes()));
        Whose { user: part(user), device: part(device) }
    }
}

/// A message, of which nothing is understood yet.
#[derive(Default)]
pub struct Message<'a> {
    kind: Raw<'a>,
    lat: Raw<'a>,
    lon: Raw<'a>,
    tst: Raw<'a>,
    acc: Raw<'a>,
    alt: Raw<'a>,
    vac: Raw<'a>,
    vel: Raw<'a>,
    cog: Raw<'a>,
    batt: Raw<'a>,
    bs: Raw<'a>,
    tid: Raw<'a>,
    trigger: Raw<'a>,
    topic: Raw<'a>,
    data: Raw<'a>,
}

impl<'a> Members<'a> for Message<'a> {
    #[inline(always)]
    fn place(&mut self, key: ShortKey) -> Option<&mut Raw<'a>> {
        const TYPE: ShortKey = ShortKey::of("_type");
        const LAT: ShortKey = ShortKey::of("lat");
        const LON: ShortKey = ShortKey::of("lon");
        const TST: ShortKey = ShortKey::of("tst");
        const ACC: ShortKey = ShortKey::of("acc");
        const ALT: ShortKey = ShortKey::of("alt");
        const VAC: ShortKey = ShortKey::of("vac");
        const VEL: ShortKey = ShortKey::of("vel");
        const COG: ShortKey = ShortKey::of("cog");
        const BATT: ShortKey = ShortKey::of("batt");
        const BS: ShortKey = ShortKey::of("bs");
        const TID: ShortKey = ShortKey::of("tid");
        const T: ShortKey = ShortKey::of("t");
        const TOPIC: ShortKey = ShortKey::of("topic");
        const DATA: ShortKey = ShortKey::of("data");
        Some(match key {
            TYPE => &mut self.kind,
            LAT => &mut self.lat,
            LON => &mut self.lon,
            TST => &mut self.tst,
            ACC => &mut self.acc,
            ALT => &mut self.alt,
            VAC => &mut self.vac,
            VEL => &mut self.vel,
            COG => &mut self.cog,
            BATT => &mut self.batt,
            BS => &mut self.bs,
            TID => &mut self.tid,
            T => &mut self.trigger,
            TOPIC => &mut self.topic,
            DATA => &mut self.data,
            _ => return None,
        })
    }
}

/// Reads a body. An empty one is what the app sends when a friend was deleted.
///
/// # Errors
/// If it is no message, or of an unknown `_type`, or says of no client where it is.
pub fn read(body: &[u8], whose: &Whose<'_>) -> Result<Taken, NotUnderstood> {
    if body.trim_ascii().is_empty() {
        return Ok(Taken { sender: Message::default().client(whose), ..Taken::default() });
    }
    let message: Message<'_> =
        object_of(body).ok_or(NotUnderstood("the body is no JSON object of OwnTracks"))?;
    message.read(whose)
}

impl<'a> Message<'a> {
    /// The message that a body is: an object with a `_type`.
    pub fn of(body: &'a [u8]) -> Option<Message<'a>> {
        object_of(body).filter(|message: &Message<'_>| message.kind.is_some())
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, whose: &Whose<'_>) -> Result<Taken, NotUnderstood> {
        let sender = || self.client(whose);
        match text(self.kind).as_deref() {
            Some("location") => {}
            Some("encrypted") => {
                let data = text(self.data).ok_or(NotUnderstood("the encrypted message has no data"))?;
                return Ok(Taken { sender: sender(), sealed: Some(data.into_owned()), ..Taken::default() });
            }
            Some(kind) if OTHERS.contains(&kind) => {
                return Ok(Taken { sender: sender(), ..Taken::default() });
            }
            Some(_) => return Err(NotUnderstood("the _type is unknown")),
            None => return Err(NotUnderstood("the object has no _type")),
        }
        let client = sender().ok_or(NotUnderstood(
            "nothing says whose place it is: set a user and a device (headers X-Limit-U and X-Limit-D, or ?u= and &d=)",
        ))?;
        let (lat, lon, tst) = (text(self.lat), text(self.lon), text(self.tst));
        let (acc, alt, vac) = (text(self.acc), text(self.alt), text(self.vac));
        let (vel, cog, batt) = (text(self.vel), text(self.cog), text(self.batt));
        let (bs, tid, trigger) = (text(self.bs), text(self.tid), text(self.trigger));
        let said = Said {
            accuracy_m: acc.as_deref(),
            altitude_m: alt.as_deref(),
            altitude_accuracy_m: vac.as_deref(),
            speed: vel.as_deref().map(|vel| (vel, KILOMETRE_PER_HOUR)),
            course_degrees: cog.as_deref(),
            battery: batt.as_deref().map(|batt| (batt, 1.0)),
            // 1 is unplugged, 2 charging, 3 full, and 0 unknown.
            is_charging: match bs.as_deref() {
                Some("1") => Some(false),
                Some("2" | "3") => Some(true),
                _ => None,
            },
            tracker_id: tid.as_deref(),
            trigger: trigger.as_deref(),
        };
        let place = lat.as_deref().zip(lon.as_deref());
        let point = Point::new(client, place, tst.as_deref().unwrap_or_default(), &said);
        // A point has its name with it.
        let sender = if point.is_err() { sender() } else { None };
        Ok(Taken { sender, ..Taken::one(point) })
    }

    /// `user/device`: as the app's header fields or its query say, or else its topic, or else the user and its short
    /// name.
    fn client(&self, whose: &Whose<'_>) -> Option<String> {
        let device = whose.device.as_deref().map(trimmed).filter(|device| !device.is_empty());
        let user = whose.user.as_deref().map(trimmed).filter(|user| !user.is_empty());
        if let (Some(user), Some(device)) = (user, device) {
            return Some(client(user, device));
        }
        let topic = text(self.topic);
        // Its last two parts, whatever the user has put before them.
        let in_topic = topic.as_deref().and_then(|topic| {
            let mut parts = topic.rsplit('/').filter(|part| !part.is_empty());
            parts.next().and_then(|device| Some((parts.next()?, device)))
        });
        match (user, in_topic) {
            (None, Some((user, device))) => Some(client(user.trim(), device.trim())),
            (Some(user), Some((_, device))) => Some(client(user, device.trim())),
            (Some(user), None) => Some(client(user, text(self.tid).as_deref().map_or("phone", str::trim))),
            (None, None) => None,
        }
    }
}

/// A text without white space around it, as most are.
fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// The name of a user's client.
fn client(user: &str, device: &str) -> String {
    let mut client = String::with_capacity(user.len() + 1 + device.len());
    form::push_name_part(user, &mut client);
    client.push('/');
    form::push_name_part(device, &mut client);
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::phones::Useless;
    use crate::proto::model::attributes::Attributes;

    const LOCATION: &str = r#"{"_type":"location","lat":34.068930,"lon":-118.445127,"tst":1497476456,"tid":"JJ",
        "acc":5,"alt":167,"vac":21,"vel":61,"cog":271,"batt":41,"bs":1,"conn":"m","t":"u","m":1,
        "created_at":1497476460,"_id":"05b6f5bf","inregions":["Home"],"topic":"owntracks/jane/phone"}"#;

    fn whose<'a>(user: &'a str, device: &'a str) -> Whose<'a> {
        let some = |text: &'a str| Some(text.into()).filter(|text: &Cow<'_, str>| !text.is_empty());
        Whose { user: some(user), device: some(device) }
    }

    #[test]
    fn location_is_a_point() {
        let taken = read(LOCATION.as_bytes(), &Whose::default()).unwrap();
        let point = &taken.points[0];
        assert_eq!(
            (&*point.client, point.location(), point.time()),
            ("jane/phone", "+34.068930-118.445127", "1497476456")
        );
        assert_eq!(
            point.attributes().map_or("", Attributes::text),
            "acc=5&alt=167&vac=21&speed=16.94&course=271&batt=41&charge=0&tid=JJ&trigger=u"
        );
    }

    #[test]
    fn user_and_device_come_from_the_first_that_says_them() {
        let client = |body: &str, whose: &Whose<'_>| {
            read(body.as_bytes(), whose).map(|taken| taken.points[0].client.clone())
        };
        let bare = LOCATION.replace("\"topic\"", "\"other\"");
        assert_eq!(client(LOCATION, &whose("joe", "car")).unwrap(), "joe/car");
        assert_eq!(client(LOCATION, &whose("joe", "")).unwrap(), "joe/phone");
        assert_eq!(client(&bare, &whose("joe", "")).unwrap(), "joe/JJ");
        assert_eq!(client(&bare, &whose("j o/e", "my phone")).unwrap(), "j%20o%2Fe/my%20phone");
        assert!(client(&bare, &whose("", "car")).is_err());
    }

    #[test]
    fn other_messages_are_understood_and_unknown_ones_are_not() {
        for kind in OTHERS {
            let body = format!("{{\"_type\":\"{kind}\",\"desc\":\"x\"}}");
            assert_eq!(read(body.as_bytes(), &Whose::default()), Ok(Taken::default()), "{kind}");
        }
        assert_eq!(read(b"", &Whose::default()), Ok(Taken::default()));
        for body in [
            "{}",
            "[]",
            "{\"_type\":\"new\"}",
            "{\"_type\":5}",
            "{\"_type\":\"encrypted\"}",
            "{\"_type\":\"encrypted\",\"data\":[]}",
            "lat=1",
            "{",
        ] {
            assert!(read(body.as_bytes(), &whose("a", "b")).is_err(), "{body}");
        }
        let sealed = read(b"{\"_type\":\"encrypted\",\"data\":\"x\"}", &whose("a", "b")).unwrap();
        assert_eq!((sealed.sealed.as_deref(), sealed.sender()), (Some("x"), Some("a/b")));
        let without = |key: &str| LOCATION.replace(&format!("\"{key}\""), "\"x\"");
        let why = |body: &str| read(body.as_bytes(), &Whose::default()).unwrap().why;
        assert_eq!(why(&without("lat")), Some(Useless::NoPlace));
        assert_eq!(why(&without("tst")), Some(Useless::BadTime));
        assert_eq!(why(&LOCATION.replace("34.068930", "null")), Some(Useless::NoPlace));
        assert_eq!(why(&LOCATION.replace("34.068930", "\"91\"")), Some(Useless::BadPlace));
        // A value of another type says nothing, and spoils nothing.
        assert_eq!(
            read(LOCATION.replace("\"u\"", "{\"a\":[1]}").as_bytes(), &Whose::default()).unwrap().left_out,
            0
        );
        for body in ["", LOCATION, &without("lat"), "{\"_type\":\"status\"}"] {
            let taken = read(body.as_bytes(), &whose("joe", "car")).unwrap();
            assert_eq!(taken.sender(), Some("joe/car"), "{body}");
        }
        let is_message = |body: &[u8]| Message::of(body).is_some();
        assert!(is_message(LOCATION.as_bytes()) && !is_message(b"{}") && !is_message(b"id=1"));
    }
}
