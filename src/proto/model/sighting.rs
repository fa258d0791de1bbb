//! One sighting: which server saw which client, where and when. Prints as the `AT` line.

use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::location::Location;
use crate::proto::model::name::{ClientId, ServerName};
use crate::proto::model::time::{Moment, Timestamp};

/// One sighting of one client, borrowed from its line. [`crate::proto::store::update::Update::cmp_stored`] orders them.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// The server that the client reported to.
    pub origin: &'a str,
    /// That server's receipt time minus the client's time, as that server wrote it.
    pub skew: &'a str,
    /// The client that was seen.
    pub client: ClientId<'a>,
    /// Where it was.
    pub location: Location<'a>,
    /// When, by the client's own clock.
    pub time: Timestamp<'a>,
}

impl Sighting<'_> {
    /// Appends `AT <origin> <skew> <client> <location> <time>` and a line feed.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"AT");
        for field in self.fields() {
            out.push(b' ');
            out.extend_from_slice(field.as_bytes());
        }
        out.push(b'\n');
    }

    /// When its server got the report, in whole seconds since 1970: the client's time and the skew. It is the same on
    /// every server.
    pub fn received_s(&self) -> u64 {
        let nanos = |seconds: u64, nanos: u32| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let (whole, fraction) = self.skew[1..].split_once('.').unwrap_or((&self.skew[1..], ""));
        // A skew that is longer than all of time is that of a neighbour of another kind.
        let size = nanos(whole.parse().unwrap_or(u64::MAX), nanos_of(fraction));
        let Moment { seconds, nanos: rest } = self.time.moment();
        let skew = if self.skew.starts_with('-') { -size } else { size };
        let received = (nanos(seconds, rest) + skew).max(0) / 1_000_000_000;
        u64::try_from(received).unwrap_or(u64::MAX)
    }

    /// Where in that line the client's name stands.
    pub(crate) fn client_range(&self) -> (usize, usize) {
        // `AT`, the origin and the skew come before the client, each with a space behind it.
        let client = "AT   ".len() + self.origin.len() + self.skew.len();
        (client, client + self.client.0.len())
    }

    /// The fields in the order of the line.
    fn fields(&self) -> [&str; 5] {
        [self.origin, self.skew, self.client.0, self.location.text(), self.time.text()]
    }
}

impl PartialEq for Sighting<'_> {
    /// Whether both have one line: a time in other words is another time here.
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Eq for Sighting<'_> {}

/// Reads an `AT` line alone, as it is stored, or as a legacy neighbour sends it: perhaps with the name of the sender.
pub fn at_line(line: &[u8]) -> Result<(Sighting<'_>, Option<&str>), ParseError> {
    let fields = Fields::of(line)?;
    if fields.word == "AT" { sighting(fields) } else { Err(ParseError::UnknownWord) }
}

/// Reads an `AT` line that is stored. It was checked when it came in, so only its parts are found; `None` if it has not
/// all of them.
pub fn stored_at_line(line: &[u8]) -> Option<Sighting<'_>> {
    stored_at_text(std::str::from_utf8(line).ok()?)
}

/// Reads an `AT` line that is stored, as [`stored_at_line`] does.
pub(crate) fn stored_at_text(line: &str) -> Option<Sighting<'_>> {
    let mut rest = line.strip_prefix("AT ")?;
    let mut take = || {
        let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
        let field = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        field
    };
    let (origin, skew, client) = (take(), take(), ClientId(take()));
    let location = Location::of_stored(take())?;
    Some(Sighting { origin, skew, client, location, time: Timestamp::parse(take()).ok()? })
}

/// A sighting, and the seventh field, in which implementations of the course name the sender.
pub(crate) fn sighting(fields: Fields<'_>) -> Result<(Sighting<'_>, Option<&str>), ParseError> {
    let ([origin, skew, client, location, time], sender) = fields.exactly_or_one_more()?;
    if !ServerName::is_one(origin) {
        return Err(ParseError::ServerName);
    }
    if !is_skew(skew) {
        return Err(ParseError::Skew);
    }
    let location = Location::parse(location)?;
    let time = Timestamp::parse(time)?;
    Ok((Sighting { origin, skew, client: ClientId(client), location, time }, sender))
}

/// The nanoseconds of a fraction of any number of digits.
fn nanos_of(fraction: &str) -> u32 {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |nanos, digit| 10 * nanos + u32::from(digit - b'0'))
}

/// Whether `text` is a sign, digits and perhaps a fraction.
fn is_skew(text: &str) -> bool {
    let Some(size) = text.strip_prefix(['+', '-']) else { return false };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match size.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => all_digits(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_line_is_read_as_any_other() {
        for line in [
            "AT a +0.263873386 kiwi +34.068930-118.445127 1621464827.959498503",
            "AT node-1.example -3600 j\u{e9}/p+1 -0-0.5 5",
        ] {
            let sighting = stored_at_line(line.as_bytes()).unwrap();
            let (checked, _) = at_line(line.as_bytes()).unwrap();
            assert_eq!(sighting, checked);
            assert_eq!(sighting.location.texts(), checked.location.texts());
        }
        for line in
            ["", "AT ", "AT a +1 kiwi", "AT a +1 kiwi +1 5", "AT a +1 kiwi +1+1 x", "FORGET 7 kiwi #0"]
        {
            assert_eq!(stored_at_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn receipt_is_the_time_and_the_skew() {
        for (skew, time, received_s) in [
            ("+0.263873386", "1621464827.959498503", 1_621_464_828),
            ("-0.263873386", "1621464827.1", 1_621_464_826),
            ("-3600", "1621464827", 1_621_461_227),
            ("-99", "5", 0),
            ("+0.9999999999", "5.0000000001", 5),
            ("+99999999999999999999999", "5", u64::MAX),
        ] {
            let line = format!("AT a {skew} kiwi +1.0+2.0 {time}");
            let (sighting, _) = at_line(line.as_bytes()).unwrap();
            assert_eq!(sighting.received_s(), received_s, "{line}");
        }
    }
}
