//! Where a client was last seen, as a value that doors lay out in their own ways.

use std::ops::Range;

use crate::proto::model::attributes::Attributes;
use crate::proto::model::era::Era;
use crate::proto::model::sighting::{Sighting, stored_at_line};
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
