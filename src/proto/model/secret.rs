//! The secret of a herd, as a value. What is derived from it is in [`crate::proto::peering::noise`]
//! and [`crate::proto::http::share`].

use std::fmt;

/// The fewest bytes of a secret: a guess at 16 random ones does not succeed.
pub const SECRET_BYTES_MIN: usize = 16;

/// The most bytes of a secret: a key of 4096 bits, written in hexadecimal digits.
pub const SECRET_BYTES_MAX: usize = 1024;

/// The most secrets that a server knows at once: the one that is used, and one more that is accepted while the herd
/// goes from one to the other.
pub const SECRETS_MAX: usize = 2;

/// What all servers of a herd know and no other program does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a herd's secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes on one line; `openssl rand -hex 32` makes one"
)]
pub struct BadSecret;

impl Secret {
    /// A secret from a file or a variable; white space around it does not belong to it.
    pub fn parse(text: &[u8]) -> Result<Secret, BadSecret> {
        let text = text.trim_ascii();
        let good = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) && !text.contains(&b'\n');
        good.then(|| Secret(text.to_vec())).ok_or(BadSecret)
    }

    /// What keys are derived from.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_long_enough_and_on_one_line() {
        for bad in [&b""[..], b"short", b"0123456789\nabcdefgh", &[b'x'; SECRET_BYTES_MAX + 1]] {
            assert_eq!(Secret::parse(bad), Err(BadSecret));
        }
    }

    #[test]
    fn secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::parse(b"0123456789abcdef").unwrap()), "Secret(..)");
    }
}
