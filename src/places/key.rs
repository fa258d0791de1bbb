//! The Google key: found in the environment or a file, and never printed.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::error::OpenError;
use crate::config::given_file;

/// The environment variable that carries the key. There is no option for the key itself: command lines are
/// seen by every user of a machine.
pub const KEY_VARIABLE: &str = "PROXYHERD_GOOGLE_KEY";

/// The fewest characters of a key (Google's have 39). Shorter ones could not be blotted out of a
/// provider's answer without harming it.
const KEY_CHARS_MIN: usize = 8;

/// The most bytes of a key: it must fit in a header line.
const KEY_BYTES_MAX: usize = 512;

/// A Google key: 8 to 512 visible ASCII characters. `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Reads the key from `file` if one is named, else from [`KEY_VARIABLE`]; `None` without either. White
    /// space and quotes around it are no part of it.
    pub fn from_env_or_file(file: Option<&Path>) -> Result<Option<Key>, OpenError> {
        Key::choose(file, std::env::var_os(KEY_VARIABLE))
    }

    /// Takes `text` as the key; `from` says in an error where it came from.
    pub fn parse(text: &str, from: &str) -> Result<Key, OpenError> {
        let bad = |why| Err(OpenError::BadKey(from.to_owned(), why));
        let text = String::from_utf8_lossy(given_file::value(text.trim().as_bytes()));
        if text.is_empty() {
            bad("is empty")
        } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
            bad("must be one word of visible ASCII characters")
        } else if text.len() < KEY_CHARS_MIN {
            bad("is too short to be one: it needs 8 characters")
        } else if text.len() > KEY_BYTES_MAX {
            bad("is too long to be one: 512 characters are the limit")
        } else {
            Ok(Key(text.into_owned()))
        }
    }

    /// The key itself, for the request that needs it and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    fn choose(file: Option<&Path>, variable: Option<OsString>) -> Result<Option<Key>, OpenError> {
        if let Some(path) = file {
            // A little more than a key may have, so that a wrong file costs nothing and is then refused.
            let bytes = given_file::text(path, 2 * KEY_BYTES_MAX as u64)
                .map_err(|error| OpenError::Unreadable(path.to_owned(), error.to_string()))?;
            if given_file::is_readable_by_others(path) {
                let path = path.display();
                log::warn!("other users can read the key file {path}: chmod 600 {path}");
            }
            return Key::parse(&String::from_utf8_lossy(&bytes), &path.display().to_string()).map(Some);
        }
        // Set to nothing is how a shell takes a variable away for one command.
        let Some(value) = variable.filter(|value| !value.is_empty()) else { return Ok(None) };
        // What is not Unicode is no key either; the replacement character then says so.
        Key::parse(&value.to_string_lossy(), KEY_VARIABLE).map(Some)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_key_comes_from_a_file_before_the_environment_and_is_trimmed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("\u{feff}  \"from-a-file\" \r\n".as_bytes()).unwrap();
        let found = Key::choose(Some(file.path()), Some("from-the-environment".into())).unwrap().unwrap();
        assert_eq!(found.reveal(), "from-a-file");
        let found = Key::choose(None, Some("\tfrom-the-environment\n".into())).unwrap().unwrap();
        assert_eq!(found.reveal(), "from-the-environment");
        assert_eq!(Key::choose(None, None).unwrap(), None);
        assert_eq!(Key::choose(None, Some("".into())).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_without_being_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().display().to_string();
        let text = Key::choose(Some(file.path()), None).unwrap_err().to_string();
        assert_eq!(text, format!("places: the Google key from {name} is empty"));
        for (bytes, why) in [(&b"\xff\xfek\0e\0y\0"[..], "it is UTF-16"), (b"k\0e\0y\0", "it has zero bytes")]
        {
            std::fs::write(file.path(), bytes).unwrap();
            let text = Key::choose(Some(file.path()), None).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
        let missing = Path::new("/nowhere/at/all");
        let text = Key::choose(Some(missing), None).unwrap_err().to_string();
        assert!(text.starts_with("places: cannot read /nowhere/at/all: "), "{text}");
        let long = "k".repeat(513);
        for bad in ["", " \n", "secret1", "secret with spaces", "sécrétissime", "secret\u{7f}word", &long] {
            let error = Key::parse(bad, "here").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::parse("AIza-not-a-real-one", "here").unwrap();
        assert_eq!(format!("{key:?} {:#?}", Some(&key)), "Key(hidden) Some(\n    Key(hidden),\n)");
    }
}
