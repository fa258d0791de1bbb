//! Authentication: all servers of a herd share a secret, and prove to each other that they know it.
//!
//! Each side of a link draws a nonce for every connection and proves the secret by an HMAC-SHA256 (RFC 2104,
//! FIPS 180-4) over both names, both nonces, the version of the dialect and the role of the prover. So a proof
//! is good for one connection, in one direction and at one of its ends: it can be neither replayed nor reflected.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;

/// The version of the dialect that this implementation speaks.
pub const PEER_VERSION: u32 = 4;

/// The bytes of a nonce and of a proof.
const BYTES: usize = 32;

/// A number that is used for one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; BYTES]);

/// A number that only a server which knows the secret can compute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof([u8; BYTES]);

/// Which end of a connection proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that has dialled.
    Initiator,
    /// The one that was dialled.
    Responder,
}

/// The names and nonces of one connection, which both ends have exchanged before they prove.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The server that has dialled.
    pub initiator: ServerName,
    /// The server that was dialled.
    pub responder: ServerName,
    /// The initiator's nonce.
    pub initiator_nonce: Nonce,
    /// The responder's nonce.
    pub responder_nonce: Nonce,
}

/// The proof of the one in this role; `None` in a herd without a secret.
pub fn prove(secret: Option<&Secret>, role: Role, handshake: &Handshake) -> Option<Proof> {
    Some(Proof(mac(secret?, role, handshake).finalize().into_bytes().into()))
}

/// Whether the one in this role knows the secret, or both of us have none. Takes the same time for every wrong proof.
pub fn is_proved(secret: Option<&Secret>, role: Role, handshake: &Handshake, proof: Option<Proof>) -> bool {
    match (secret, proof) {
        (Some(secret), Some(proof)) => mac(secret, role, handshake).verify_slice(&proof.0).is_ok(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn mac(secret: &Secret, role: Role, handshake: &Handshake) -> Hmac<Sha256> {
    let Handshake { initiator, responder, initiator_nonce, responder_nonce } = handshake;
    let role = match role {
        Role::Initiator => "caller",
        Role::Responder => "callee",
    };
    // No field can hold a space, so no two handshakes have the same text.
    let text = format!(
        "proxyherd {PEER_VERSION} {role} {initiator} {responder} {initiator_nonce} {responder_nonce}"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

impl Nonce {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Nonce> {
        parse_bytes(text).map(Nonce)
    }
}

impl Proof {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Proof> {
        parse_bytes(text).map(Proof)
    }
}

fn parse_bytes(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

fn write_bytes(bytes: &[u8; BYTES], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(&self.0, f)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(&self.0, f)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(&self.0, f)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        let name = |text| ServerName::parse(text).unwrap();
        Handshake {
            initiator: name("Alford"),
            responder: name("Bolden"),
            initiator_nonce: Nonce([1; BYTES]),
            responder_nonce: Nonce([2; BYTES]),
        }
    }

    #[test]
    fn proof_is_the_specified_one() {
        // printf 'proxyherd 4 caller Alford Bolden 0101... 0202...' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::parse(b"0123456789abcdef\n").unwrap();
        let proof = prove(Some(&secret), Role::Initiator, &handshake()).unwrap();
        assert_eq!(proof.to_string(), "7f5a999bc2c3569a121a15cf311553133d38a5702e3a67e7a3d890435e6a983f");
    }

    #[test]
    fn proof_holds_for_one_role_in_one_connection_between_two_servers_with_one_secret() {
        let (secret, other) = (Secret::parse(&[7; 20]).unwrap(), Secret::parse(&[8; 20]).unwrap());
        let good = handshake();
        let proof = prove(Some(&secret), Role::Initiator, &good);
        let holds = |secret, role, handshake: &Handshake| is_proved(secret, role, handshake, proof);
        assert!(holds(Some(&secret), Role::Initiator, &good));
        assert!(!holds(Some(&secret), Role::Responder, &good), "it could be reflected");
        assert!(!holds(Some(&other), Role::Initiator, &good));
        assert!(!holds(None, Role::Initiator, &good));
        let name = |text| ServerName::parse(text).unwrap();
        for wrong in [
            Handshake { initiator: name("Powell"), ..good.clone() },
            Handshake { responder: name("Powell"), ..good.clone() },
            Handshake { initiator_nonce: Nonce([3; BYTES]), ..good.clone() },
            Handshake { responder_nonce: Nonce([3; BYTES]), ..good.clone() },
            Handshake { initiator: name("Bolden"), responder: name("Alford"), ..good.clone() },
        ] {
            assert!(!holds(Some(&secret), Role::Initiator, &wrong), "{wrong:?}");
        }
        assert!(is_proved(None, Role::Initiator, &good, None), "a herd without a secret proves nothing");
        assert!(!is_proved(Some(&secret), Role::Initiator, &good, None));
    }

    #[test]
    fn nonces_are_64_hexadecimal_digits() {
        let nonce = Nonce(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(Nonce::parse(&nonce.to_string()), Some(nonce));
        let text = nonce.to_string();
        for bad in [
            "",
            "-",
            &text[1..],
            &format!("{text}0"),
            &text.replacen('0', "g", 1),
            &text.replacen('0', "+", 1),
        ] {
            assert_eq!(Proof::parse(bad), None, "{bad}");
        }
    }
}
