//! The secrets with which phones encrypt what they report: a file that names those of users and of single clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::file::{located, sentence};
use super::given_file;
use super::limits::{ACCESS_FILE_BYTES_MAX, TOKENS_MAX};
use crate::proto::http::phones::encrypted::{Key, SECRET_BYTES_MAX};

/// The secrets of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnTracksKeys {
    /// The file, to read it again.
    path: PathBuf,
    /// The key of each user, and of each client that has one of its own.
    keys: BTreeMap<String, Key>,
}

#[derive(Deserialize)]
struct KeysFile(BTreeMap<String, Spanned<String>>);

impl OwnTracksKeys {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is not right.
    pub fn load(path: &Path) -> Result<OwnTracksKeys, ConfigError> {
        let unreadable = |source| ConfigError::KeysFile { path: path.to_owned(), source };
        let text = given_file::utf8(path, ACCESS_FILE_BYTES_MAX).map_err(unreadable)?;
        let keys = parse(&text)
            .map_err(|error| ConfigError::InFile { path: path.to_owned(), error: Box::new(error) })?;
        Ok(OwnTracksKeys { path: path.to_owned(), keys })
    }

    /// Reads and checks the file again.
    ///
    /// # Errors
    /// Those of [`OwnTracksKeys::load`].
    pub fn reload(&self) -> Result<OwnTracksKeys, ConfigError> {
        OwnTracksKeys::load(&self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The key of a client: its own, or else that of its user.
    pub fn key_of(&self, client: &str) -> Option<&Key> {
        let user = client.split('/').next().unwrap_or_default();
        self.keys.get(client).or_else(|| self.keys.get(user))
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, Key>, ConfigError> {
    let KeysFile(file) = toml::from_str(text).map_err(|error: toml::de::Error| {
        // The library's message may quote a secret.
        let at = error.span().map_or(0, |span| span.start);
        located(text, at, sentence("write a line for each user or client, such as jane = \"secret\""))
    })?;
    if file.is_empty() {
        return Err(ConfigError::Users("there is no key: add a line such as jane = \"secret\"".to_owned()));
    }
    if file.len() > TOKENS_MAX {
        return Err(ConfigError::Users(format!("there are more than {TOKENS_MAX} keys")));
    }
    let key = |(client, secret): (String, Spanned<String>)| match Key::of(secret.get_ref()) {
        Some(key) => Ok((client, key)),
        None => {
            let why = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes, because the apps take no more");
            Err(located(text, secret.span().start, why))
        }
    };
    file.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_clients_or_else_of_users() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        std::fs::write(&path, "jane = 'one'\n\"jane/car\" = 'two'\nkiwi = 'three'\n").unwrap();
        let keys = OwnTracksKeys::load(&path).unwrap();
        let of = |client: &str| keys.key_of(client).cloned();
        assert_eq!(
            ["jane/phone", "jane/car", "kiwi", "joe/car", "", "jane/car/x"].map(of),
            [Key::of("one"), Key::of("two"), Key::of("three"), None, None, Key::of("one")]
        );
        assert!(keys.count() == 3 && keys.reload().unwrap() == keys && !format!("{keys:?}").contains("one"));
    }

    #[test]
    fn bad_files_are_refused_and_no_secret_is_shown() {
        let long = format!("jane = '{}'", "s3cret".repeat(6));
        for (text, why) in [
            ("", "there is no key"),
            ("jane = ''", "a secret has 1 to 32 bytes"),
            (&long, "line 1, column 8: a secret has 1 to 32 bytes"),
            ("jane = s3cret", "such as jane = \"secret\""),
            ("[users]\njane = 's3cret'", "such as jane = \"secret\""),
            ("jane = 5", "such as jane = \"secret\""),
            ("jane = 's3cret'\njane = 's3cret'", "such as jane"),
        ] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.contains(why) && !refused.contains("s3cret"), "{text}: {refused}");
        }
    }
}
