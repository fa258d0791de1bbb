//! A second opinion on the grammar, written to be plainly right and not to be fast.

use std::cmp::Ordering;

use crate::proto::line::framing::Line;
use crate::proto::model::time::Moment;

/// The six characters that separate fields.
const WHITE_SPACE: [char; 6] = [' ', '\t', '\r', '\n', '\x0c', '\x0b'];

/// A decimal number without a sign and without the zeros that say nothing: exact, and as long as it likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    whole: String,
    fraction: String,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let parts: Vec<&str> = text.split('.').collect();
        let digits = |part: &&str| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit());
        if parts.len() > 2 || !parts.iter().all(digits) {
            return None;
        }
        let whole = parts[0].trim_start_matches('0').to_owned();
        let fraction = parts.get(1).map_or("", |fraction| fraction.trim_end_matches('0')).to_owned();
        Some(Decimal { whole, fraction })
    }

    /// Cut to a billionth, counted in billionths.
    pub(crate) fn nanos(&self) -> i128 {
        format!("0{}{:0<9.9}", self.whole, self.fraction).parse().unwrap()
    }

    fn at_most(&self, max: &str) -> bool {
        *self <= Decimal::parse(max).unwrap()
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let key = |it: &Decimal| (it.whole.len(), it.whole.clone(), it.fraction.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a client may say, in its own words.
pub(crate) enum Said<'a> {
    /// Its name, its place, its time.
    Report([&'a str; 3]),
    /// Whose place, the radius, and how many results.
    Question(&'a str, u8, u8),
}

/// The fields of a line; none if it is not UTF-8.
pub(crate) fn fields(line: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(line).unwrap_or("");
    text.split(WHITE_SPACE).filter(|field| !field.is_empty()).collect()
}

/// A client's line, if it is a command.
pub(crate) fn client(line: &[u8]) -> Option<Said<'_>> {
    match fields(line)[..] {
        ["IAMAT", client, place, time] if location(place) && self::time(time).is_some() => {
            Some(Said::Report([client, place, time]))
        }
        ["WHATSAT", client, radius, limit] => {
            Some(Said::Question(client, count(50, radius)?, count(20, limit)?))
        }
        _ => None,
    }
}

/// Whether a line has no field.
pub(crate) fn is_blank(line: Line<'_>) -> bool {
    matches!(line, Line::Whole(text) if text.iter().all(|&byte| WHITE_SPACE.contains(&char::from(byte))))
}

/// Whether a first line is a request of HTTP that may have a body, or begins a TLS hello.
pub(crate) fn is_foreign(line: Line<'_>) -> bool {
    let (Line::Whole(text) | Line::TooLong(text)) = line;
    // Every byte is a character of its own here.
    let text: String = text.iter().map(|&byte| char::from(byte)).collect();
    let words: Vec<String> =
        text.to_ascii_uppercase().split(WHITE_SPACE).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let [method, .., last] = &words[..] else { return text.starts_with("\x16\x03") };
    let is_http =
        last.strip_prefix("HTTP/").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match method.as_str() {
        "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "PRI" => true,
        "GET" | "HEAD" => text.starts_with("\x16\x03"),
        _ => is_http || text.starts_with("\x16\x03"),
    }
}

/// The five fields of an `AT` line after its first word.
pub(crate) fn at(line: &[u8]) -> Option<[&str; 5]> {
    match fields(line)[..] {
        ["AT", origin, skew, client, place, time] | ["AT", origin, skew, client, place, time, _] => {
            let size = skew.strip_prefix('+').or(skew.strip_prefix('-'))?;
            let good = server(origin) && Decimal::parse(size).is_some() && location(place);
            (good && self::time(time).is_some()).then_some([origin, skew, client, place, time])
        }
        _ => None,
    }
}

/// Whether a text is a latitude and a longitude.
pub(crate) fn location(text: &str) -> bool {
    let signs: Vec<usize> = text.match_indices(['+', '-']).map(|(at, _)| at).collect();
    let [0, longitude] = signs[..] else { return false };
    let within = |size: &str, max: &str| Decimal::parse(size).is_some_and(|decimal| decimal.at_most(max));
    within(&text[1..longitude], "90") && within(&text[longitude + 1..], "180")
}

/// A time, if the text is one.
pub(crate) fn time(text: &str) -> Option<Decimal> {
    let decimal = Decimal::parse(text)?;
    let seconds = text.split('.').next()?;
    (seconds.len() <= 18 && decimal > Decimal::parse("0")?).then_some(decimal)
}

/// A moment counted in nanoseconds.
pub(crate) fn nanos(moment: Moment) -> i128 {
    i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanos)
}

/// What is printed of the time from `sent` to `received`, both in nanoseconds.
pub(crate) fn skew(received: i128, sent: i128) -> String {
    let sign = if received < sent { '-' } else { '+' };
    let size = (received - sent).abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}

/// All lines of a stream, and the beginning of one that is too long. `end_ends_line` is whether the end of the
/// stream ends one.
pub(crate) fn lines(stream: &[u8], bytes_max: usize, end_ends_line: bool) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = match end {
            Some(end) => rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]),
            None => rest,
        };
        // The last byte may be half of a CRLF whose other half never came.
        let too_long = line.len() > bytes_max + usize::from(end.is_none() && !end_ends_line);
        if too_long {
            lines.push(Line::TooLong(&line[..bytes_max]));
            break;
        }
        if end.is_some() || end_ends_line {
            lines.push(Line::Whole(line));
        }
        rest = end.map_or(&[], |end| &rest[end + 1..]);
    }
    lines
}

fn server(text: &str) -> bool {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    begins_well && text.chars().all(allowed) && text.len() <= 64
}

fn count(max: u8, text: &str) -> Option<u8> {
    (1..=max).find(|number| number.to_string() == text.trim_start_matches('0'))
}
