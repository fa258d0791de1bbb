//! What clients of MQTT tell each other through this server, if it passes messages on: cards, commands, waypoints.
//!
//! One ring of messages serves all. A subscriber is a position in it and has no queue, as it is in the change log. When
//! the ring is full, the sender that takes most of it loses its oldest message, so that a flood costs the others
//! nothing. Nothing is durable: who connects later, or is too slow, is not told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::os::sync::Mutex;
use crate::proto::mqtt::Qos;
use crate::proto::mqtt::topic::Topic;

/// The bytes of all messages in the ring: the longest packet fits twice.
const RING_BYTES_MAX: usize = 2 << 20;

/// The bytes that a message takes beside its own.
const MESSAGE_BYTES: usize = 256;

/// Below these levels of a client only those are told who may report as it: commands may have passwords in them, and so
/// may a phone's answer.
const PRIVATE: [&str; 3] = ["cmd", "dump", "request"];

/// The messages that are passed on.
#[derive(Debug, Default)]
pub struct Relay {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    messages: BTreeMap<u64, Arc<Relayed>>,
    bytes: usize,
    bytes_of: BTreeMap<String, usize>,
    next: u64,
    /// Behind the newest message that had to go.
    lost_before: u64,
}

/// A message that is passed on.
#[derive(Debug)]
pub(super) struct Relayed {
    /// The connection that it came on.
    pub(super) connection: u64,
    /// The user that sends it; empty if there are no users.
    pub(super) user: String,
    pub(super) topic: String,
    /// The client that the topic names.
    pub(super) client: String,
    pub(super) qos: Qos,
    pub(super) payload: Vec<u8>,
    /// Whether it is encrypted with a key that is not known here.
    pub(super) is_sealed: bool,
}

/// What has come since a position.
pub(super) struct Heard {
    /// Each with its own position.
    pub(super) messages: Vec<(u64, Arc<Relayed>)>,
    /// The position behind them.
    pub(super) position: u64,
    /// Whether messages may have gone that were not told.
    pub(super) is_late: bool,
}

impl Relay {
    /// The position behind all messages.
    pub(super) fn position(&self) -> u64 {
        self.ring.lock().next
    }

    /// Passes a message on.
    pub(super) fn push(&self, message: Relayed) {
        let mut ring = self.ring.lock();
        let at = ring.next;
        ring.next += 1;
        ring.bytes += message.bytes();
        *ring.bytes_of.entry(message.user.clone()).or_default() += message.bytes();
        ring.messages.insert(at, Arc::new(message));
        while ring.bytes > RING_BYTES_MAX {
            ring.drop_one();
        }
    }

    /// What has come since a position, at most so many messages.
    pub(super) fn since(&self, position: u64, messages_max: usize) -> Heard {
        let ring = self.ring.lock();
        let found = ring.messages.range(position..).take(messages_max);
        let messages: Vec<_> = found.map(|(at, message)| (*at, Arc::clone(message))).collect();
        let is_late = position < ring.lost_before;
        let position = match messages.len() < messages_max {
            true => ring.next,
            false => messages.last().map_or(position, |(last, _)| last + 1),
        };
        Heard { messages, position, is_late }
    }
}

impl Ring {
    fn drop_one(&mut self) {
        let most = self.bytes_of.iter().max_by_key(|(_, bytes)| **bytes).map(|(user, _)| user.clone());
        let Some(user) = most else { return };
        let Some(at) = self.messages.iter().find(|(_, it)| it.user == user).map(|(at, _)| *at) else {
            return;
        };
        let Some(gone) = self.messages.remove(&at) else { return };
        self.lost_before = self.lost_before.max(at + 1);
        self.bytes -= gone.bytes();
        if let Some(bytes) = self.bytes_of.get_mut(&user) {
            *bytes -= gone.bytes();
            if *bytes == 0 {
                self.bytes_of.remove(&user);
            }
        }
    }
}

impl Relayed {
    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.user.len() + self.topic.len() + self.client.len() + self.payload.len()
    }

    /// Whether only those may have it who may report as its client.
    pub(super) fn is_private(&self) -> bool {
        Topic::parse(&self.topic).and_then(|topic| topic.below()).is_none_or(|below| PRIVATE.contains(&below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(user: &str, at: usize, bytes: usize) -> Relayed {
        Relayed {
            connection: 0,
            user: user.to_owned(),
            topic: format!("owntracks/{user}/{at}/info"),
            client: format!("{user}/{at}"),
            qos: Qos::AtMostOnce,
            payload: vec![b'x'; bytes],
            is_sealed: false,
        }
    }

    fn topics(heard: &Heard) -> Vec<&str> {
        heard.messages.iter().map(|(_, message)| message.topic.as_str()).collect()
    }

    #[test]
    fn a_flood_pushes_out_its_own_messages_alone() {
        let relay = Relay::default();
        relay.push(message("joe", 0, 100));
        for at in 0..10_000 {
            relay.push(message("jane", at, 10_000));
        }
        let heard = relay.since(0, usize::MAX);
        assert!(heard.is_late && heard.position == 10_001);
        assert_eq!(topics(&heard)[0], "owntracks/joe/0/info");
        assert_eq!(topics(&heard).last(), Some(&"owntracks/jane/9999/info"));
        let bytes: usize = heard.messages.iter().map(|(_, message)| message.bytes()).sum();
        assert!(bytes <= RING_BYTES_MAX && bytes > RING_BYTES_MAX - 20_000, "{bytes}");
        // One that fills the ring alone.
        relay.push(message("jane", 7, RING_BYTES_MAX));
        assert_eq!(topics(&relay.since(0, usize::MAX)), ["owntracks/joe/0/info"]);
        assert_eq!(relay.ring.lock().bytes_of.len(), 1);
    }

    #[test]
    fn a_position_goes_on_where_it_was() {
        let relay = Relay::default();
        (0..3).for_each(|at| relay.push(message("jane", at, 1)));
        let heard = relay.since(1, 1);
        assert_eq!((topics(&heard), heard.position), (vec!["owntracks/jane/1/info"], 2));
        assert_eq!(relay.since(1, 0).position, 1);
        let heard = relay.since(2, 9);
        assert_eq!(
            (topics(&heard), heard.position, heard.is_late),
            (vec!["owntracks/jane/2/info"], 3, false)
        );
        assert_eq!(relay.since(3, 9).position, relay.position());
    }

    #[test]
    fn commands_and_dumps_are_private() {
        for (below, is_private) in
            [("info", false), ("cmd", true), ("cmd/x", true), ("dump", true), ("event", false)]
        {
            let topic = format!("owntracks/jane/phone/{below}");
            assert_eq!(Relayed { topic, ..message("jane", 0, 0) }.is_private(), is_private, "{below}");
        }
    }
}
