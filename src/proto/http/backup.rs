//! A backup of what is stored: an object of JSON in each line, of which the stored line is made again byte for byte.
//!
//! | object | what |
//! |---|---|
//! | `{"client":...,"location":...,"time":...,"server":...,"skew":...}` | a sighting in the first era |
//! | the same with `"attributes"`, or with `"era"` and `"era_hash"` | one with attributes, one in a later era |
//! | `{"client":...,"era":...,"era_hash":...,"forgotten":true}` | a tombstone |
//! | `{"end":{"clients":2,"forgotten":1}}` | the last line, without which a backup is cut off |
//!
//! All texts have the digits and the form in which they are stored: see [`crate::proto::model::stored_line`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::proto::line::framing::{LINE_BYTES_CEILING, PEER_LINE_BYTES_MAX};
use crate::proto::model::attributes::Attributes;
use crate::proto::model::era::Era;
use crate::proto::model::fields::ParseError;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::stored_line::{ERA, FORGET, StoredLine, Tombstone, WITH};
use crate::proto::store::update::{Reject, Source, Update, Updates, trimmed};

/// The most bytes of a line of a backup: JSON makes six of a control character at most, and a line that stores no more
/// than [`LINE_BYTES_CEILING`] has hardly any.
pub const OBJECT_BYTES_MAX: usize = 8 * LINE_BYTES_CEILING;

/// How the last line begins.
const END: &[u8] = b"{\"end\":";

/// What is stored of a client.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    location: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    server: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    skew: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    era: Option<u32>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    era_hash: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
}

/// How much a backup has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Clients that are known.
    pub clients: u64,
    /// Clients that are remembered as forgotten.
    pub forgotten: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: Count,
}

/// Why a line is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadObject {
    /// It is no object with these keys.
    #[error("it is no line of an export: {0}")]
    NotOne(String),
    /// A key is missing, or one too many.
    #[error("a client has location, time, server and skew, a forgotten one era and era_hash alone")]
    Keys,
    /// An era comes with its hash.
    #[error("era and era_hash come together")]
    Era,
    /// A value is none that can be stored.
    #[error("it says nothing that is stored: {0}")]
    Value(#[from] ParseError),
    /// A value has white space, or digits that are written in another way.
    #[error("a value has white space in it, or another form than what is stored")]
    Form,
    /// The neighbours would not take it.
    #[error("it is longer than what servers tell each other")]
    TooLong,
}

impl BadObject {
    /// What a parser says, without the place in the one line that it has seen.
    fn not_one(error: &serde_json::Error) -> BadObject {
        let text = error.to_string();
        let words = text.rsplit_once(" at line ").map_or(&*text, |(words, _)| words);
        BadObject::NotOne(words.to_owned())
    }
}

impl Count {
    /// Appends a stored line as an object with a line feed, and counts it. Returns whether it was one.
    pub fn push(&mut self, stored: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok(line) = StoredLine::parse(trimmed(stored)) else { return false };
        let life = line.life();
        let is_first = life.era == Era::FIRST;
        let hash = || format!("{:016x}", life.forgotten).into();
        let (era, era_hash) = if is_first { (None, None) } else { (Some(life.era.0), Some(hash())) };
        let text = |text| Some(Cow::Borrowed(text));
        let object = match line {
            StoredLine::Tombstone(Tombstone { client, .. }) => {
                self.forgotten += 1;
                Object { era, era_hash, forgotten: true, ..Object::of(client.0) }
            }
            StoredLine::Sighting(_, attributes, Sighting { origin, skew, client, location, time }) => {
                self.clients += 1;
                Object {
                    location: text(location.text()),
                    time: text(time.text()),
                    server: text(origin),
                    skew: text(skew),
                    attributes: attributes.map(|attributes| attributes.text().into()),
                    era,
                    era_hash,
                    ..Object::of(client.0)
                }
            }
        };
        push_json(&object, out);
        true
    }

    /// Appends the last line.
    pub fn push_end(self, out: &mut Vec<u8>) {
        push_json(&End { end: self }, out);
    }

    /// What a last line says; `None` if it is another line.
    pub fn of_end(line: &[u8]) -> Option<Count> {
        let end: Result<End, _> = serde_json::from_slice(line.trim_ascii());
        end.ok().map(|end| end.end)
    }
}

impl<'a> Object<'a> {
    fn of(client: &'a str) -> Object<'a> {
        Object {
            client: client.into(),
            location: None,
            time: None,
            server: None,
            skew: None,
            attributes: None,
            era: None,
            era_hash: None,
            forgotten: false,
        }
    }

    /// The line that is stored.
    fn line(&self) -> Result<String, BadObject> {
        let Object { client, attributes, forgotten, .. } = self;
        let life = match (self.era, &self.era_hash) {
            (Some(era), Some(hash)) => Some((era, hash)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(BadObject::Era),
        };
        Ok(match (&self.location, &self.time, &self.server, &self.skew) {
            (Some(location), Some(time), Some(server), Some(skew)) if !forgotten => {
                let era = life.map_or_else(String::new, |(era, hash)| format!("{ERA} {era} #{hash} "));
                let with = attributes.as_ref().map_or_else(String::new, |text| format!("{WITH} {text} "));
                format!("{era}{with}AT {server} {skew} {client} {location} {time}\n")
            }
            (None, None, None, None) if *forgotten && attributes.is_none() => {
                let (era, hash) = life.ok_or(BadObject::Keys)?;
                format!("{FORGET} {era} {client} #{hash}\n")
            }
            _ => return Err(BadObject::Keys),
        })
    }
}

/// The stored line, with its line feed, of a line of a backup; `None` if that says nothing of a client.
///
/// # Errors
/// If it cannot be stored here.
pub fn stored_line(text: &[u8]) -> Result<Option<String>, BadObject> {
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(END) && Count::of_end(text).is_some() {
        return Ok(None);
    }
    let object: Object<'_> = serde_json::from_slice(text).map_err(|error| BadObject::not_one(&error))?;
    let line = object.line()?;
    if line.len() > PEER_LINE_BYTES_MAX {
        return Err(BadObject::TooLong);
    }
    let stored = StoredLine::parse(trimmed(line.as_bytes()))?;
    let mut printed = Vec::new();
    stored.push_to(&mut printed);
    // White space within a value would make other fields of it.
    let is_same = match stored {
        StoredLine::Sighting(_, attributes, sighting) => {
            sighting.client.0 == object.client
                && attributes.map(Attributes::text) == object.attributes.as_deref()
        }
        StoredLine::Tombstone(tombstone) => tombstone.client.0 == object.client,
    };
    if printed == line.as_bytes() && is_same { Ok(Some(line)) } else { Err(BadObject::Form) }
}

/// The lines of a part of a backup, to be merged.
#[derive(Debug, Default)]
pub struct Lines {
    lines: Vec<u8>,
    /// Where each ends, and which line of the part it was, counted from 1.
    ends: Vec<(usize, usize)>,
    /// The lines that are not taken, and why.
    pub refused: Vec<(usize, String)>,
    /// What is merged at once: from which line, and up to which one.
    window: (usize, usize),
}

impl Lines {
    /// Reads a part of a backup.
    pub fn of(part: &[u8]) -> Lines {
        let mut lines = Lines::default();
        for (index, text) in part.split(|&byte| byte == b'\n').enumerate() {
            match stored_line(text) {
                Ok(None) => {}
                Ok(Some(line)) => {
                    lines.lines.extend_from_slice(line.as_bytes());
                    lines.ends.push((lines.lines.len(), index + 1));
                }
                Err(why) => lines.refused.push((index + 1, why.to_string())),
            }
        }
        lines
    }

    /// Moves on to the next lines, at most so many; returns whether there are any.
    pub fn next(&mut self, lines_max: usize) -> bool {
        let (_, to) = self.window;
        self.window = (to, self.ends.len().min(to + lines_max));
        self.window.0 < self.window.1
    }
}

impl Updates for Lines {
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let index = self.window.0 + i;
        if index >= self.window.1 {
            return None;
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        // Only a client that brings itself in is bounded, and so is what a backup brings in.
        Update::from_stored(&self.lines[start..self.ends[index].0], Source::CLIENT)
    }

    fn reject(&mut self, i: usize, why: Reject) {
        let why = match why {
            Reject::TooManyClients => "as many clients are known as may be (--clients-max)",
            Reject::OutOfMemory => "clients take all the memory that they may (--memory-max)",
        };
        self.refused.push((self.ends[self.window.0 + i].1, why.to_owned()));
    }
}

fn push_json(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(stored: &str) -> String {
        let mut out = Vec::new();
        assert!(Count::default().push(stored.as_bytes(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_become_the_lines_that_they_were_made_of() {
        for (stored, object) in [
            (
                "AT A +0.5 jane/phone +1.50-2 1700000000.10\n",
                r#"{"client":"jane/phone","location":"+1.50-2","time":"1700000000.10","server":"A","skew":"+0.5"}"#,
            ),
            (
                "ERA 17 #00000000000000ff WITH acc=5&tid=JP AT A -0.5 \"k\\\u{1}\u{202e} +1-2 5\n",
                "{\"client\":\"\\\"k\\\\\\u0001\u{202e}\",\"location\":\"+1-2\",\"time\":\"5\",\"server\":\"A\",\
                 \"skew\":\"-0.5\",\"attributes\":\"acc=5&tid=JP\",\"era\":17,\"era_hash\":\"00000000000000ff\"}",
            ),
            (
                "FORGET 17 kiwi #00000000000000ff\n",
                r#"{"client":"kiwi","era":17,"era_hash":"00000000000000ff","forgotten":true}"#,
            ),
        ] {
            assert_eq!(pushed(stored), format!("{object}\n"));
            assert_eq!(stored_line(object.as_bytes()).unwrap().as_deref(), Some(stored));
        }
    }

    #[test]
    fn other_lines_are_refused_with_their_numbers() {
        let good = r#"{"client":"k","location":"+1+2","time":"5","server":"A","skew":"+1"}"#;
        let end = r#"{"end":{"clients":1,"forgotten":0}}"#;
        for (from, to, why) in [
            (good, "AT A +1 k +1+2 5", "it is no line of an export"),
            (good, "[]", "it is no line of an export"),
            (good, "{\"end\":{\"clients\":1}}", "it is no line of an export: unknown field `end`"),
            ("\"k\"", "\"k", "it is no line of an export"),
            ("\"client\"", "\"name\"", "unknown field `name`"),
            ("\"5\"", "5", "invalid type"),
            ("{", "{\"time\":\"6\",", "duplicate field"),
            (",\"skew\":\"+1\"", "", "a client has location, time, server and skew"),
            ("\"+1\"", "\"+1\",\"forgotten\":true", "a client has location"),
            ("\"+1\"", "\"+1\",\"era\":17", "era and era_hash come together"),
            ("\"+1\"", "\"+1\",\"era\":0,\"era_hash\":\"00000000000000ff\"", "says nothing that is stored"),
            ("\"+1\"", "\"+1\",\"era\":17,\"era_hash\":\"ff\"", "says nothing that is stored"),
            ("\"+1\"", "\"+1\",\"attributes\":\"\"", "says nothing that is stored"),
            ("\"+1\"", "\"+1\",\"attributes\":\"a AT\"", "says nothing that is stored"),
            ("\"+1\"", "\"+1\",\"attributes\":\"acc=5 AT A +1 k +1+2 5\"", "says nothing that is stored"),
            ("+1+2", "+91+2", "bad location"),
            ("\"5\"", "\"5e9\"", "bad time"),
            ("\"k\"", "\"\"", "says nothing that is stored"),
            ("\"k\"", "\"k +1+2 5\"", "says nothing that is stored"),
            ("\"5\"", "\"5 x\"", "white space"),
            ("\"k\"", "\"k\\n\"", "white space"),
            ("\"A\"", "\"../A\"", "a server's name is not one"),
        ] {
            let text = good.replacen(from, to, 1);
            let found = stored_line(text.as_bytes()).unwrap_err().to_string();
            assert!(found.contains(why), "{text}: {found}");
        }
        let long = good.replace("\"k\"", &format!("\"{}\"", "k".repeat(PEER_LINE_BYTES_MAX)));
        assert!(matches!(stored_line(long.as_bytes()), Err(BadObject::TooLong)));
        let mut lines = Lines::of(format!("{good}\r\n\n x\n{good}\n{end}\n").as_bytes());
        assert_eq!((lines.refused.len(), lines.refused[0].0), (1, 3));
        let mut numbers = Vec::new();
        while lines.next(1) {
            assert!(lines.get(0).is_some_and(|update| update.text() == b"AT A +1 k +1+2 5"));
            assert!(lines.get(1).is_none());
            lines.reject(0, Reject::TooManyClients);
            numbers.push(lines.refused.last().unwrap().0);
        }
        assert_eq!(numbers, [1, 4]);
    }

    #[test]
    fn last_line_says_how_much_there_is() {
        let (mut count, mut out) = (Count::default(), Vec::new());
        assert!(
            count.push(b"AT A +1 k +1+2 5\n", &mut out)
                && count.push(b"FORGET 17 k #00000000000000ff\n", &mut out)
        );
        assert!(!count.push(b"IAMAT k +1+2 5\n", &mut out));
        out.clear();
        count.push_end(&mut out);
        assert_eq!(out, b"{\"end\":{\"clients\":1,\"forgotten\":1}}\n");
        assert_eq!(Count::of_end(&out), Some(count));
    }
}
