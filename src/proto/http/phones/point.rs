//! One point of a phone: what it says in numbers and words, as the fields of a sighting.

use std::borrow::Cow;

use crate::proto::http::form;
use crate::proto::model::attributes::{ATTRIBUTES_BYTES_MAX, Attributes};
use crate::proto::model::calendar::posix_time;
use crate::proto::model::location::Location;
use crate::proto::model::time::{Moment, Timestamp};

/// The most bytes of a number that is stored with the digits that were reported: more than phones have.
const DIGITS_BYTES_MAX: usize = 20;

/// The most digits of a number that always fits an `i32`.
const WHOLE_BYTES_MAX: usize = 9;

/// The most digits of seconds: a number with more is in a smaller unit.
const SECONDS_BYTES_MAX: usize = 11;

/// The most bytes of a time: all digits of seconds that there can be, and nanoseconds with some to spare.
const TIME_BYTES_MAX: usize = 40;

/// Metres per second in a knot, and in a kilometre per hour.
pub(super) const KNOT: f64 = 0.514_444;
pub(super) const KILOMETRE_PER_HOUR: f64 = 1.0 / 3.6;

/// The bytes of most points without their clients' names.
const TEXT_BYTES: usize = 160;

/// A point, in the fields of a sighting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The client's name.
    pub client: String,
    /// The location and the time as they follow each other in a line, and the attributes, with a separator before each.
    text: String,
    location_end: usize,
    time_end: usize,
    moment: Moment,
}

/// Why a point that was understood is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// A sign of life without a place.
    #[error("it has no place")]
    NoPlace,
    /// Not on the globe.
    #[error("its place is not on the globe")]
    BadPlace,
    /// Not a time after 1970.
    #[error("its time is none")]
    BadTime,
    /// Its time is further ahead than clocks may be.
    #[error("its time is too far ahead")]
    ClockAhead,
    /// Longer than names may be, or empty.
    #[error("the client's name is empty or too long")]
    BadName,
}

/// What a phone says beside place and time, in the order of [`crate::proto::model::attributes`].
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub accuracy_m: Option<&'a str>,
    pub altitude_m: Option<&'a str>,
    pub altitude_accuracy_m: Option<&'a str>,
    /// With what makes metres per second of it.
    pub speed: Option<(&'a str, f64)>,
    pub course_degrees: Option<&'a str>,
    /// With what makes percent of it.
    pub battery: Option<(&'a str, f64)>,
    pub is_charging: Option<bool>,
    pub tracker_id: Option<&'a str>,
    pub trigger: Option<&'a str>,
}

impl Point {
    /// A point at this latitude and longitude. Its time is POSIX seconds, or a date with a time.
    pub(crate) fn new(
        client: String,
        place: Option<(&str, &str)>,
        time: &str,
        said: &Said<'_>,
    ) -> Result<Point, Useless> {
        let (latitude, longitude) = place.ok_or(Useless::NoPlace)?;
        let mut text = String::with_capacity(TEXT_BYTES);
        push_location([latitude, longitude], &mut text)?;
        let location_end = text.len();
        text.push(' ');
        let moment = push_time(time, &mut text)?;
        if client.is_empty() {
            return Err(Useless::BadName);
        }
        let time_end = text.len();
        said.push_to(&mut text);
        Ok(Point { client, text, location_end, time_end, moment })
    }

    /// Where it is, as [`Location`] reads it.
    pub fn location(&self) -> &str {
        &self.text[..self.location_end]
    }

    /// When, as [`Timestamp`] reads it.
    pub fn time(&self) -> &str {
        &self.text[self.location_end + 1..self.time_end]
    }

    /// The same as a moment.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Where and when, as they follow each other in a line.
    pub fn place_and_time(&self) -> &str {
        &self.text[..self.time_end]
    }

    /// What else it says, if anything.
    pub fn attributes(&self) -> Option<Attributes<'_>> {
        let attributes = self.text.get(self.time_end + 1..).map(Attributes);
        debug_assert_eq!(attributes, attributes.and_then(|attributes| Attributes::parse(attributes.text())));
        attributes
    }
}

impl Said<'_> {
    /// Appends it as attributes, with a separator before each.
    fn push_to(&self, out: &mut String) {
        let len_max = out.len() + 1 + ATTRIBUTES_BYTES_MAX;
        push(out, len_max, "&acc=", self.accuracy_m, push_not_negative);
        push(out, len_max, "&alt=", self.altitude_m, push_number);
        push(out, len_max, "&vac=", self.altitude_accuracy_m, push_not_negative);
        push(out, len_max, "&speed=", self.speed, push_scaled);
        push(out, len_max, "&course=", self.course_degrees, push_not_negative);
        push(out, len_max, "&batt=", self.battery, push_scaled);
        push(out, len_max, "&charge=", self.is_charging.map(|is| if is { "1" } else { "0" }), push_word);
        push(out, len_max, "&tid=", self.tracker_id, push_word);
        push(out, len_max, "&trigger=", self.trigger, push_word);
    }
}

/// Appends degrees as a location.
fn push_location(place: [&str; 2], out: &mut String) -> Result<(), Useless> {
    place.into_iter().for_each(|degrees| push_signed(degrees, out));
    // A location has no numbers but plain ones, as nearly all are.
    if place.iter().all(|degrees| degrees.len() <= DIGITS_BYTES_MAX) && Location::parse(out).is_ok() {
        return Ok(());
    }
    out.clear();
    for degrees in place {
        push_signed(&decimal(degrees).ok_or(Useless::BadPlace)?, out);
    }
    Location::parse(out).map(drop).map_err(|_| Useless::BadPlace)
}

/// Appends a number with its sign.
fn push_signed(degrees: &str, out: &mut String) {
    if !degrees.starts_with(['-', '+']) {
        out.push('+');
    }
    *out += degrees;
}

/// Appends a time as POSIX seconds.
fn push_time(time: &str, out: &mut String) -> Result<Moment, Useless> {
    // Nearly all are whole seconds.
    if time.len() <= SECONDS_BYTES_MAX
        && let Ok(read) = Timestamp::parse(time)
    {
        *out += time;
        return Ok(read.moment());
    }
    let number = decimal(time);
    let time = match &number {
        Some(number) => seconds(number),
        None => posix_time(time).ok_or(Useless::BadTime)?.into(),
    };
    let is_short = time.len() <= TIME_BYTES_MAX;
    let moment = Timestamp::parse(&time).ok().filter(|_| is_short).ok_or(Useless::BadTime)?.moment();
    *out += &time;
    Ok(moment)
}

/// Appends an attribute, if it is said, its value is one, and there is room.
#[inline(always)]
fn push<T>(
    out: &mut String,
    len_max: usize,
    key: &str,
    said: Option<T>,
    push_value: impl Fn(T, &mut String) -> bool,
) {
    let Some(said) = said else { return };
    let len = out.len();
    *out += key;
    if !push_value(said, out) || out.len() > len_max {
        out.truncate(len);
    }
}

/// A time that was reported; the moment at which it came in if there is none, or a placeholder that the app has not
/// filled in.
pub(super) fn time_or_now(time: Option<&str>, now: Moment) -> String {
    let is_placeholder =
        |time: &&str| time.starts_with(['%', '{', '$']) || matches!(*time, "null" | "0" | "");
    match time.map(str::trim).filter(|time| !is_placeholder(time)) {
        Some(time) => time.to_owned(),
        None => format!("{}.{:09}", now.seconds, now.nanos),
    }
}

/// Seconds out of a number of seconds, milliseconds, microseconds or nanoseconds: one that is thousands of years ahead
/// is in a smaller unit.
fn seconds(number: &str) -> Cow<'_, str> {
    let whole = number.bytes().position(|byte| byte == b'.').unwrap_or(number.len());
    let (whole, fraction) = (&number[..whole], number.get(whole + 1..).unwrap_or_default());
    let decimals = match whole.len() {
        ..=SECONDS_BYTES_MAX => return number.into(),
        12..=14 => 3,
        15..=17 => 6,
        18.. => 9,
    };
    let (seconds, rest) = whole.split_at(whole.len() - decimals);
    format!("{seconds}.{rest}{fraction}").into()
}

/// A number in plain decimal digits: those that were reported, if they are plain and few.
pub fn decimal(text: &str) -> Option<Cow<'_, str>> {
    plain(text).map(Cow::Borrowed).or_else(|| made_plain(text).map(Cow::Owned))
}

/// Few digits without a plus sign, if a text is that.
#[inline(always)]
fn plain(text: &str) -> Option<&str> {
    is_plain(text).then(|| text.strip_prefix('+').unwrap_or(text))
}

/// The digits of a number that is written in another way.
#[cold]
fn made_plain(text: &str) -> Option<String> {
    // A comma is what some languages write for the point.
    let text = &*text.trim().replacen(',', ".", usize::from(!text.contains('.')));
    if let Some(text) = plain(text) {
        return Some(text.to_owned());
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite() && number.abs() < 1e15)?;
    Some(rounded(number, 9))
}

/// Whether a text is few digits, perhaps with a sign before them, and with a point among them.
fn is_plain(text: &str) -> bool {
    let digits = match text.as_bytes() {
        [b'-' | b'+', digits @ ..] => digits,
        digits => digits,
    };
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_number = match &digits[whole..] {
        [] => true,
        [b'.', fraction @ ..] => !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_number && whole > 0 && text.len() <= DIGITS_BYTES_MAX
}

/// Whether a number is written as JSON writes it, whole, and fits.
fn is_plain_whole(text: &[u8]) -> bool {
    is_short_whole(text) && text.iter().all(u8::is_ascii_digit)
}

/// The same of a text that is nothing but digits.
pub(super) fn is_short_whole(digits: &[u8]) -> bool {
    matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= WHOLE_BYTES_MAX
}

/// Appends a number as [`decimal`] has it. Whether it is one.
#[inline(always)]
fn push_number(text: &str, out: &mut String) -> bool {
    // As most are.
    if is_plain_whole(text.as_bytes()) {
        *out += text;
        return true;
    }
    push_any_number(text, out)
}

#[inline(never)]
fn push_any_number(text: &str, out: &mut String) -> bool {
    match plain(text) {
        Some(text) => *out += text,
        None => match made_plain(text) {
            Some(text) => *out += &text,
            None => return false,
        },
    }
    true
}

fn push_not_negative(text: &str, out: &mut String) -> bool {
    let len = out.len();
    push_number(text, out) && !out[len..].starts_with('-')
}

fn push_word(text: &str, out: &mut String) -> bool {
    // Most are a few letters.
    match text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => *out += text,
        false => *out += &form::attribute_value(text),
    }
    !text.is_empty()
}

/// Appends a number as JSON writes it: without a plus sign and leading zeros, and with its digits otherwise.
pub fn push_decimal(text: &str, out: &mut Vec<u8>) {
    // Most are plain, and have no zeros at their start.
    if let Some(text) = plain(text)
        && let [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] = text.as_bytes()
    {
        return out.extend_from_slice(text.as_bytes());
    }
    let Some(text) = decimal(text) else { return out.extend_from_slice(b"null") };
    let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |digits| ("-", digits));
    let zeros = digits.bytes().take_while(|&digit| digit == b'0').count();
    // One stays before the point, and alone.
    let is_more = digits.as_bytes().get(zeros).is_some_and(u8::is_ascii_digit);
    let drop = if is_more { zeros } else { zeros.saturating_sub(1) };
    out.extend_from_slice(sign.as_bytes());
    out.extend_from_slice(&digits.as_bytes()[drop..]);
}

/// Appends the degrees of a location as [`push_decimal`] does. They are nothing but a sign and plain digits.
pub fn push_degrees(text: &str, out: &mut Vec<u8>) {
    match text.strip_prefix('+').unwrap_or(text).as_bytes() {
        // Most are few, and have no zeros at their start.
        plain @ ([b'1'..=b'9', ..] | [b'0', b'.', ..] | [b'-', b'1'..=b'9', ..] | [b'-', b'0', b'.', ..])
            if plain.len() < DIGITS_BYTES_MAX =>
        {
            out.extend_from_slice(plain);
        }
        _ => push_decimal(text, out),
    }
}

/// Appends a number that is not negative in another unit; as it was reported if the unit is the same.
fn push_scaled((text, factor): (&str, f64), out: &mut String) -> bool {
    if factor == 1.0 {
        return push_not_negative(text, out);
    }
    // Most are small and whole, which is seen sooner.
    let number = match text.parse::<u16>() {
        Ok(number) => Some(f64::from(number)),
        Err(_) => decimal(text).and_then(|text| text.parse().ok()),
    };
    number.filter(|&number: &f64| number >= 0.0).map(|number| push_hundredths(number * factor, out)).is_some()
}

/// Appends a number that is not negative, rounded to hundredths, without zeros at its end.
fn push_hundredths(number: f64, out: &mut String) {
    if number >= 1e12 {
        return *out += &rounded(number, 2);
    }
    let hundredths = (number * 100.0).round() as u64;
    *out += itoa::Buffer::new().format(hundredths / 100);
    let [tenth, hundredth] =
        [hundredths / 10 % 10, hundredths % 10].map(|digit| char::from(b'0' + digit as u8));
    if (tenth, hundredth) != ('0', '0') {
        out.extend(['.', tenth]);
    }
    if hundredth != '0' {
        out.push(hundredth);
    }
}

fn rounded(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(latitude: &str, longitude: &str, time: &str) -> Result<Point, Useless> {
        Point::new("jane".to_owned(), Some((latitude, longitude)), time, &Said::default())
    }

    #[test]
    fn digits_stay_as_they_were_reported() {
        let taken = point("34.068930", "-118.4451270", "1621464827.959498503").unwrap();
        assert_eq!((taken.location(), taken.time()), ("+34.068930-118.4451270", "1621464827.959498503"));
        assert_eq!(point("0", "-0", "1").unwrap().location(), "+0-0");
        assert_eq!(point("1e1", "-1.5E1", "1.7e9").unwrap().location(), "+10-15");
        assert_eq!(point("52.12345678901234567890", "+4", "1").unwrap().location(), "+52.123456789+4");
    }

    #[test]
    fn speeds_have_hundredths_at_most() {
        for (number, text) in [
            (0.0, "0"),
            (0.004, "0"),
            (0.05, "0.05"),
            (5.0, "5"),
            (5.1, "5.1"),
            (16.944_444, "16.94"),
            (1e12, "1000000000000"),
        ] {
            let mut out = String::new();
            push_hundredths(number, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn times_of_all_units_are_read() {
        for (time, expected) in [
            ("1700000000123", "1700000000.123"),
            ("1700000000123.0", "1700000000.1230"),
            ("1.700000000e12", "1700000000.000"),
            ("1700000000123456", "1700000000.123456"),
            ("1700000000123456789", "1700000000.123456789"),
            ("17000000000", "17000000000"),
            ("2023-11-14T22:13:20 01:00", "1699996400"),
        ] {
            assert_eq!(point("1,5", "1", time).unwrap().time(), expected, "{time}");
        }
        let now = Moment { seconds: 5, nanos: 7 };
        for time in [None, Some("%TIMESTAMP"), Some("{2}"), Some("null"), Some("0"), Some(" ")] {
            assert_eq!(time_or_now(time, now), "5.000000007", "{time:?}");
        }
        assert_eq!(time_or_now(Some("6"), now), "6");
    }

    /// A place and a time by the way that takes all of them.
    fn by_decimals(place: [&str; 2], time: &str) -> Option<(String, Moment)> {
        let signed = |degrees: &str| {
            let degrees = decimal(degrees)?;
            Some(if degrees.starts_with('-') { degrees.into_owned() } else { format!("+{degrees}") })
        };
        let place = signed(place[0])? + &signed(place[1])?;
        Location::parse(&place).ok()?;
        let time = match decimal(time) {
            Some(number) => seconds(&number).into_owned(),
            None => posix_time(time)?,
        };
        let moment = Timestamp::parse(&time).ok().filter(|_| time.len() <= TIME_BYTES_MAX)?.moment();
        Some((format!("{place} {time}"), moment))
    }

    proptest! {
        #[test]
        fn plain_points_are_as_all_others(
            latitude in "[-+]?[0-9]{0,3}[.,]?[0-9]{0,20}[-+e]?[0-9]{0,2}| 1|0x1|",
            longitude in "[-+]?[0-9]{0,3}[.,]?[0-9]{0,20}[-+e]?[0-9]{0,2}| 1|-|",
            time in "[-+]?[0-9]{0,20}[.,]?[0-9]{0,10}|0{1,12}|[0-9]{10}|2026-11-27T10:30:00Z",
        ) {
            let taken = point(&latitude, &longitude, &time).ok();
            let taken = taken.map(|point| (point.place_and_time().to_owned(), point.moment()));
            prop_assert_eq!(taken, by_decimals([&latitude, &longitude], &time));
        }

        #[test]
        fn small_numbers_are_as_all_others(text in "[-+]?[0-9]{0,12}(\\.[0-9]{0,2})?| 5|00?") {
            let (mut out, mut expected) = (String::new(), String::new());
            prop_assert_eq!(push_number(&text, &mut out), push_any_number(&text, &mut expected));
            prop_assert_eq!(&out, &expected);
            let is_whole = text.parse::<i32>().is_ok_and(|whole| whole >= 0 && whole.to_string() == text);
            prop_assert_eq!(is_plain_whole(text.as_bytes()), is_whole && text.len() <= WHOLE_BYTES_MAX);
        }

        #[test]
        fn speeds_are_the_same_whole_or_not(number in "[-+]?[0-9]{0,22}(\\.[0-9]{0,3})?") {
            let mut out = String::new();
            let is_one = push_scaled((&number, KNOT), &mut out);
            let value = decimal(&number).and_then(|text| text.parse::<f64>().ok()).filter(|value| *value >= 0.0);
            prop_assert_eq!(is_one, value.is_some());
            let mut expected = String::new();
            value.into_iter().for_each(|value| push_hundredths(value * KNOT, &mut expected));
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn digits_of_json_are_those_that_were_reported(text in "[-+][0-9]{1,14}(\\.[0-9]{1,20})?") {
            let (mut out, mut degrees) = (Vec::new(), Vec::new());
            push_decimal(&text, &mut out);
            push_degrees(&text, &mut degrees);
            prop_assert_eq!(&degrees, &out);
            prop_assert!(serde_json::from_slice::<f64>(&out).is_ok());
            let written: f64 = std::str::from_utf8(&out).unwrap().parse().unwrap();
            prop_assert_eq!(written, decimal(&text).unwrap().parse::<f64>().unwrap());
        }
    }

    #[test]
    fn useless_points_say_why() {
        assert_eq!(Point::new(String::new(), None, "1", &Said::default()), Err(Useless::NoPlace));
        for (latitude, longitude) in
            [("90.1", "0"), ("0", "180.5"), ("", "0"), ("NaN", "0"), ("inf", "0"), ("1e300", "0")]
        {
            assert_eq!(point(latitude, longitude, "1"), Err(Useless::BadPlace), "{latitude} {longitude}");
        }
        for time in ["0", "-5", "", "yesterday", "2026-13-01T00:00:00Z", "1e300"] {
            assert_eq!(point("1", "1", time), Err(Useless::BadTime), "{time}");
        }
    }

    #[test]
    fn units_are_converted_and_unknown_values_left_out() {
        let said = Said {
            accuracy_m: Some("12.0"),
            altitude_m: Some("-3"),
            altitude_accuracy_m: Some("-1"),
            speed: Some(("10", KNOT)),
            course_degrees: Some("-1"),
            battery: Some(("0.87", 100.0)),
            is_charging: Some(true),
            tracker_id: Some("J P"),
            trigger: Some(""),
        };
        let attributes = |said: &Said<'_>| {
            let point = Point::new("jane".to_owned(), Some(("1", "2")), "3", said).unwrap();
            point.attributes().unwrap().text().to_owned()
        };
        assert_eq!(attributes(&said), "acc=12.0&alt=-3&speed=5.14&batt=87&charge=1&tid=J%20P");
        let slow = Said { speed: Some(("-1", 1.0)), battery: Some(("85", 1.0)), ..Said::default() };
        assert_eq!(attributes(&slow), "batt=85");
        let long = "x".repeat(300);
        let long = Said { tracker_id: Some(&long), trigger: Some("u"), ..Said::default() };
        assert_eq!(attributes(&long), "trigger=u");
    }

    #[test]
    fn digits_are_those_of_json() {
        for (text, json) in [
            ("+034.0600", "34.0600"),
            ("-00.5", "-0.5"),
            ("0", "0"),
            ("000", "0"),
            ("-118.445127", "-118.445127"),
            ("x", "null"),
        ] {
            let mut out = Vec::new();
            push_decimal(text, &mut out);
            assert_eq!(out, json.as_bytes(), "{text}");
        }
    }
}
