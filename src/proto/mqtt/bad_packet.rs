//! Why what comes is no packet, and the reason code that says so.

use super::reason;

/// Why there is no further packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// It is in no shape of the protocol.
    #[error("what came is no packet of MQTT")]
    Malformed,
    /// It may not come here.
    #[error("a packet may not come there, or say that")]
    Protocol,
    /// It is too long.
    #[error("the packet is too long")]
    TooLong,
    /// It has too many filters.
    #[error("these are too many filters in one packet")]
    TooManyFilters,
    /// A subscription has an identifier.
    #[error("subscriptions have no identifiers here")]
    SubscriptionId,
    /// The version is one before the known ones, or unknown among them.
    #[error("this version of MQTT is not spoken here, only 3.1, 3.1.1 and 5")]
    OldVersion,
    /// The version is one after 5.
    #[error("this version of MQTT is not spoken here, only 3.1, 3.1.1 and 5")]
    NewVersion,
}

impl BadPacket {
    /// The reason code for it.
    pub fn reason(self) -> u8 {
        match self {
            BadPacket::Malformed => reason::MALFORMED,
            BadPacket::Protocol => reason::PROTOCOL,
            BadPacket::TooLong => reason::TOO_LONG,
            BadPacket::TooManyFilters => reason::QUOTA,
            BadPacket::SubscriptionId => reason::SUBSCRIPTION_ID,
            BadPacket::OldVersion | BadPacket::NewVersion => reason::VERSION,
        }
    }
}
