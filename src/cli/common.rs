//! Words that several commands have.

use std::path::PathBuf;

use clap::Args;

use crate::config::{ConfigError, Herd, load};

/// The file of the herd.
#[derive(Debug, Args)]
pub(super) struct RawHerdFile {
    /// The herd: names, addresses and links, as `proxyherd herd` prints them [default: built in].
    #[arg(long = "herd", value_name = "FILE")]
    pub(super) path: Option<PathBuf>,
}

impl RawHerdFile {
    /// The herd in it, or else the built-in one.
    pub(super) fn load(&self) -> Result<Herd, ConfigError> {
        self.path.as_deref().map_or_else(|| Ok(Herd::built_in()), load)
    }
}

/// One field of a line: white space would make other fields of it, or other lines.
pub(super) fn word(text: &str) -> Result<String, &'static str> {
    let separator = |byte: u8| byte.is_ascii_whitespace() || byte == b'\x0b';
    if text.is_empty() || text.bytes().any(separator) {
        return Err("it must be a single word, without white space");
    }
    Ok(text.to_owned())
}
