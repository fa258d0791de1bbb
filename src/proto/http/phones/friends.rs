//! Friends, as both apps of OwnTracks read them in an answer: an array of their last places, and of cards with the
//! names of people. And each of them as a message of its own, as they come from a broker.
//!
//! One element that an app does not take voids the whole array, and in Android up to 2.5.9 the delivery with it. So
//! only elements that are built here are sent, with whole numbers wherever one of the apps wants them. Facts of the
//! apps (iOS 26.3.1, `message.json` and `Connection.m`; Android of June 2026, `MessageLocation.kt` and
//! `HttpMessageProcessorEndpoint.kt`):
//! - Both name a friend by its `tid` alone. It must be another one for each client, and the same in every answer.
//! - iOS cuts that name at its third slash, one of which stands in the `tid` then: `jane/phone` and `jane/car` would be
//!   one friend. So the `tid` has a space there, which no client's name has.
//! - Android takes a card whose `tid` is `info` for that of another friend.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::point::{KILOMETRE_PER_HOUR, is_short_whole, push_degrees};
use crate::proto::http::form;
use crate::proto::model::attributes::Attributes;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::time::push_digits;

/// The most bytes of an answer: some thousand friends, or a hundred with the longest names.
const BYTES_MAX: usize = 256 * 1024;

/// The bytes of most locations, and of the answers with a few of them.
const LOCATION_BYTES: usize = 192;
const ANSWER_BYTES: usize = 1_000;

/// A bit for each number that a location can have.
const SAID_ALL: u8 = (1 << 6) - 1;

/// The last second of the year 9999, behind which no app writes a date.
const TIME_S_MAX: u64 = 253_402_300_799;

/// What no topic of a broker may have.
const NOT_IN_TOPICS: &AsciiSet = &CONTROLS.add(b'+').add(b'#');

/// A location as a message of its own, on a topic that says whose it is; `None` if the apps cannot read its time. The
/// apps show the `tid` on the map: the one that the phone has chosen, or else the last two characters of its name.
pub fn location(seen: &Sighting<'_>, attributes: Option<Attributes<'_>>) -> Option<Vec<u8>> {
    let time_s = seen.time.moment().seconds;
    if !(1..=TIME_S_MAX).contains(&time_s) {
        return None;
    }
    let mut message = Friends { out: Vec::with_capacity(LOCATION_BYTES), count: 0 };
    message.key("{\"_type\":\"location\"");
    message.text(",\"tid\":", &tid(seen.client.0, attributes));
    message.place(seen, attributes, time_s);
    Some(message.out)
}

/// A card as a message of its own.
pub fn card(client: &str, attributes: Option<Attributes<'_>>, name: &str) -> Vec<u8> {
    let mut message = Friends { out: Vec::new(), count: 0 };
    message.key("{\"_type\":\"card\"");
    message.text(",\"tid\":", &tid(client, attributes));
    message.text(",\"name\":", name);
    message.out.push(b'}');
    message.out
}

/// What a friend is called on the map.
fn tid(client: &str, attributes: Option<Attributes<'_>>) -> String {
    let own = attributes.and_then(|attributes| attributes.get("tid")).filter(|tid| !tid.is_empty());
    let last = || client.char_indices().nth_back(1).map_or(client, |(at, _)| &client[at..]).to_owned();
    own.map_or_else(last, |tid| form::decode(tid.as_bytes()).into_owned())
}

/// An answer that is being written.
#[derive(Debug, Default)]
pub struct Friends {
    out: Vec<u8>,
    count: usize,
}

impl Friends {
    /// Adds a friend, with the name of the person if it is known. Whether there was room for it; one whose place or
    /// time the apps cannot read is left out.
    pub fn push(
        &mut self,
        seen: &Sighting<'_>,
        attributes: Option<Attributes<'_>>,
        name: Option<&str>,
    ) -> bool {
        let time_s = seen.time.moment().seconds;
        if !(1..=TIME_S_MAX).contains(&time_s) {
            return true;
        }
        // Many have none.
        if self.out.is_empty() {
            self.out.reserve(ANSWER_BYTES);
        }
        let before = self.out.len();
        let client = seen.client.0;
        self.separate();
        if let Some(name) = name.filter(|_| client != "info") {
            self.key("{\"_type\":\"card\"");
            self.tid(client);
            self.text(",\"name\":", name);
            self.out.push(b'}');
            self.separate();
        }
        self.names(client);
        self.place(seen, attributes, time_s);
        if self.out.len() > BYTES_MAX {
            self.out.truncate(before);
            return false;
        }
        self.count += 1;
        true
    }

    /// The `tid` and the topic of a location.
    fn names(&mut self, client: &str) {
        // Nearly all are as they are.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'+' | b'#');
        if !client.bytes().all(is_plain) {
            self.key("{\"_type\":\"location\"");
            self.tid(client);
            return self.topic(client);
        }
        let out = self.key("{\"_type\":\"location\",\"tid\":\"");
        push_with_spaces(client, out);
        self.key("\",\"topic\":\"owntracks/").extend_from_slice(client.as_bytes());
        self.out.push(b'"');
    }

    /// The rest of a location.
    fn place(&mut self, seen: &Sighting<'_>, attributes: Option<Attributes<'_>>, time_s: u64) {
        let (latitude, longitude) = seen.location.texts();
        push_degrees(latitude, self.key(",\"lat\":"));
        push_degrees(longitude, self.key(",\"lon\":"));
        push_digits(self.key(",\"tst\":"), time_s, 1);
        let mut said = 0_u8;
        let mut rest = attributes.map_or("", Attributes::text).as_bytes();
        while !rest.is_empty() && said != SAID_ALL {
            // By bytes, and each looked at once: the pairs as texts would take three times as long.
            let (bit, key, unit, value) = match rest {
                [b'a', b'c', b'c', b'=', value @ ..] => (1, ",\"acc\":", 1.0, value),
                [b'a', b'l', b't', b'=', value @ ..] => (1 << 1, ",\"alt\":", 1.0, value),
                [b'v', b'a', b'c', b'=', value @ ..] => (1 << 2, ",\"vac\":", 1.0, value),
                [b's', b'p', b'e', b'e', b'd', b'=', value @ ..] => {
                    (1 << 3, ",\"vel\":", KILOMETRE_PER_HOUR, value)
                }
                [b'c', b'o', b'u', b'r', b's', b'e', b'=', value @ ..] => (1 << 4, ",\"cog\":", 1.0, value),
                [b'b', b'a', b't', b't', b'=', value @ ..] => (1 << 5, ",\"batt\":", 1.0, value),
                other => (0, "", 1.0, other),
            };
            // Most are digits alone, which is seen on the way to their end.
            let digits = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
            let more = &value[digits..];
            let end = digits + more.iter().position(|&byte| byte == b'&').unwrap_or(more.len());
            rest = value.get(end + 1..).unwrap_or_default();
            // Of a key that is there twice the first value counts.
            if bit != 0 && said & bit == 0 {
                said |= bit;
                match &value[..end] {
                    whole if unit == 1.0 && end == digits && is_short_whole(whole) => {
                        self.key(key).extend_from_slice(whole);
                    }
                    number => self.whole(key, number, unit),
                }
            }
        }
        self.out.push(b'}');
    }

    /// A number that was reported, as a whole number of another unit.
    fn whole(&mut self, key: &str, value: &[u8], unit: f64) {
        if let Some(whole) = std::str::from_utf8(value).ok().and_then(|value| whole(value, unit)) {
            let out = self.key(key);
            if whole < 0 {
                out.push(b'-');
            }
            push_digits(out, whole.unsigned_abs().into(), 1);
        }
    }

    /// The `tid` of a client in an answer.
    fn tid(&mut self, client: &str) {
        // JSON has no slash of its own.
        self.text(",\"tid\":", &client.replace('/', " "));
    }

    /// The topic on which a broker would have a client.
    fn topic(&mut self, client: &str) {
        let in_topic = Cow::from(utf8_percent_encode(client, NOT_IN_TOPICS));
        self.key(",\"topic\":\"owntracks");
        let slash = self.out.len();
        push_text(&in_topic, &mut self.out);
        // It stands where the text has begun with a quotation mark.
        self.out[slash] = b'/';
    }

    /// How many friends there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The whole answer.
    pub fn finish(mut self) -> Vec<u8> {
        if self.out.is_empty() {
            return b"[]".to_vec();
        }
        self.out.push(b']');
        self.out
    }

    /// Begins an element.
    fn separate(&mut self) {
        self.out.push(if self.out.is_empty() { b'[' } else { b',' });
    }

    #[inline(always)]
    fn text(&mut self, key: &str, value: &str) {
        push_text(value, self.key(key));
    }

    /// What the value of a further key is to be appended to. The key has its punctuation: so it is one copy.
    #[inline(always)]
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(key.as_bytes());
        &mut self.out
    }
}

/// Appends a text as JSON writes it.
pub fn push_text(text: &str, out: &mut Vec<u8>) {
    // Nearly all texts are as they are.
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends a text with a space for each slash.
fn push_with_spaces(text: &str, out: &mut Vec<u8>) {
    let begins = out.len();
    out.extend_from_slice(text.as_bytes());
    out[begins..].iter_mut().for_each(|byte| *byte = if *byte == b'/' { b' ' } else { *byte });
}

/// A number that was reported, as a whole number of another unit.
fn whole(text: &str, unit: f64) -> Option<i32> {
    // Most are whole.
    let value = match text.parse::<i32>() {
        Ok(whole) if unit == 1.0 => return Some(whole),
        Ok(whole) => whole.into(),
        Err(_) => text.parse().ok().filter(|value: &f64| value.is_finite())?,
    };
    Some((value / unit).round() as i32)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::proto::model::sighting::at_line;

    /// Checks an answer as the apps do, and gives its friends. These are facts of their sources, iOS 26.3.1 (285f915)
    /// and Android (25c27be, June 2026), in words of ours:
    /// - iOS checks each element with a schema: `_type` is one of those that it knows, a `location` has `lat`, `lon`
    ///   and `tst`; `lat` and `lon` are numbers, and `tst`, `acc`, `vac`, `vel`, `alt`, `batt` and `bs` integers, as
    ///   which `5.0` may count or not; all names are texts.
    /// - Android decodes the array as a whole: a `location` has a `tst` that is an integer and not 0, and a `tid` or a
    ///   `topic` that is not empty. `batt` fits an `Int`; an unknown `_type` is an error.
    /// - Both know a friend by `owntracks/http/` and its `tid`. iOS looks at three parts of that, Android takes `/info`
    ///   at its end away if it is a card's.
    pub(crate) fn friends_of(answer: &[u8]) -> Vec<Value> {
        assert!(answer.len() <= BYTES_MAX + 1);
        let elements: Vec<Value> = serde_json::from_slice(answer).expect("an array");
        let mut locations: Vec<Value> = Vec::new();
        let mut card: Option<String> = None;
        for element in elements {
            let object = element.as_object().expect("an object");
            let is_whole = |key: &str| object.get(key).is_none_or(|value| value.is_i64() || value.is_u64());
            let text = |key: &str| object.get(key).map(|value| value.as_str().expect("a text").to_owned());
            let tid = text("tid").filter(|tid| !tid.is_empty()).expect("it has a tid");
            assert!(!tid.contains('/'), "{tid}");
            match text("_type").as_deref() {
                Some("card") => {
                    assert!(text("name").is_some_and(|name| !name.is_empty()) && object.len() == 3);
                    assert!(tid != "info" && card.is_none(), "{tid}");
                    card = Some(tid);
                }
                Some("location") => {
                    assert!(card.take().is_none_or(|card| card == tid), "a card is of another friend");
                    for key in ["tst", "acc", "vac", "vel", "cog", "alt", "batt"] {
                        assert!(is_whole(key), "{element}");
                        let fits =
                            |value: &Value| key == "tst" || i32::try_from(value.as_i64().unwrap()).is_ok();
                        assert!(object.get(key).is_none_or(fits), "{element}");
                    }
                    let degrees = |key: &str| object[key].as_f64().expect("a number");
                    assert!(degrees("lat").abs() <= 90.0 && degrees("lon").abs() <= 180.0, "{element}");
                    assert!((1..=TIME_S_MAX).contains(&object["tst"].as_u64().unwrap()), "{element}");
                    let topic = text("topic").expect("it has a topic");
                    assert!(topic.starts_with("owntracks/") && !topic.contains(['+', '#', '\0']), "{topic}");
                    let is_new = locations.iter().all(|other| other["tid"] != *tid);
                    assert!(is_new, "{tid} is there twice");
                    locations.push(element);
                }
                other => panic!("an element of _type {other:?}"),
            }
        }
        assert!(card.is_none(), "a card without a place");
        locations
    }

    fn answer(friends: &[(&str, &str, Option<&str>)]) -> String {
        let mut answer = Friends::default();
        for (line, attributes, name) in friends {
            let line = format!("AT Alford +0.1 {line}");
            let (sighting, _) = at_line(line.as_bytes()).unwrap();
            assert!(answer.push(&sighting, Attributes::parse(attributes), *name));
        }
        let answer = answer.finish();
        friends_of(&answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn friends_are_as_the_apps_read_them() {
        assert_eq!(answer(&[]), "[]");
        let jane = "jane/phone +34.068930-118.445127 1621464827.959498503";
        let said = "acc=12.4&alt=-3.5&vac=3&speed=16.94&course=271.4&batt=85.5&charge=1&tid=JP&trigger=u";
        assert_eq!(
            answer(&[(jane, said, Some("Jane \"J\"")), ("kiwi +01-0.0 5", "", None)]),
            "[{\"_type\":\"card\",\"tid\":\"jane phone\",\"name\":\"Jane \\\"J\\\"\"},\
             {\"_type\":\"location\",\"tid\":\"jane phone\",\"topic\":\"owntracks/jane/phone\",\"lat\":34.068930,\
             \"lon\":-118.445127,\"tst\":1621464827,\"acc\":12,\"alt\":-4,\"vac\":3,\
             \"vel\":61,\"cog\":271,\"batt\":86},\
             {\"_type\":\"location\",\"tid\":\"kiwi\",\"topic\":\"owntracks/kiwi\",\"lat\":1,\"lon\":-0.0,\"tst\":5}]"
        );
        // Two devices of a user are two friends, and none is an app's own word.
        let two = answer(&[
            ("a/b +1+1 1", "", Some("A")),
            ("a/c +1+1 1", "", Some("A")),
            ("info +1+1 1", "", Some("I")),
        ]);
        assert_eq!(two.matches("\"card\"").count(), 2, "{two}");
        assert!(answer(&[("a#+ +1+1 1", "", None)]).contains("owntracks/a%23%2B\""));
    }

    #[test]
    fn what_an_app_cannot_read_is_left_out() {
        for time in ["0.9", "253402300800", "9999999999999999"] {
            assert_eq!(answer(&[(&format!("kiwi +1+1 {time}"), "", None)]), "[]", "{time}");
        }
        let odd = answer(&[(
            "kiwi +1+1 1",
            "acc&acc=x&alt=1e99&acc=5&xalt=7&vac=NaN&speed=&batt=99999999999",
            None,
        )]);
        assert!(odd.ends_with("\"tst\":1,\"alt\":2147483647,\"batt\":2147483647}]"), "{odd}");
    }

    #[test]
    fn answers_are_bounded() {
        let mut friends = Friends::default();
        let name = "n".repeat(1_000);
        let taken = (0..1_000).take_while(|number| {
            let line = format!("AT Alford +0.1 {number}{name} +1+1 1");
            friends.push(&at_line(line.as_bytes()).unwrap().0, None, Some("N"))
        });
        let (taken, answer) = (taken.count(), friends.finish());
        assert!(taken > 50 && friends_of(&answer).len() == taken, "{taken}");
    }

    proptest! {
        #[test]
        fn any_client_is_as_the_apps_read_it(
            clients in prop::collection::btree_set("[!-~\u{e9}\u{202e}]{1,12}", 0..8),
            degrees in (-90_f64..=90.0, -180_f64..=180.0),
            time in 1_u64..1 << 40,
            attributes in "(acc|alt|batt|speed|course)=[-0-9.eE]{1,12}(&(vac|tid)=[!-%'-~]{0,9})?",
            name in prop::option::of("\\PC{1,20}"),
        ) {
            let mut friends = Friends::default();
            for client in &clients {
                let line = format!("AT Alford +0.1 {client} {:+.9}{:+.12} {time}", degrees.0, degrees.1);
                let (sighting, _) = at_line(line.as_bytes()).unwrap();
                prop_assert!(friends.push(&sighting, Attributes::parse(&attributes), name.as_deref()));
            }
            let expected = if time > TIME_S_MAX { 0 } else { clients.len() };
            prop_assert_eq!(friends.count(), expected);
            prop_assert_eq!(friends_of(&friends.finish()).len(), expected);
        }
    }
}
