//! MQTT as a server speaks it: 3.1, 3.1.1 and 5. Pure: bytes in, packets out, and packets in, bytes out.
//!
//! Reading order: [`decode`] (what clients send, with [`fields`] and [`properties`]), [`encode`] (what a server sends),
//! [`topic`] (which client is on which topic, and what a filter takes). Sources: MQTT V3.1 Protocol Specification (IBM
//! and Eurotech), MQTT 3.1.1 and MQTT 5.0 (OASIS).

pub mod bad_packet;
pub mod decode;
pub mod encode;
pub mod fields;
pub mod properties;
pub mod topic;

/// The version that a client has chosen in its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.1, which OwnTracks for Android speaks: protocol `MQIsdp`, level 3.
    V31,
    /// 3.1.1: level 4.
    V311,
    /// 5.0: level 5.
    V5,
}

/// How often a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// At most once: it is not acknowledged.
    AtMostOnce,
    /// At least once: PUBACK acknowledges it.
    AtLeastOnce,
    /// Exactly once: PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce,
}

impl Qos {
    /// From its two bits.
    pub fn of_bits(bits: u8) -> Option<Qos> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

/// Reason codes of version 5. The older ones have a few numbers of their own, which [`encode`] puts in their place.
pub mod reason {
    /// It went well.
    pub const SUCCESS: u8 = 0x00;
    /// No such subscription, for an UNSUBSCRIBE.
    pub const NO_SUBSCRIPTION: u8 = 0x11;
    /// Something failed that has no number of its own.
    pub const UNSPECIFIED: u8 = 0x80;
    /// The packet is in no shape of the protocol.
    pub const MALFORMED: u8 = 0x81;
    /// The packet may not come here.
    pub const PROTOCOL: u8 = 0x82;
    /// The message is understood and cannot be used.
    pub const SPECIFIC: u8 = 0x83;
    /// The version is not spoken here.
    pub const VERSION: u8 = 0x84;
    /// The client's identifier is of no use.
    pub const CLIENT_ID: u8 = 0x85;
    /// The login is wrong.
    pub const LOGIN: u8 = 0x86;
    /// The user may not do this.
    pub const NOT_AUTHORISED: u8 = 0x87;
    /// The server stops.
    pub const STOPPING: u8 = 0x8b;
    /// There are no other ways to log in.
    pub const LOGIN_METHOD: u8 = 0x8c;
    /// Nothing has come for too long.
    pub const KEEP_ALIVE: u8 = 0x8d;
    /// The same client has connected again.
    pub const TAKEN_OVER: u8 = 0x8e;
    /// The filter is no filter.
    pub const FILTER: u8 = 0x8f;
    /// The topic is no topic.
    pub const TOPIC: u8 = 0x90;
    /// The alias of a topic is unknown, or too large.
    pub const ALIAS: u8 = 0x94;
    /// The packet is too long.
    pub const TOO_LONG: u8 = 0x95;
    /// More than may be had.
    pub const QUOTA: u8 = 0x97;
    /// The payload is not in its format.
    pub const PAYLOAD: u8 = 0x99;
    /// Subscriptions are not shared here.
    pub const SHARED: u8 = 0x9e;
    /// Subscriptions have no identifiers here.
    pub const SUBSCRIPTION_ID: u8 = 0xa1;
}
