//! What a phone says of a sighting beside place and time, as one small field that only doors look into.
//!
//! Its form is that of a query in a URL: `acc=12&batt=85&tid=JP`, with all but letters, digits and `-._~` of a text
//! percent-encoded. A door writes the keys that it knows in this order:
//!
//! | key | what | unit |
//! |---|---|---|
//! | `acc` | accuracy: the radius within which the place is | metres |
//! | `alt` | altitude above the ellipsoid, as phones say it | metres |
//! | `vac` | accuracy of the altitude | metres |
//! | `speed` | speed over ground | metres per second |
//! | `course` | direction of travel, clockwise from north | degrees |
//! | `batt` | battery | percent |
//! | `charge` | 1 while it is charged, 0 while it is not | |
//! | `tid` | the short name that the phone has for itself on maps | text |
//! | `trigger` | why the phone has reported, in its own words | text |
//!
//! Numbers have the digits that were reported, where the unit is the one that the phone uses.

use std::iter;

/// The most bytes of the attributes of a sighting: each takes memory on every server, and the keys above fit in half.
pub const ATTRIBUTES_BYTES_MAX: usize = 256;

/// The attributes of a sighting: graphic ASCII, at least one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attributes<'a>(pub(in crate::proto) &'a str);

impl<'a> Attributes<'a> {
    /// Reads attributes; `None` if they are none, too many or of other characters.
    pub fn parse(text: &'a str) -> Option<Attributes<'a>> {
        let is_graphic = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_graphic && text.len() <= ATTRIBUTES_BYTES_MAX).then_some(Attributes(text))
    }

    /// Those of a stored line, which were checked when they came in.
    pub(crate) fn of_stored(text: &'a [u8]) -> Option<Attributes<'a>> {
        std::str::from_utf8(text).ok().map(Attributes)
    }

    /// Those of a stored line as a part of its text.
    pub(crate) fn of_stored_text(text: &'a str) -> Attributes<'a> {
        Attributes(text)
    }

    /// Their text.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// All keys with their values as they are written, without the percent-encoding undone.
    pub fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        // By bytes: a searcher for each of so many short parts takes longer.
        let mut rest = Some(self.0);
        iter::from_fn(move || {
            loop {
                let text = rest?;
                let key_end = text.bytes().position(|byte| matches!(byte, b'=' | b'&'))?;
                let end = text.bytes().skip(key_end).position(|byte| byte == b'&').map(|at| key_end + at);
                rest = end.map(|end| &text[end + 1..]);
                if let Some(value) = text.get(key_end + 1..end.unwrap_or(text.len())) {
                    return Some((&text[..key_end], value));
                }
            }
        })
    }

    /// The first value of a key.
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.pairs().find(|pair| pair.0 == key).map(|pair| pair.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_short_and_graphic() {
        for text in ["", "a b", "a\u{7f}", "caf\u{e9}", "a\n"] {
            assert_eq!(Attributes::parse(text), None, "{text:?}");
        }
        let longest = "a".repeat(ATTRIBUTES_BYTES_MAX);
        assert!(Attributes::parse(&longest).is_some());
        assert_eq!(Attributes::parse(&format!("{longest}a")), None);
    }

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let attributes = Attributes::parse("acc=12&alt=&xacc=3&batt").unwrap();
        let values = ["acc", "alt", "xacc", "batt", "cc"].map(|key| attributes.get(key));
        assert_eq!(values, [Some("12"), Some(""), Some("3"), None, None]);
    }
}
