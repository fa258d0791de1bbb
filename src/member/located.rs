//! Where a client was last seen, as a value that doors lay out in their own ways.

use std::iter::successors;
use std::ops::Range;

use crate::proto::model::attributes::Attributes;
use crate::proto::model::era::Era;
use crate::proto::model::location::Location;
use crate::proto::model::sighting::{Sighting, stored_at_line, stored_at_text};
use crate::proto::model::stored_line::{StoredLine, WITH, parts};
use crate::proto::store::update::trimmed;

/// Where a client was last seen: the record, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its stored line, with its line feed; never a tombstone.
    stored: Vec<u8>,
    /// Where in it the `AT` line begins, and the attributes are.
    at: usize,
    attributes: Option<Range<usize>>,
}

/// What a stored line says of a client, without a copy of it; `None` for a tombstone.
pub(super) fn seen_in(stored: &[u8]) -> Option<(Sighting<'_>, Option<Attributes<'_>>)> {
    if stored.is_empty() || stored.starts_with(b"F") {
        return None;
    }
    let (life, at, attributes) = parts(stored);
    let begins = life.len() + WITH.len() + 1;
    // All of it is looked at once, and not each part.
    let text = std::str::from_utf8(trimmed(stored)).expect("a stored line is a text");
    let sighting = stored_at_text(&text[stored.len() - at.len()..]).expect("a stored line is read back");
    let attributes = attributes.and_then(|attributes| text.get(begins..begins + attributes.len()));
    Some((sighting, attributes.map(Attributes::of_stored_text)))
}

impl Located {
    /// What a stored line says; `None` for a tombstone.
    pub(super) fn new(stored: Vec<u8>) -> Option<Located> {
        if stored.is_empty() || stored.starts_with(b"F") {
            return None;
        }
        let (life, at, attributes) = parts(&stored);
        let at = stored.len() - at.len();
        let begins = life.len() + WITH.len() + 1;
        let attributes = attributes.map(|attributes| begins..begins + attributes.len());
        Some(Located { stored, at, attributes })
    }

    /// All of it as one line, which is the same on every server.
    pub fn stored_line(&self) -> &[u8] {
        &self.stored
    }

    /// The era of its client.
    pub fn era(&self) -> Era {
        StoredLine::parse(trimmed(&self.stored)).map(|line| line.era()).unwrap_or_default()
    }

    /// Who saw it, where and when.
    pub fn sighting(&self) -> Sighting<'_> {
        stored_at_line(trimmed(&self.stored[self.at..])).expect("a stored line is read back")
    }

    /// What its phone said beside that.
    pub fn attributes(&self) -> Option<Attributes<'_>> {
        Attributes::of_stored(self.stored.get(self.attributes.clone()?)?)
    }
}

/// Where a stored line says that its client is; `None` for a tombstone. Only the last fields are looked at, because
/// that is done for every change.
pub(super) fn place(stored: &[u8]) -> Option<(f64, f64)> {
    let location = from_the_end(stored, 1)?;
    Some(Location::of_stored(std::str::from_utf8(location).ok()?)?.degrees())
}

/// Whose line it is; `None` for a tombstone.
pub(super) fn client(stored: &[u8]) -> Option<&[u8]> {
    from_the_end(stored, 2)
}

/// A field of a sighting, counted from the end of its line.
fn from_the_end(stored: &[u8], nth: usize) -> Option<&[u8]> {
    if stored.starts_with(b"F") {
        return None;
    }
    let line = trimmed(stored);
    let space = |end: &usize| memchr::memrchr(b' ', &line[..*end]);
    let end = successors(Some(line.len()), space).nth(nth)?;
    Some(&line[space(&end)? + 1..end])
}
