//! Points in time, exact to the nanosecond and beyond; never a floating-point number.
//!
//! `1621464827.959498503` does not fit an `f64`: a textbook skew came out as `+0.263873577` instead of
//! `+0.263873386` that way. So a time is whole seconds, whole nanoseconds and the client's own text.

use std::cmp::Ordering;
use std::time::Duration;

use crate::proto::model::digits::{eight, one, text8};

/// The most digits a client's seconds may have: they then always fit a `u64`.
pub const SECONDS_DIGITS_MAX: usize = 18;

/// Nanoseconds in a second.
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// The digits of a fraction that count as nanoseconds.
const NANOS_DIGITS: usize = 9;

/// The bytes of a skew of less than ten seconds: a sign, a digit, the point, nine digits.
pub(crate) const SHORT_SKEW_BYTES: usize = 1 + 1 + 1 + NANOS_DIGITS;

/// A point in time: whole seconds and nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds since 1970.
    pub seconds: u64,
    /// Nanoseconds of the second begun, below 1,000,000,000.
    pub nanos: u32,
}

impl Moment {
    /// The moment that is `wait` later.
    pub fn after(self, wait: Duration) -> Moment {
        let nanos = self.nanos + wait.subsec_nanos();
        let carry = u64::from(nanos >= NANOS_PER_SECOND);
        let seconds = self.seconds.saturating_add(wait.as_secs()).saturating_add(carry);
        Moment { seconds, nanos: nanos - carry as u32 * NANOS_PER_SECOND }
    }
}

/// A client's time: POSIX seconds with or without a fraction of any number of digits, as sent.
///
/// Compared exactly, as decimal numbers: `1.5` equals `1.50`, and digits past the ninth still count.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp<'a> {
    moment: Moment,
    text: &'a str,
}

/// Why a text is no time of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// Not digits, or no digits behind a point.
    #[error("not POSIX seconds such as 1621464827.959")]
    NotDecimal,
    /// More than [`SECONDS_DIGITS_MAX`] digits before the point.
    #[error("more than {SECONDS_DIGITS_MAX} digits of seconds")]
    TooManyDigits,
    /// Zero.
    #[error("not more than zero")]
    Zero,
}

impl<'a> Timestamp<'a> {
    /// Reads `digits` or `digits.digits`, more than zero.
    ///
    /// # Errors
    /// What is wrong with anything else.
    pub fn parse(text: &'a str) -> Result<Timestamp<'a>, BadTime> {
        // Phones say whole seconds.
        if text.len() <= SECONDS_DIGITS_MAX
            && let Some(seconds @ 1..) = decimal(text.as_bytes())
        {
            return Ok(Timestamp { moment: Moment { seconds, nanos: 0 }, text });
        }
        let (whole, fraction) = match text.bytes().position(|byte| byte == b'.') {
            Some(point) if point + 1 < text.len() => (&text[..point], &text[point + 1..]),
            Some(_) => return Err(BadTime::NotDecimal),
            None => (text, ""),
        };
        if whole.is_empty() {
            return Err(BadTime::NotDecimal);
        }
        if whole.len() > SECONDS_DIGITS_MAX {
            let digits_only = whole.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if digits_only { BadTime::TooManyDigits } else { BadTime::NotDecimal });
        }
        let seconds = decimal(whole.as_bytes()).ok_or(BadTime::NotDecimal)?;
        let (first, rest) = fraction.as_bytes().split_at(fraction.len().min(NANOS_DIGITS));
        let missing = (NANOS_DIGITS - first.len()) as u32;
        let nanos = decimal(first).ok_or(BadTime::NotDecimal)? as u32 * 10_u32.pow(missing);
        if !rest.iter().all(u8::is_ascii_digit) {
            return Err(BadTime::NotDecimal);
        }
        let positive = seconds > 0 || nanos > 0 || rest.iter().any(|&digit| digit != b'0');
        if positive { Ok(Timestamp { moment: Moment { seconds, nanos }, text }) } else { Err(BadTime::Zero) }
    }

    /// The time cut to whole nanoseconds.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The client's own text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The digits past the ninth without trailing zeros, which say nothing.
    fn beyond_nanos(&self) -> &'a str {
        let fraction = self.text.split_once('.').map_or("", |(_, fraction)| fraction);
        fraction.get(NANOS_DIGITS..).unwrap_or("").trim_end_matches('0')
    }
}

impl Ord for Timestamp<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.moment.cmp(&other.moment).then_with(|| self.beyond_nanos().cmp(other.beyond_nanos()))
    }
}

impl PartialOrd for Timestamp<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timestamp<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timestamp<'_> {}

/// The server's receipt time minus the client's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    negative: bool,
    size: Moment,
}

impl Skew {
    /// How much later `received` is than the time that the client `sent`.
    pub fn between(received: Moment, sent: Moment) -> Skew {
        let negative = received < sent;
        let (later, earlier) = if negative { (sent, received) } else { (received, sent) };
        let borrow = later.nanos < earlier.nanos;
        let nanos = later.nanos + if borrow { NANOS_PER_SECOND } else { 0 } - earlier.nanos;
        let seconds = later.seconds - earlier.seconds - u64::from(borrow);
        Skew { negative, size: Moment { seconds, nanos } }
    }

    /// Appends the skew: always signed, plain decimal, nine digits after the point (`+0.263873386`).
    pub fn push_to(&self, out: &mut Vec<u8>) {
        out.push(self.sign());
        push_digits(out, self.size.seconds, 1);
        let mut fraction = [b'.'; 1 + NANOS_DIGITS];
        fraction[1..9].copy_from_slice(&text8(self.size.nanos / 10));
        fraction[9] = b'0' + (self.size.nanos % 10) as u8;
        out.extend_from_slice(&fraction);
    }

    /// The text of a skew of less than ten seconds, as nearly all are.
    #[inline(always)]
    pub(crate) fn short_text(&self) -> Option<[u8; SHORT_SKEW_BYTES]> {
        if self.size.seconds > 9 {
            return None;
        }
        let mut text = [b'.'; SHORT_SKEW_BYTES];
        text[0] = self.sign();
        text[1] = b'0' + self.size.seconds as u8;
        text[3..11].copy_from_slice(&text8(self.size.nanos / 10));
        text[11] = b'0' + (self.size.nanos % 10) as u8;
        Some(text)
    }

    fn sign(&self) -> u8 {
        if self.negative { b'-' } else { b'+' }
    }
}

/// Appends `number` in decimal with at least `width_min` digits.
pub fn push_digits(out: &mut Vec<u8>, number: u64, width_min: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    if digits.len() < width_min {
        out.resize(out.len() + width_min - digits.len(), b'0');
    }
    out.extend_from_slice(digits);
}

/// The value of up to 18 digits; `None` if another byte is among them.
fn decimal(digits: &[u8]) -> Option<u64> {
    let (eights, rest) = digits.as_chunks();
    let mut value = 0;
    for digits in eights {
        value = value * 100_000_000 + eight(*digits)?;
    }
    for digit in rest {
        value = value * 10 + one(*digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skew(received: &str, sent: &str) -> String {
        let moment = |text| Timestamp::parse(text).unwrap().moment();
        let mut out = Vec::new();
        Skew::between(moment(received), moment(sent)).push_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_digits_with_or_without_a_fraction() {
        for good in ["1", "1456531200", "1520023934.918963997", "0.1", "0.00000000000001", "007.5"] {
            assert_eq!(Timestamp::parse(good).unwrap().text(), good);
        }
        assert!(Timestamp::parse("999999999999999999").is_ok());
        let bad = [
            "",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e9",
            "0x1",
            "1_0",
            ".5",
            "5.",
            "1.2.3",
            "1.-2",
            "nan",
            "1,5",
            "1 ",
            "1000000000000000000",
            "0.0000000000",
            "1.2345678901x",
            "\u{0661}",
        ];
        for bad in bad {
            assert!(Timestamp::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_compare_as_decimal_numbers() {
        let at = |text| Timestamp::parse(text).unwrap();
        assert!(at("999999999.5") < at("1000000000.5"));
        assert!(at("1479413884.392014450") < at("1479413884.392014451"));
        assert!(at("1.1234567890") < at("1.12345678901"));
        assert!(at("1.12345678902") < at("1.1234567891"));
        assert!(at("2") > at("1.9999999999999"));
        assert_eq!(at("1.5"), at("1.50"));
        assert_eq!(at("1"), at("1.00000000000"));
    }

    #[test]
    fn a_moment_after_a_while_carries_and_never_overflows() {
        let moment = |seconds, nanos| Moment { seconds, nanos };
        assert_eq!(moment(5, 1).after(Duration::ZERO), moment(5, 1));
        assert_eq!(moment(5, 600_000_000).after(Duration::new(2, 399_999_999)), moment(7, 999_999_999));
        assert_eq!(moment(5, 600_000_000).after(Duration::new(2, 400_000_000)), moment(8, 0));
        assert_eq!(moment(5, 999_999_999).after(Duration::MAX), moment(u64::MAX, 999_999_998));
    }

    #[test]
    fn the_skew_is_exact_and_always_signed() {
        assert_eq!(skew("1621464827.959498503", "1621464827.695625117"), "+0.263873386");
        assert_eq!(skew("10", "22"), "-12.000000000");
        assert_eq!(skew("10", "10"), "+0.000000000");
        assert_eq!(skew("10.5", "9.7"), "+0.800000000");
        assert_eq!(skew("9.7", "10.5"), "-0.800000000");
        assert_eq!(skew("1", "999999999999999999"), "-999999999999999998.000000000");
    }
}
