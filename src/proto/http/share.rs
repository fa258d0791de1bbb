//! Share links that end: a token that every server of the herd honours, and none has to remember.
//!
//! It names a client, the era of the client and when it ends, and an HMAC-SHA256 (RFC 2104) signs that. The key is
//! derived from the herd's secret by HKDF (RFC 5869) under a label of its own, so that it signs nothing else. A client
//! that is forgotten begins another era, which ends all of its shares.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::form;
use crate::proto::model::era::Era;
use crate::proto::model::secret::Secret;

/// What a token begins with.
const PREFIX: &str = "share.";

/// What the key is good for.
const LABEL: &[u8] = b"share";

/// The bytes before the client's name: of the end, and of the era.
const HEAD_BYTES: usize = 8 + 4;

/// What is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The client.
    pub client: String,
    /// Its era.
    pub era: Era,
    /// The second since 1970 in which the share ends.
    pub until_s: u64,
}

impl Share {
    /// The token of this share in the herd with this secret.
    pub fn token(&self, secret: &Secret) -> String {
        let payload = self.payload();
        let tag = mac(secret, &payload).finalize().into_bytes();
        format!("{PREFIX}{}.{}", form::to_base64_url(&payload), form::to_base64_url(&tag))
    }

    /// Whether a token says to be that of a share.
    pub fn is_token(token: &[u8]) -> bool {
        token.starts_with(PREFIX.as_bytes())
    }

    /// The share of a token that was made in the herd with this secret, whether it has ended or not. It takes the same
    /// time for every wrong signature.
    pub fn of_token(token: &[u8], secret: &Secret) -> Option<Share> {
        let token = std::str::from_utf8(token).ok()?;
        let (payload, tag) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let (payload, tag) = (form::base64(payload)?, form::base64(tag)?);
        mac(secret, &payload).verify_slice(&tag).ok()?;
        let (head, client) = payload.split_at_checked(HEAD_BYTES)?;
        let (until_s, era) = head.split_at(8);
        let share = Share {
            client: String::from_utf8(client.to_vec()).ok()?,
            era: Era(u32::from_be_bytes(era.try_into().ok()?)),
            until_s: u64::from_be_bytes(until_s.try_into().ok()?),
        };
        // Base64 has more than one text for some bytes. There is one token for a share.
        (share.token(secret) == token).then_some(share)
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = self.until_s.to_be_bytes().to_vec();
        payload.extend_from_slice(&self.era.0.to_be_bytes());
        payload.extend_from_slice(self.client.as_bytes());
        payload
    }
}

fn mac(secret: &Secret, payload: &[u8]) -> Hmac<Sha256> {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret.bytes()).expand(LABEL, &mut key).expect("HKDF gives 32 bytes");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(payload);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::parse(text.as_bytes()).unwrap()
    }

    fn share() -> Share {
        Share { client: "jane/phone".to_owned(), era: Era(7), until_s: 1_800_000_000 }
    }

    #[test]
    fn tokens_are_read_back_by_those_who_know_the_secret() {
        let (ours, other) = (secret("0123456789abcdef"), secret("0123456789abcdeg"));
        for share in [share(), Share { client: "ünï".to_owned(), era: Era::FIRST, until_s: 0 }] {
            let token = share.token(&ours);
            assert!(Share::is_token(token.as_bytes()));
            assert!(token.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it)), "{token}");
            assert_eq!(Share::of_token(token.as_bytes(), &ours), Some(share));
            assert_eq!(Share::of_token(token.as_bytes(), &other), None);
        }
    }

    #[test]
    fn tokens_that_were_changed_in_any_byte_are_none() {
        let secret = secret("0123456789abcdef");
        let token = share().token(&secret).into_bytes();
        for at in 0..token.len() {
            for byte in 0..=255 {
                let mut changed = token.clone();
                changed[at] = byte;
                assert_eq!(Share::of_token(&changed, &secret).is_some(), changed == token, "{at} {byte}");
            }
            assert_eq!(Share::of_token(&token[..at], &secret), None);
        }
        for more in ["=", ".", "A"] {
            assert_eq!(Share::of_token(&[&token, more.as_bytes()].concat(), &secret), None);
        }
    }

    #[test]
    fn signature_is_the_specified_one() {
        // python3: hmac.new(hmac.new(hmac.new(bytes(32), b"0123456789abcdef", "sha256").digest(), b"share\x01",
        // "sha256").digest(), payload, "sha256")
        assert_eq!(
            share().token(&secret("0123456789abcdef")),
            "share.AAAAAGtJ0gAAAAAHamFuZS9waG9uZQ.dDYjCnhpCq2DJqQ_PdMx8JgL-_oCb0Q8ncea-ovKJYE"
        );
    }
}
