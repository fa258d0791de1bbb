//! What is stored of a client, as one line: how it is recorded, replicated and compared.
//!
//! | line | what |
//! |---|---|
//! | `AT <origin> <skew> <client> <location> <time>` | a sighting in the first era |
//! | `WITH <attributes> AT ...` | a sighting with attributes |
//! | `ERA <era> #<hash> AT ...`, `ERA <era> #<hash> WITH <attributes> AT ...` | a sighting in a later era |
//! | `FORGET <era> <client> #<hash>` | a tombstone: the client was forgotten when this era began |
//!
//! The hash is that of the report with which the era before has ended. It is no news, no matter who repeats it.
//! Clients and legacy neighbours see the `AT` part alone.

use crate::proto::model::attributes::Attributes;
use crate::proto::model::era::Era;
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::name::ClientId;
use crate::proto::model::sighting::{Sighting, sighting};
use crate::proto::model::time::Moment;

/// The first word of a sighting in a later era than the first.
pub const ERA: &str = "ERA";

/// The first word of a sighting with attributes.
pub const WITH: &str = "WITH";

/// The first word of a tombstone.
pub const FORGET: &str = "FORGET";

/// What is stored of a client, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredLine<'a> {
    /// Where it was last seen.
    Sighting(Life, Option<Attributes<'a>>, Sighting<'a>),
    /// That it was forgotten.
    Tombstone(Tombstone<'a>),
}

/// That a client was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone<'a> {
    /// What began then.
    pub life: Life,
    /// The client.
    pub client: ClientId<'a>,
}

/// An era, and what it began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The era.
    pub era: Era,
    /// The hash of the report with which the era before has ended; 0 in the first.
    pub forgotten: u64,
}

impl<'a> StoredLine<'a> {
    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// If it is none of the three.
    pub fn parse(line: &'a [u8]) -> Result<StoredLine<'a>, ParseError> {
        StoredLine::of(Fields::of(line)?)
    }

    /// Reads the fields of a line.
    pub(crate) fn of(mut fields: Fields<'a>) -> Result<StoredLine<'a>, ParseError> {
        match fields.word {
            "AT" | WITH => StoredLine::seen(Life::default(), fields),
            ERA => {
                let era = era(fields.take())?;
                let forgotten = hash_of(fields.take().ok_or(ParseError::FieldCount)?)?;
                StoredLine::seen(Life { era, forgotten }, fields.next_word()?)
            }
            FORGET => {
                let [number, client, hash] = fields.exactly()?;
                let (era, forgotten) = (era(Some(number))?, hash_of(hash)?);
                let life = Life { era, forgotten };
                Ok(StoredLine::Tombstone(Tombstone { life, client: ClientId(client) }))
            }
            _ => Err(ParseError::UnknownWord),
        }
    }

    /// Reads a sighting in an era, with or without attributes.
    fn seen(life: Life, mut fields: Fields<'a>) -> Result<StoredLine<'a>, ParseError> {
        let mut attributes = None;
        if fields.word == WITH {
            let text = fields.take().ok_or(ParseError::FieldCount)?;
            attributes = Some(Attributes::parse(text).ok_or(ParseError::Attributes)?);
            fields = fields.next_word()?;
        }
        match fields.word {
            "AT" => Ok(StoredLine::Sighting(life, attributes, sighting(fields)?.0)),
            _ => Err(ParseError::UnknownWord),
        }
    }

    /// Its era, and what that began with.
    pub fn life(&self) -> Life {
        match self {
            StoredLine::Sighting(life, ..) => *life,
            StoredLine::Tombstone(tombstone) => tombstone.life,
        }
    }

    /// Its era.
    pub fn era(&self) -> Era {
        self.life().era
    }

    /// The client's time, cut to nanoseconds; before all times for a tombstone.
    pub fn moment(&self) -> Moment {
        match self {
            StoredLine::Sighting(.., sighting) => sighting.time.moment(),
            StoredLine::Tombstone(_) => Moment::default(),
        }
    }

    /// When a server of ours heard of it: the receipt of a report, or the beginning of the era, in seconds since 1970.
    /// It is the same on every server.
    pub fn received_s(&self) -> u64 {
        match self {
            StoredLine::Sighting(.., sighting) => sighting.received_s(),
            StoredLine::Tombstone(tombstone) => u64::from(tombstone.life.era.0),
        }
    }

    /// Appends the line with its line feed.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        match self {
            StoredLine::Sighting(life, attributes, sighting) => {
                life.push_to(out);
                push_attributes(*attributes, out);
                sighting.push_to(out);
            }
            StoredLine::Tombstone(Tombstone { life: Life { era, forgotten }, client }) => {
                out.extend_from_slice(format!("{FORGET} {era} {} #{forgotten:016x}\n", client.0).as_bytes());
            }
        }
    }

    /// Where in that line the client's name stands.
    pub(crate) fn client_range(&self) -> (usize, usize) {
        match self {
            StoredLine::Sighting(life, attributes, sighting) => {
                let (start, end) = sighting.client_range();
                let attributes = attributes.map_or(0, |Attributes(text)| WITH.len() + text.len() + 2);
                let prefix = life.prefix().len() + attributes;
                (prefix + start, prefix + end)
            }
            StoredLine::Tombstone(Tombstone { life, client }) => {
                let start = format!("{FORGET} {} ", life.era).len();
                (start, start + client.0.len())
            }
        }
    }
}

impl Life {
    /// Appends what comes before the `AT` line of a sighting in this era.
    pub(crate) fn push_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix().as_bytes());
    }

    fn prefix(self) -> String {
        let Life { era, forgotten } = self;
        if era == Era::FIRST { String::new() } else { format!("{ERA} {era} #{forgotten:016x} ") }
    }
}

/// Appends what comes before the `AT` line of a sighting with attributes.
pub(crate) fn push_attributes(attributes: Option<Attributes<'_>>, out: &mut Vec<u8>) {
    if let Some(Attributes(text)) = attributes {
        for part in [WITH, " ", text, " "] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The `AT` line in a stored line; `None` for a tombstone.
pub fn at_part(stored: &[u8]) -> Option<&[u8]> {
    match stored.first()? {
        b'F' => None,
        _ => Some(parts(stored).1),
    }
}

/// The attributes in a stored line, if it has any.
pub fn attributes_part(stored: &[u8]) -> Option<&[u8]> {
    parts(stored).2
}

/// A stored line as the parts by which it is ordered: what comes before all, the `AT` line, the attributes. Of a
/// tombstone all is in the second.
pub(crate) fn parts(stored: &[u8]) -> (&[u8], &[u8], Option<&[u8]>) {
    let after =
        |line: &[u8], fields| memchr::memchr_iter(b' ', line).nth(fields).map_or(line.len(), |end| end + 1);
    let (life, rest) = stored.split_at(if stored.starts_with(b"E") { after(stored, 2) } else { 0 });
    let Some(with) = rest.strip_prefix(b"WITH ") else { return (life, rest, None) };
    let (attributes, at) = with.split_at(after(with, 0));
    (life, at, Some(attributes.strip_suffix(b" ").unwrap_or(attributes)))
}

/// Sixteen digits. As an era, it is written in one way only.
fn hash_of(text: &str) -> Result<u64, ParseError> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 16 && digits.bytes().all(is_digit));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(ParseError::Number)
}

/// An era is written in one way only, or two servers would have two lines of one record.
fn era(text: Option<&str>) -> Result<Era, ParseError> {
    let text = text.ok_or(ParseError::FieldCount)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain).map(Era).ok_or(ParseError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_lines_are_read_as_they_are_printed() {
        for (line, client, at) in [
            ("AT a +0.1 kiwi +1.0+2.0 5", "kiwi", Some("AT a +0.1 kiwi +1.0+2.0 5")),
            ("ERA 17 #00000000000000ff AT a +0.1 kiwi +1.0+2.0 5", "kiwi", Some("AT a +0.1 kiwi +1.0+2.0 5")),
            ("WITH acc=5 AT a +0.1 kiwi +1.0+2.0 5", "kiwi", Some("AT a +0.1 kiwi +1.0+2.0 5")),
            (
                "ERA 17 #00000000000000ff WITH acc=5&tid=JP AT a +0.1 kiwi +1.0+2.0 5",
                "kiwi",
                Some("AT a +0.1 kiwi +1.0+2.0 5"),
            ),
            ("FORGET 4294967295 kiwi #00000000000000ff", "kiwi", None),
        ] {
            let stored = StoredLine::parse(line.as_bytes()).unwrap();
            let mut printed = Vec::new();
            stored.push_to(&mut printed);
            assert_eq!(String::from_utf8_lossy(&printed), format!("{line}\n"));
            let (start, end) = stored.client_range();
            assert_eq!(&line[start..end], client);
            assert_eq!(at_part(line.as_bytes()), at.map(str::as_bytes));
            let attributes = line.split_once("WITH ").and_then(|(_, rest)| rest.split(' ').next());
            assert_eq!(attributes_part(line.as_bytes()), attributes.map(str::as_bytes));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "ERA 0 #00000000000000ff AT a +0.1 k +1.0+2.0 5",
            "ERA 017 #00000000000000ff AT a +0.1 k +1.0+2.0 5",
            "ERA 4294967296 #00000000000000ff AT a +0.1 k +1.0+2.0 5",
            "ERA 17 AT a +0.1 k +1.0+2.0 5",
            "ERA 17 #00000000000000ff a +0.1 k +1.0+2.0 5",
            "ERA 17 #ff AT a +0.1 k +1.0+2.0 5",
            "ERA 17 #00000000000000ff ERA 18 #00000000000000ff AT a +0.1 k +1.0+2.0 5",
            "ERA",
            "WITH",
            "WITH acc=5",
            "WITH AT a +0.1 k +1.0+2.0 5",
            "WITH acc=5 WITH acc=5 AT a +0.1 k +1.0+2.0 5",
            "WITH acc=5 ERA 17 #00000000000000ff AT a +0.1 k +1.0+2.0 5",
            "WITH acc=5 FORGET 17 k #00000000000000ff",
            "WITH acc=\u{1} AT a +0.1 k +1.0+2.0 5",
            "WITH acc=\u{e9} AT a +0.1 k +1.0+2.0 5",
            "FORGET 17 k",
            "FORGET 17 k ff",
            "FORGET 17 k #ff",
            "FORGET 17 k #+0000000000000ff",
            "FORGET 17 k #00000000000000FF",
            "FORGET 0 k #00000000000000ff",
            "IAMAT k +1.0+2.0 5",
        ] {
            assert!(StoredLine::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
