//! Where a client was last seen, as a value that doors lay out in their own ways.

use crate::proto::model::attributes::Attributes;
use crate::proto::model::era::Era;
use crate::proto::model::sighting::{Sighting, at_line};
use crate::proto::model::stored_line::{StoredLine, at_part, attributes_part};
use crate::proto::store::update::trimmed;

/// Where a client was last seen: the record, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its stored line, with its line feed; never a tombstone.
    stored: Vec<u8>,
}

impl Located {
    /// What a stored line says; `None` for a tombstone.
    pub(super) fn new(stored: Vec<u8>) -> Option<Located> {
        at_part(&stored)?;
        Some(Located { stored })
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
        let at = at_part(&self.stored).map(trimmed).unwrap_or_default();
        at_line(at).expect("a stored line is read back").0
    }

    /// What its phone said beside that.
    pub fn attributes(&self) -> Option<Attributes<'_>> {
        std::str::from_utf8(attributes_part(&self.stored)?).ok().and_then(Attributes::parse)
    }
}
