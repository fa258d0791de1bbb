//! Dates with times, as programs write them: RFC 3339 and its neighbours, to POSIX seconds and back.

use crate::proto::model::time::Moment;

/// The POSIX seconds of a date with a time, with the fraction that it has: `2026-11-27T10:30:00.25Z`, with an offset,
/// with a space for the T, or without a zone, which is taken for UTC. `None` if it is none, or before 1970.
pub fn posix_time(text: &str) -> Option<String> {
    let bytes = text.trim().as_bytes();
    let number = |range: std::ops::Range<usize>| {
        let digits = bytes.get(range).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(digits).ok()?.parse::<i64>().ok()
    };
    let is = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let (second, mut at) = if is(16, b":") { (number(17..19)?, 19) } else { (0, 16) };
    let in_bounds = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !separated || !in_bounds {
        return None;
    }
    let mut fraction = "";
    if is(at, b".,") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        fraction = text.trim().get(at + 1..at + 1 + digits).filter(|digits| !digits.is_empty())?;
        at += 1 + digits;
    }
    let offset_s = match &bytes[at..] {
        [] | b"Z" | b"z" => 0,
        // A plus sign that was not percent-encoded in a query comes as a space.
        [sign @ (b'+' | b'-' | b' '), rest @ ..] => {
            let digits: Vec<u8> = rest.iter().copied().filter(|&byte| byte != b':').collect();
            let digits = std::str::from_utf8(&digits).ok()?;
            let is_offset = matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let minutes: i64 =
                digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
            let hours: i64 = digits.get(..2).filter(|_| is_offset)?.parse().ok()?;
            if *sign == b'-' { -(hours * 3_600 + minutes * 60) } else { hours * 3_600 + minutes * 60 }
        }
        _ => return None,
    };
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    let seconds = u64::try_from(seconds).ok()?;
    Some(if fraction.is_empty() { seconds.to_string() } else { format!("{seconds}.{fraction}") })
}

/// The moment as a date with a time in UTC, to the second: `2026-11-27T10:30:00Z`.
pub fn date_time(moment: Moment) -> String {
    let mut text = Vec::new();
    push_date_time(moment, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends the moment as [`date_time`] has it.
pub fn push_date_time(moment: Moment, out: &mut Vec<u8>) {
    let (year, month, day) = date(moment.seconds / 86_400);
    let [hour, minute, second] = clock(moment);
    let mut text = *b"0000-00-00T00:00:00Z";
    fill(&mut text, [year / 100, year % 100, month, day, hour, minute, second], [0, 2, 5, 8, 11, 14, 17]);
    out.extend_from_slice(&text);
}

/// Puts numbers below a hundred into a text, each as two digits at its place. A list has a thousand dates, and every
/// answer has one: formatting would take as long as much else.
#[inline(always)]
fn fill<const N: usize>(text: &mut [u8], numbers: [u64; N], places: [usize; N]) {
    for (number, place) in numbers.into_iter().zip(places) {
        text[place] = b'0' + (number / 10) as u8;
        text[place + 1] = b'0' + (number % 10) as u8;
    }
}

/// Appends the moment as HTTP writes it: `Fri, 27 Nov 2026 10:30:00 GMT`.
pub fn push_http_date(moment: Moment, out: &mut Vec<u8>) {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    let days = moment.seconds / 86_400;
    let (year, month, day) = date(days);
    let [hour, minute, second] = clock(moment);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    fill(&mut text, [day, year / 100, year % 100, hour, minute, second], [5, 12, 14, 17, 20, 23]);
    out.extend_from_slice(&text);
}

fn clock(moment: Moment) -> [u64; 3] {
    [moment.seconds / 3_600 % 24, moment.seconds / 60 % 60, moment.seconds % 60]
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970-01-01 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = 365 * (year - 1_970) + leaps(year - 1) - leaps(1_969);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1
}

/// Year, month and day of the day that is so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Beyond this year nothing is written in four digits.
    let days = days.min(2_932_896);
    // Counted from a first of March, the day that a leap year has more is the last. Then years come in 400 that are
    // alike, and days in months of 30.6: the algorithm `civil_from_days` of Howard Hinnant.
    let since_march = days + 719_468;
    let (era, day) = (since_march / 146_097, since_march % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (400 * era + year + u64::from(is_next_year), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some("0")),
            ("2026-11-27T10:30:00.25Z", Some("1795775400.25")),
            ("2026-11-27T10:30:00+01:00", Some("1795771800")),
            ("2026-11-27T10:30:00-0130", Some("1795780800")),
            ("2026-11-27 10:30:00", Some("1795775400")),
            ("2026-11-27T10:30Z", Some("1795775400")),
            ("2024-02-29T23:59:59Z", Some("1709251199")),
            ("2000-03-01T00:00:00Z", Some("951868800")),
            ("2100-03-01T00:00:00Z", Some("4107542400")),
            ("2023-02-29T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-11-27T25:00:00Z", None),
            ("2026-11-27T10:30:00.Z", None),
            ("2026-11-27T10:30:00 CET", None),
            ("2026-11-27", None),
            ("1795775400", None),
            ("", None),
        ] {
            assert_eq!(posix_time(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn every_day_is_written_as_it_is_read() {
        for days in (0..2_932_896).step_by(97).chain([2_932_896]) {
            let moment = Moment { seconds: days * 86_400 + 37_800, nanos: 0 };
            assert_eq!(posix_time(&date_time(moment)), Some(moment.seconds.to_string()));
        }
        let moment = Moment { seconds: 1_795_775_400, nanos: 0 };
        assert_eq!(date_time(moment), "2026-11-27T10:30:00Z");
        let mut of_http = Vec::new();
        push_http_date(moment, &mut of_http);
        assert_eq!(of_http, b"Fri, 27 Nov 2026 10:30:00 GMT");
        assert!(date_time(Moment { seconds: u64::MAX, nanos: 0 }).starts_with("9999-12-31T"));
    }
}
