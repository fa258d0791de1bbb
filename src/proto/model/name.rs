//! The names of servers and clients, as types that cannot be mixed up.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The most bytes a server's name may have. A name is part of every stored line and of a log's file name.
pub const SERVER_NAME_BYTES_MAX: usize = 64;

/// The name of a member of the herd: ASCII letters, digits, `-`, `_` and `.`, beginning with a letter or
/// digit, at most [`SERVER_NAME_BYTES_MAX`] bytes. It therefore is one field of a line and a safe file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Arc<str>);

/// Which bytes such a name may have, by their values. Looking one up costs less than comparing it with all ranges.
const IS_NAME_BYTE: [bool; 256] = {
    let mut is_one = [false; 256];
    let mut byte = 0;
    while byte < is_one.len() {
        is_one[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.');
        byte += 1;
    }
    is_one
};

/// Why a text cannot be a server's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a server's name has 1 to 64 ASCII letters, digits, '-', '_' and '.', and begins with a letter or digit"
)]
pub struct BadServerName;

impl ServerName {
    /// Checks `text` against the rule above.
    pub fn parse(text: &str) -> Result<ServerName, BadServerName> {
        ServerName::is_one(text).then(|| ServerName(text.into())).ok_or(BadServerName)
    }

    /// Whether `text` keeps to the rule above; unlike [`ServerName::parse`] it allocates nothing.
    pub fn is_one(text: &str) -> bool {
        ServerName::len_at_start(text.as_bytes()) == Some(text.len())
    }

    /// The bytes of the name that is at the start of `text`, which ends with it or goes on with another character.
    #[inline(always)]
    pub(crate) fn len_at_start(text: &[u8]) -> Option<usize> {
        let most = &text[..text.len().min(SERVER_NAME_BYTES_MAX + 1)];
        let len = most.iter().position(|&byte| !IS_NAME_BYTE[usize::from(byte)]).unwrap_or(most.len());
        let begins_well = text.first().is_some_and(u8::is_ascii_alphanumeric);
        (begins_well && len <= SERVER_NAME_BYTES_MAX).then_some(len)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a client as it came in a line: any run of UTF-8 bytes without white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId<'a>(pub &'a str);

impl fmt::Display for ClientId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_one_field_and_a_safe_file_name() {
        for good in ["Alford", "a", "9", "node-1.example_2", &"x".repeat(64)] {
            assert_eq!(ServerName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "a\n", "é", "..", &"x".repeat(65)] {
            assert_eq!(ServerName::parse(bad), Err(BadServerName), "{bad:?}");
        }
    }

    #[test]
    fn name_ends_before_every_byte_that_it_may_not_have() {
        for byte in 0..=255_u8 {
            let goes_on = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let len = if goes_on { 3 } else { 1 };
            assert_eq!(ServerName::len_at_start(&[b'a', byte, b'b']), Some(len), "{byte}");
        }
        let longest = format!("{} +", "x".repeat(SERVER_NAME_BYTES_MAX));
        assert_eq!(ServerName::len_at_start(longest.as_bytes()), Some(SERVER_NAME_BYTES_MAX));
        for none in ["", " a", "-a +", &format!("x{longest}")] {
            assert_eq!(ServerName::len_at_start(none.as_bytes()), None, "{none:?}");
        }
    }
}
