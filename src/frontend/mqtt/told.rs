//! What a client is told: one message at a time, and which of them it has not acknowledged. These are bits of one
//! number: what they said is not kept, because the store has it.

use crate::frontend::connection::Shared;
use crate::frontend::keys::PhoneKeys;
use crate::os::random;
use crate::proto::mqtt::encode::push_publish;
use crate::proto::mqtt::topic::TOPIC_BYTES_MAX;
use crate::proto::mqtt::{Qos, Version};

/// Tells a client.
#[derive(Debug)]
pub(super) struct Teller {
    /// Which connection it is, among all of them.
    pub(super) connection: u64,
    version: Version,
    /// The bits of the messages that wait for their acknowledgement; the identifier is the bit's number and one.
    in_flight: u32,
    in_flight_max: u32,
    /// The bytes of a packet that the client takes.
    packet_bytes_max: usize,
    /// Which client of the herd it is, once it has said so by its will or by a place.
    client: Option<String>,
}

/// A message.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) qos: Qos,
    pub(super) is_retained: bool,
    pub(super) payload: &'a [u8],
    /// Whether it is encrypted already.
    pub(super) is_sealed: bool,
}

impl Teller {
    pub(super) fn new(version: Version, in_flight_max: u32, packet_bytes_max: usize) -> Teller {
        Teller {
            connection: fastrand::u64(..),
            version,
            in_flight: 0,
            in_flight_max: in_flight_max.min(u32::BITS),
            packet_bytes_max,
            client: None,
        }
    }

    /// The connection is that of this client.
    pub(super) fn is_of(&mut self, client: &str) {
        if self.client.as_deref() != Some(client) {
            self.client = Some(client.to_owned());
        }
    }

    /// Whether the connection is that of this client.
    pub(super) fn is_own(&self, client: &str) -> bool {
        self.client.as_deref() == Some(client)
    }

    /// How many more messages may wait for their acknowledgement.
    pub(super) fn free(&self) -> usize {
        self.in_flight_max.saturating_sub(self.in_flight.count_ones()) as usize
    }

    /// The client has this message.
    pub(super) fn acknowledged(&mut self, id: u16) {
        let bit = u32::from(id).checked_sub(1).and_then(|at| 1_u32.checked_shl(at));
        self.in_flight &= !bit.unwrap_or(0);
    }

    /// Appends a message. One that is longer than the client takes is not told.
    pub(super) fn tell(&mut self, shared: Shared<'_>, message: &Message<'_>, out: &mut Vec<u8>) {
        let Message { topic, qos, is_retained, payload, is_sealed } = *message;
        let sealed = if is_sealed { None } else { self.sealed(shared, payload) };
        let payload = sealed.as_deref().unwrap_or(payload);
        // The header, the length of the topic, the identifier, and no properties. A name of which each byte is escaped
        // may be longer than a topic can be.
        if topic.len() > TOPIC_BYTES_MAX || topic.len() + payload.len() + 10 > self.packet_bytes_max {
            return;
        }
        let free = (self.free() > 0 && qos > Qos::AtMostOnce).then(|| self.in_flight.trailing_ones());
        self.in_flight |= free.map_or(0, |at| 1 << at);
        let id = free.map(|at| at as u16 + 1);
        push_publish(self.version, topic, id, is_retained, payload, out);
        shared.member.metrics.events_told.add(1);
    }

    /// A message to a phone that encrypts is encrypted too. Without random numbers it is none.
    fn sealed(&self, shared: Shared<'_>, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.is_empty() {
            return None;
        }
        let keys = shared.keys.map(PhoneKeys::current)?;
        let key = keys.key_of(self.client.as_ref()?)?;
        Some(random::bytes().map(|nonce| key.seal(nonce, payload)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_used_again_when_they_are_acknowledged() {
        let mut teller = Teller::new(Version::V311, 2, 100);
        assert_eq!(teller.free(), 2);
        teller.in_flight = 0b11;
        assert_eq!(teller.free(), 0);
        for id in [0, 3, 33, u16::MAX] {
            teller.acknowledged(id);
        }
        assert_eq!(teller.free(), 0);
        teller.acknowledged(1);
        assert_eq!((teller.free(), teller.in_flight.trailing_ones()), (1, 0));
    }
}
