//! The handshake of a link in a herd with a secret: Noise with a key that is derived from the secret. It authenticates
//! both servers, and what comes after it is encrypted and cannot be changed, repeated or left out unnoticed.
//!
//! The pattern is `NNpsk0`: two messages, each with a fresh key of Diffie-Hellman, so that one who learns the secret
//! later cannot read what was recorded. The version and both names, in the order of who has dialled, are in the
//! prologue: a message is of no use between two other servers or in the other direction. The payload of each message is
//! the epoch of its sender.
//!
//! The first message can be replayed, and who replays it gets an answer. So nothing may come of it until the first
//! frame has opened, which takes the initiator's own key.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use crate::proto::line::framing::{MESSAGE_BYTES_MAX, MESSAGE_LENGTH_BYTES};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::secret::Secret;
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::{Greeting, PEER_VERSION};

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// What the key is good for.
const LABEL: &[u8] = b"link";

/// A private key of Diffie-Hellman for one handshake, drawn at random. If it could be foretold, so could what is
/// encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EphemeralKey(pub [u8; 32]);

/// The other side has another secret, means another server, or speaks another version; or a message was changed on its
/// way. Noise does not tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret, herd or version differs")]
pub struct Differs;

/// A handshake that was begun, and waits for the second message.
#[derive(Debug)]
pub struct Begun(HandshakeState);

/// Begins a handshake with the one that `hello` is for. Returns the first message, with its length.
pub fn begin(secret: &Secret, hello: &Greeting, epoch: Epoch, key: EphemeralKey) -> (Begun, Vec<u8>) {
    let mut state = state(secret, hello, key, |builder| builder.build_initiator());
    let message = message(&mut state, epoch).expect("it is our turn, and there is room");
    (Begun(state), message)
}

/// Answers the first message of the one that has said `hello`, by the secret that it was made with. Returns what
/// encrypts the link, the epoch of the other side, and the second message, with its length.
pub fn answer(
    secrets: &[Secret],
    hello: &Greeting,
    first: &[u8],
    epoch: Epoch,
    key: EphemeralKey,
) -> Result<(Frames, Epoch, Vec<u8>), Differs> {
    for secret in secrets {
        let mut state = state(secret, hello, key, |builder| builder.build_responder());
        let Ok(theirs) = read(&mut state, first) else { continue };
        let second = message(&mut state, epoch)?;
        return Ok((frames(state)?, theirs, second));
    }
    Err(Differs)
}

impl Begun {
    /// Ends it with the second message. Returns what encrypts the link, and the epoch of the other side.
    pub fn finish(self, second: &[u8]) -> Result<(Frames, Epoch), Differs> {
        let Begun(mut state) = self;
        let theirs = read(&mut state, second)?;
        Ok((frames(state)?, theirs))
    }
}

fn state(
    secret: &Secret,
    hello: &Greeting,
    key: EphemeralKey,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> HandshakeState {
    let mut psk = [0; 32];
    Hkdf::<Sha256>::new(None, secret.bytes()).expand(LABEL, &mut psk).expect("HKDF gives 32 bytes");
    // No name can hold a space, so no two pairs have the same text.
    let prologue = format!("proxyherd link {PEER_VERSION} {} {}", hello.from, hello.to);
    let pattern = PATTERN.parse().expect("the pattern is one of Noise");
    let builder = Builder::with_resolver(pattern, Box::new(Ciphers(key)));
    let builder = builder.prologue(prologue.as_bytes()).and_then(|builder| builder.psk(0, &psk));
    builder.and_then(build).expect("all that the pattern needs is given once")
}

/// The next message, with the epoch in it.
fn message(state: &mut HandshakeState, epoch: Epoch) -> Result<Vec<u8>, Differs> {
    let mut message = vec![0; MESSAGE_LENGTH_BYTES + MESSAGE_BYTES_MAX];
    let count = state
        .write_message(&epoch.0.to_be_bytes(), &mut message[MESSAGE_LENGTH_BYTES..])
        .map_err(|_| Differs)?;
    message[..MESSAGE_LENGTH_BYTES].copy_from_slice(&(count as u16).to_be_bytes());
    message.truncate(MESSAGE_LENGTH_BYTES + count);
    Ok(message)
}

/// The epoch in the other side's message.
fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Epoch, Differs> {
    let mut payload = [0; MESSAGE_BYTES_MAX];
    let count = state.read_message(message, &mut payload).map_err(|_| Differs)?;
    let epoch = payload[..count].try_into().map_err(|_| Differs)?;
    Ok(Epoch(u64::from_be_bytes(epoch)))
}

fn frames(state: HandshakeState) -> Result<Frames, Differs> {
    Ok(Frames::new(state.into_stateless_transport_mode().map_err(|_| Differs)?))
}

/// The ciphers of ring, because those of the library itself cost more than TLS; and a key that was drawn before,
/// because the rules draw nothing.
struct Ciphers(EphemeralKey);

struct Drawn(EphemeralKey);

impl CryptoResolver for Ciphers {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(self.0)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

impl Random for Drawn {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        let Drawn(EphemeralKey(key)) = self;
        if bytes.len() != key.len() {
            return Err(snow::Error::Rng);
        }
        bytes.copy_from_slice(key);
        Ok(())
    }
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::name::ServerName;
    use crate::proto::peering::frames::BadFrame;

    fn secret(text: &str) -> Secret {
        Secret::parse(text.as_bytes()).unwrap()
    }

    fn ours() -> Secret {
        secret("the secret of this herd")
    }

    fn hello(from: &str, to: &str) -> Greeting {
        let name = |text| ServerName::parse(text).unwrap();
        Greeting { from: name(from), to: name(to), epoch: None }
    }

    fn begun(secret: &Secret, key: u8) -> (Begun, Vec<u8>) {
        begin(secret, &hello("Alford", "Bolden"), Epoch(1), EphemeralKey([key; 32]))
    }

    fn answered(
        secrets: &[Secret],
        hello: &Greeting,
        first: &[u8],
    ) -> Result<(Frames, Epoch, Vec<u8>), Differs> {
        let message = &first[MESSAGE_LENGTH_BYTES.min(first.len())..];
        answer(secrets, hello, message, Epoch(2), EphemeralKey([99; 32]))
    }

    /// What one side seals and the other one opens.
    fn passes(from: &mut Frames, to: &mut Frames, lines: &[u8]) -> Result<Vec<u8>, BadFrame> {
        let mut sealed = Vec::new();
        from.sealer.seal(lines, &mut sealed).unwrap();
        to.opener.space()[..sealed.len()].copy_from_slice(&sealed);
        to.opener.filled(sealed.len());
        let mut opened = vec![0; lines.len()];
        let count = to.opener.read(&mut opened)?.unwrap();
        opened.truncate(count);
        Ok(opened)
    }

    #[test]
    fn both_sides_learn_the_epoch_of_the_other_and_can_talk() {
        let (begun, first) = begun(&ours(), 1);
        assert_eq!(first.len(), MESSAGE_LENGTH_BYTES + 56);
        let (mut there, theirs, second) = answered(&[ours()], &hello("Alford", "Bolden"), &first).unwrap();
        let (mut here, epoch) = begun.finish(&second[MESSAGE_LENGTH_BYTES..]).unwrap();
        assert_eq!((theirs, epoch), (Epoch(1), Epoch(2)));
        assert_eq!(passes(&mut here, &mut there, b"READY\n"), Ok(b"READY\n".to_vec()));
        assert_eq!(passes(&mut there, &mut here, b"WELCOME 0\n"), Ok(b"WELCOME 0\n".to_vec()));
    }

    #[test]
    fn another_secret_name_or_direction_or_a_changed_message_is_no_handshake() {
        let (_, first) = begun(&ours(), 1);
        let good = hello("Alford", "Bolden");
        assert!(answered(&[secret("the secret of another")], &good, &first).is_err());
        assert!(answered(&[], &good, &first).is_err());
        for wrong in [hello("Alford", "Powell"), hello("Powell", "Bolden"), hello("Bolden", "Alford")] {
            assert!(answered(&[ours()], &wrong, &first).is_err(), "{wrong:?}");
        }
        for cut in 0..first.len() {
            assert!(answered(&[ours()], &good, &first[..cut]).is_err(), "{cut}");
        }
        assert!(answered(&[ours()], &good, &[&first[..], b"x"].concat()).is_err());
        for bit in MESSAGE_LENGTH_BYTES * 8..first.len() * 8 {
            let mut changed = first.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(answered(&[ours()], &good, &changed).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_changed_answer_or_one_to_another_message_ends_the_handshake() {
        let good = hello("Alford", "Bolden");
        let (_, other) = begun(&ours(), 2);
        let (_, _, second_to_other) = answered(&[ours()], &good, &other).unwrap();
        let (_, first) = begun(&ours(), 1);
        let (_, _, second) = answered(&[ours()], &good, &first).unwrap();
        let finish = |second: &[u8]| begun(&ours(), 1).0.finish(&second[MESSAGE_LENGTH_BYTES..]);
        assert!(finish(&second).is_ok());
        assert!(finish(&second_to_other).is_err());
        // Our own message, reflected.
        assert!(finish(&first).is_err());
        for bit in MESSAGE_LENGTH_BYTES * 8..second.len() * 8 {
            let mut changed = second.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(finish(&changed).is_err(), "{bit}");
        }
    }

    #[test]
    fn replayed_first_message_opens_no_frame() {
        let good = hello("Alford", "Bolden");
        let (begun, first) = begun(&ours(), 1);
        let (_, _, second) = answered(&[ours()], &good, &first).unwrap();
        let (mut here, _) = begun.finish(&second[MESSAGE_LENGTH_BYTES..]).unwrap();
        // The responder answers it again, with another key, and what was recorded behind it is of no use.
        let message = &first[MESSAGE_LENGTH_BYTES..];
        let (mut again, _, _) = answer(&[ours()], &good, message, Epoch(2), EphemeralKey([5; 32])).unwrap();
        assert_eq!(passes(&mut here, &mut again, b"READY\n"), Err(BadFrame));
    }

    #[test]
    fn both_secrets_are_accepted_while_one_replaces_the_other() {
        let (old, new) = (secret("the old one of this herd"), secret("the new one of this herd"));
        let good = hello("Alford", "Bolden");
        for used in [&old, &new] {
            let (begun, first) = begun(used, 1);
            let (_, _, second) = answered(&[old.clone(), new.clone()], &good, &first).unwrap();
            assert!(begun.finish(&second[MESSAGE_LENGTH_BYTES..]).is_ok());
        }
    }

    #[test]
    fn key_is_not_printed() {
        assert_eq!(format!("{:?}", EphemeralKey([7; 32])), "EphemeralKey(..)");
    }
}
