//! Where a client is: signed decimal degrees in ISO 6709 form, as sent.

/// Whole numbers of so many digits are exact in an `f64`.
const EXACT_DIGITS_MAX: usize = 15;

/// The powers of ten by which they are divided.
const TENS: [f64; 1 + EXACT_DIGITS_MAX] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A latitude and a longitude in one token, such as `+34.068930-118.445127`.
///
/// Both signs are required, the bounds 90 and 180 belong to it, and nothing but digits and one point may
/// follow a sign. The text is kept as the client sent it; degrees are computed when a provider needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    text: &'a str,
    /// Where in `text` the longitude begins.
    longitude_at: usize,
}

/// Why a text is no location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    /// No sign first.
    #[error("the latitude does not begin with + or -")]
    LatitudeSign,
    /// Not digits, or no digits behind a point.
    #[error("the latitude is not a decimal number")]
    Latitude,
    /// Not on the globe.
    #[error("the latitude is beyond 90 degrees")]
    LatitudeBeyond,
    /// No sign second.
    #[error("behind the latitude there is no longitude with + or -")]
    LongitudeSign,
    /// Not digits, or no digits behind a point.
    #[error("the longitude is not a decimal number")]
    Longitude,
    /// Not on the globe.
    #[error("the longitude is beyond 180 degrees")]
    LongitudeBeyond,
    /// Two numbers, and more.
    #[error("there is more behind the longitude")]
    Rest,
}

impl<'a> Location<'a> {
    /// Reads a location.
    ///
    /// # Errors
    /// What is wrong with anything that is not exactly one.
    pub fn parse(text: &'a str) -> Result<Location<'a>, BadLocation> {
        use BadLocation::{
            Latitude, LatitudeBeyond, LatitudeSign, Longitude, LongitudeBeyond, LongitudeSign,
        };
        let bytes = text.as_bytes();
        let longitude_at = degrees_end(bytes, 90, [LatitudeSign, Latitude, LatitudeBeyond])?;
        let rest = &bytes[longitude_at..];
        let end = degrees_end(rest, 180, [LongitudeSign, Longitude, LongitudeBeyond])?;
        if end == rest.len() { Ok(Location { text, longitude_at }) } else { Err(BadLocation::Rest) }
    }

    /// The location of a stored line, which was checked when it came in; `None` if no sign says where the longitude
    /// begins.
    pub(crate) fn of_stored(text: &'a str) -> Option<Location<'a>> {
        let longitude = text.bytes().skip(1).position(|byte| matches!(byte, b'+' | b'-'))?;
        Some(Location { text, longitude_at: longitude + 1 })
    }

    /// The client's own text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The latitude and the longitude as they were sent, with their signs.
    pub fn texts(&self) -> (&'a str, &'a str) {
        self.text.split_at(self.longitude_at)
    }

    /// Degrees north of the equator and degrees east of Greenwich.
    pub fn degrees(&self) -> (f64, f64) {
        let (latitude, longitude) = self.texts();
        (number(latitude), number(longitude))
    }
}

/// The value of signed decimal digits.
fn number(text: &str) -> f64 {
    // They are always a number to `f64`.
    short_number(text.as_bytes()).unwrap_or_else(|| text.parse().unwrap_or(f64::NAN))
}

/// The value of few digits: as a whole number and as a power of ten they are exact, and so one division rounds them as
/// to read them does, which takes five times as long.
#[inline(always)]
fn short_number(text: &[u8]) -> Option<f64> {
    let (sign, digits) = text.split_first()?;
    if digits.len() > 1 + EXACT_DIGITS_MAX {
        return None;
    }
    let (mut value, mut point) = (0_u64, digits.len());
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'.' => point = at + 1,
            b'0'..=b'9' => value = 10 * value + u64::from(byte - b'0'),
            _ => return None,
        }
    }
    let size = value as f64 / TENS.get(digits.len() - point)?;
    Some(if *sign == b'-' { -size } else { size })
}

/// The length of the signed decimal number at the start of `bytes`, if its size is at most `max`. The errors are for no
/// sign, no number, and a size beyond `max`.
///
/// The bound is checked on the digits: a rounded number would let `90.00000000000000001` pass.
fn degrees_end(
    bytes: &[u8],
    max: u32,
    [no_sign, no_number, too_large]: [BadLocation; 3],
) -> Result<usize, BadLocation> {
    let Some((b'+' | b'-', size)) = bytes.split_first() else { return Err(no_sign) };
    let whole = digits(size);
    if whole.is_empty() {
        return Err(no_number);
    }
    let size = whole.iter().fold(0_u32, |size, digit| {
        size.saturating_mul(10).saturating_add(u32::from(digit - b'0')) //
    });
    let mut end = 1 + whole.len();
    let mut fraction: &[u8] = &[];
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(&bytes[end + 1..]);
        if fraction.is_empty() {
            return Err(no_number);
        }
        end += 1 + fraction.len();
    }
    let beyond = size > max || (size == max && fraction.iter().any(|&digit| digit != b'0'));
    if beyond { Err(too_large) } else { Ok(end) }
}

/// The run of digits at the start of `bytes`.
fn digits(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    &bytes[..count]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn degrees_are_those_of_any_parser(digits in "[-+][0-9]{1,3}(\\.[0-9]{1,18})?") {
            prop_assert_eq!(number(&digits).to_bits(), digits.parse::<f64>().unwrap().to_bits());
        }
    }

    #[test]
    fn location_is_two_signed_decimal_numbers_in_one_token() {
        let good = [
            ("+34.068930-118.445127", (34.068930, -118.445127)),
            ("+27.5916+086.5640", (27.5916, 86.5640)),
            ("+37-120", (37.0, -120.0)),
            ("-90+180", (-90.0, 180.0)),
            ("+90.000-180.0", (90.0, -180.0)),
            ("-0.5+0", (-0.5, 0.0)),
        ];
        for (text, degrees) in good {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.text(), location.degrees()), (text, degrees));
        }
        let bad = [
            "",
            "+",
            "+34",
            "34-118",
            "+34.0",
            "+34.068930 -118.4",
            "+34.-118",
            "+34-118.",
            "+.5-1",
            "+34-118x",
            "+34-118+5",
            "+nan+inf",
            "+1e1-2",
            "+90.1+0",
            "+91+0",
            "-90.00000000000000000000001+0",
            "+0+180.1",
            "+0-181",
            "++34-118",
            "+34--118",
            "\u{2212}34-118",
            "+34,0-118,0",
            "+4294967297+0",
        ];
        for bad in bad {
            assert!(Location::parse(bad).is_err(), "{bad:?}");
        }
    }
}
