//! Messages of OwnTracks that are encrypted with a secret which the phone and the server share: secretbox of NaCl
//! (XSalsa20 and Poly1305), a nonce of 24 bytes before it, in Base64. Source: booklet of OwnTracks, "Encrypt"; the
//! apps.

use std::fmt;

use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};

use crate::proto::http::form;

/// The bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// The most bytes of a secret: the apps fill up a shorter one with zeros.
pub const SECRET_BYTES_MAX: usize = 32;

/// The bytes that prove that a message was not changed.
const TAG_BYTES: usize = 16;

/// The most bytes of a message in Base64: a point with a photograph fits. Three of its size are held at once.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A secret that a phone and the server share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; SECRET_BYTES_MAX]);

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no Base64, too short or too long.
    #[error("the data of the encrypted message is no Base64 of 40 bytes to 192 KiB")]
    Malformed,
    /// It was encrypted with another key, or changed on its way.
    #[error("the message is encrypted with another key than the one that is known here")]
    WrongKey,
}

impl Key {
    /// The key of a secret; `None` if it is empty or too long.
    pub fn of(secret: &str) -> Option<Key> {
        let mut key = [0; SECRET_BYTES_MAX];
        key.get_mut(..secret.len())?.copy_from_slice(secret.as_bytes());
        (!secret.is_empty()).then_some(Key(key))
    }

    /// The message in `data`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(&self, data: &str) -> Result<Vec<u8>, Unreadable> {
        let bytes = if data.len() > TEXT_BYTES_MAX { None } else { form::base64(data) };
        let bytes =
            bytes.filter(|bytes| bytes.len() >= NONCE_BYTES + TAG_BYTES).ok_or(Unreadable::Malformed)?;
        let (nonce, sealed) = bytes.split_at(NONCE_BYTES);
        self.cipher().decrypt(nonce.into(), sealed).map_err(|_| Unreadable::WrongKey)
    }

    /// A message of OwnTracks that has this one in it. The nonce must be random, and is used this once.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], message: &[u8]) -> Vec<u8> {
        // It fails for lengths beyond all memory alone.
        let sealed = self.cipher().encrypt(&nonce.into(), message).unwrap_or_default();
        let data = form::to_base64(&[&nonce, &*sealed].concat());
        format!("{{\"_type\":\"encrypted\",\"data\":\"{data}\"}}").into_bytes()
    }

    fn cipher(&self) -> XSalsa20Poly1305 {
        XSalsa20Poly1305::new(&self.0.into())
    }
}

/// Nothing of the secret is shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with libsodium 1.0.18: the secret is `s3cret`, the nonce the bytes from 0 to 23.
    const OF_LIBSODIUM: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXlkT2XrQJRY81RdGhf61t+9G9hfIud1XLuB5xeZcvIIIf9mtY\
         WLVwHniw5LGJ6oTesnxDplA92FLQhe1lEBDGiLgsA/xnKDKmDYM6Q7rWCwEeyvk=";
    const MESSAGE: &[u8] = br#"{"_type":"location","lat":1.5,"lon":-2,"tst":1700000000,"tid":"JP"}"#;

    #[test]
    fn messages_are_those_of_libsodium() {
        let key = Key::of("s3cret").unwrap();
        assert_eq!(key.open(OF_LIBSODIUM).unwrap(), MESSAGE);
        let nonce = std::array::from_fn(|at| at as u8);
        let sealed = key.seal(nonce, MESSAGE);
        assert_eq!(sealed, format!("{{\"_type\":\"encrypted\",\"data\":\"{OF_LIBSODIUM}\"}}").into_bytes());
        assert_eq!(Key::of("other").unwrap().open(OF_LIBSODIUM), Err(Unreadable::WrongKey));
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn what_is_malformed_or_changed_is_not_read() {
        let key = Key::of("s3cret").unwrap();
        for data in ["", "x", "====", "A A", &"A".repeat(53), &"A".repeat(TEXT_BYTES_MAX + 1)] {
            assert_eq!(key.open(data), Err(Unreadable::Malformed), "{} bytes", data.len());
        }
        for data in [&"A".repeat(54), &"A".repeat(TEXT_BYTES_MAX), &OF_LIBSODIUM.replace("JRY", "JRZ")] {
            assert_eq!(key.open(data), Err(Unreadable::WrongKey), "{} bytes", data.len());
        }
        assert_eq!(key.open(&form::to_base64(&[1; 40])), Err(Unreadable::WrongKey));
        let empty = key.seal([7; NONCE_BYTES], b"");
        let data = String::from_utf8(empty).unwrap();
        assert_eq!(key.open(data.split('"').nth(7).unwrap()).unwrap(), b"");
        let all = "k".repeat(SECRET_BYTES_MAX);
        assert!(Key::of("").is_none() && Key::of(&all).is_some() && Key::of(&(all + "k")).is_none());
    }
}
