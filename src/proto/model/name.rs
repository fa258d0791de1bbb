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
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        begins_well && text.len() <= SERVER_NAME_BYTES_MAX && text.bytes().all(allowed)
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
}
