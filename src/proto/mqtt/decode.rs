//! What clients send: bytes to packets, which borrow from them. Whatever the bytes are, nothing is taken for granted of
//! them, and no more is kept of them than the bounds say.

use super::bad_packet::BadPacket;
use super::fields::{Fields, variable};
use super::properties::{Properties, of};
use super::topic::has_wildcards;
use super::{Qos, Version};

/// The bytes before a packet's own: its kind, and how many follow.
pub const HEADER_BYTES_MAX: usize = 5;

/// The bounds of what is taken.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a packet behind its header.
    pub packet_bytes_max: usize,
    /// Filters of a SUBSCRIBE or an UNSUBSCRIBE.
    pub filters_max: usize,
}

/// A packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Who it is. In a box, because it comes once.
    Connect(Box<Connect<'a>>),
    /// A message.
    Publish(Publish<'a>),
    /// It has a message of this identifier.
    PubAck(u16),
    /// The same, for one that arrives exactly once.
    PubRec(u16),
    /// It knows that we have its message.
    PubRel(u16),
    /// It has let go of a message.
    PubComp(u16),
    /// What it wants to be told.
    Subscribe(u16, Vec<Subscription<'a>>),
    /// What it wants to be told no more.
    Unsubscribe(u16, Vec<&'a str>),
    /// It is still there.
    PingReq,
    /// It goes.
    Disconnect,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that is spoken from now on.
    pub version: Version,
    /// The client's identifier, which may be empty.
    pub client_id: &'a str,
    /// Whether it wants a session without a past.
    pub is_clean: bool,
    /// The longest silence that it means to keep, in seconds; 0 for any.
    pub keep_alive_s: u16,
    /// Where its last will is to be published, if it has one.
    pub will_topic: Option<&'a str>,
    /// The user of the login.
    pub user: Option<&'a str>,
    /// The password of the login.
    pub password: Option<&'a [u8]>,
    /// Those of version 5.
    pub properties: Properties,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// How often it arrives.
    pub qos: Qos,
    /// Whether it is to be kept for later subscribers.
    pub is_retained: bool,
    /// The topic; empty if its alias stands for it.
    pub topic: &'a str,
    /// The alias of the topic.
    pub alias: Option<u16>,
    /// Its identifier; 0 if it is not acknowledged.
    pub id: u16,
    /// The message.
    pub payload: &'a [u8],
}

/// A filter of topics, and how their messages are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The filter, which is not checked yet.
    pub filter: &'a str,
    /// How often messages are to arrive, at most.
    pub qos: Qos,
    /// Whether it wants none that it has published itself.
    pub no_local: bool,
    /// When it wants those that are retained.
    pub retained: Retained,
}

/// When a subscriber wants the messages that are retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Each time that it subscribes.
    Always,
    /// If it has not subscribed to this before.
    IfNew,
    /// Never.
    Never,
}

/// The packet at the beginning of `bytes`, and how many it takes; `None` if its end has not come. Before `version` is
/// known only a CONNECT may come, and afterwards none.
///
/// # Errors
/// If there will be no packet, whatever follows.
pub fn decode(
    bytes: &[u8],
    version: Option<Version>,
    bounds: Bounds,
) -> Result<Option<(Packet<'_>, usize)>, BadPacket> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0xf);
    match (kind, version) {
        (1, None) => {}
        (_, None) | (0, _) => return Err(BadPacket::Malformed),
        (1, Some(_)) => return Err(BadPacket::Protocol),
        _ => {}
    }
    let Some((count, length_bytes)) = variable(rest)? else { return Ok(None) };
    if count > bounds.packet_bytes_max {
        return Err(BadPacket::TooLong);
    }
    let Some(body) = rest[length_bytes..].get(..count) else { return Ok(None) };
    let mut fields = Fields(body);
    let packet = match version {
        None if flags == 0 => connect(fields)?,
        None => return Err(BadPacket::Malformed),
        Some(version) => {
            // In 3.1 what is acknowledged may come again, and says so.
            let may_repeat = version == Version::V31 && matches!(kind, 6 | 8 | 10);
            let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
            let flags = if may_repeat { flags & !8 } else { flags };
            if kind != 3 && flags != expected {
                return Err(BadPacket::Malformed);
            }
            match kind {
                3 => publish(fields, flags, version)?,
                4 => Packet::PubAck(acknowledgement(fields, version)?),
                5 => Packet::PubRec(acknowledgement(fields, version)?),
                6 => Packet::PubRel(acknowledgement(fields, version)?),
                7 => Packet::PubComp(acknowledgement(fields, version)?),
                8 => subscribe(fields, version, bounds)?,
                10 => unsubscribe(fields, version, bounds)?,
                12 => {
                    fields.end()?;
                    Packet::PingReq
                }
                14 => {
                    if version == Version::V5 && !fields.0.is_empty() {
                        fields.byte()?;
                        if !fields.0.is_empty() {
                            Properties::read(&mut fields, of::DISCONNECT)?;
                        }
                    }
                    fields.end()?;
                    Packet::Disconnect
                }
                _ => return Err(BadPacket::Protocol),
            }
        }
    };
    Ok(Some((packet, 1 + length_bytes + count)))
}

fn connect(mut fields: Fields<'_>) -> Result<Packet<'_>, BadPacket> {
    let (name, level) = (fields.binary()?, fields.byte()?);
    let version = match (name, level) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        // A bridge of mosquitto tries a level of its own first, and then one of these.
        (b"MQTT", 6..0x80) => return Err(BadPacket::NewVersion),
        (b"MQTT" | b"MQIsdp", _) => return Err(BadPacket::OldVersion),
        _ => return Err(BadPacket::Malformed),
    };
    let flags = fields.byte()?;
    let has = |flag: u8| flags & flag != 0;
    if has(1) && version != Version::V31 {
        return Err(BadPacket::Malformed);
    }
    let has_will = has(4);
    Qos::of_bits(flags >> 3 & 3).ok_or(BadPacket::Malformed)?;
    if !has_will && flags & 0x38 != 0 && version != Version::V31 {
        return Err(BadPacket::Malformed);
    }
    if has(0x40) && !has(0x80) && version != Version::V5 {
        return Err(BadPacket::Malformed);
    }
    let keep_alive_s = fields.two()?;
    let properties = properties(&mut fields, version, of::CONNECT)?;
    let client_id = fields.text()?;
    let mut will_topic = None;
    if has_will {
        self::properties(&mut fields, version, of::WILL)?;
        let topic = fields.text()?;
        if topic.is_empty() || has_wildcards(topic) {
            return Err(BadPacket::Malformed);
        }
        will_topic = Some(topic);
        fields.binary()?;
    }
    let user = has(0x80).then(|| fields.text()).transpose()?;
    let password = has(0x40).then(|| fields.binary()).transpose()?;
    fields.end()?;
    let is_clean = has(2);
    Ok(Packet::Connect(Box::new(Connect {
        version,
        client_id,
        is_clean,
        keep_alive_s,
        will_topic,
        user,
        password,
        properties,
    })))
}

fn publish(mut fields: Fields<'_>, flags: u8, version: Version) -> Result<Packet<'_>, BadPacket> {
    let qos = Qos::of_bits(flags >> 1 & 3).ok_or(BadPacket::Malformed)?;
    let topic = fields.text()?;
    let id = if qos == Qos::AtMostOnce { 0 } else { fields.packet_id()? };
    let alias = properties(&mut fields, version, of::PUBLISH)?.topic_alias;
    if topic.is_empty() && alias.is_none() {
        return Err(BadPacket::Protocol);
    }
    // One that is longer than topics are here is not used, but an older client that is cut off for it comes again.
    if has_wildcards(topic) {
        return Err(BadPacket::Malformed);
    }
    let is_retained = flags & 1 != 0;
    Ok(Packet::Publish(Publish { qos, is_retained, topic, alias, id, payload: fields.0 }))
}

fn acknowledgement(mut fields: Fields<'_>, version: Version) -> Result<u16, BadPacket> {
    let id = fields.packet_id()?;
    if version == Version::V5 && !fields.0.is_empty() {
        fields.byte()?;
        if !fields.0.is_empty() {
            Properties::read(&mut fields, of::ACKNOWLEDGEMENT)?;
        }
    }
    fields.end()?;
    Ok(id)
}

fn subscribe(mut fields: Fields<'_>, version: Version, bounds: Bounds) -> Result<Packet<'_>, BadPacket> {
    let id = fields.packet_id()?;
    if properties(&mut fields, version, of::SUBSCRIBE)?.has_subscription_id {
        return Err(BadPacket::SubscriptionId);
    }
    let mut filters = Vec::new();
    while !fields.0.is_empty() {
        let (filter, options) = (fields.text()?, fields.byte()?);
        let known = if version == Version::V5 { 0x3f } else { 3 };
        let qos = Qos::of_bits(options & 3).ok_or(BadPacket::Malformed)?;
        let retained = match options >> 4 & 3 {
            0 => Retained::Always,
            1 => Retained::IfNew,
            2 => Retained::Never,
            _ => return Err(BadPacket::Protocol),
        };
        if options & !known != 0 {
            return Err(BadPacket::Malformed);
        }
        filters.push(Subscription { filter, qos, no_local: options & 4 != 0, retained });
        if filters.len() > bounds.filters_max {
            return Err(BadPacket::TooManyFilters);
        }
    }
    if filters.is_empty() { Err(BadPacket::Protocol) } else { Ok(Packet::Subscribe(id, filters)) }
}

fn unsubscribe(mut fields: Fields<'_>, version: Version, bounds: Bounds) -> Result<Packet<'_>, BadPacket> {
    let id = fields.packet_id()?;
    properties(&mut fields, version, of::UNSUBSCRIBE)?;
    let mut filters = Vec::new();
    while !fields.0.is_empty() {
        filters.push(fields.text()?);
        if filters.len() > bounds.filters_max {
            return Err(BadPacket::TooManyFilters);
        }
    }
    if filters.is_empty() { Err(BadPacket::Protocol) } else { Ok(Packet::Unsubscribe(id, filters)) }
}

fn properties(fields: &mut Fields<'_>, version: Version, allowed: u64) -> Result<Properties, BadPacket> {
    if version == Version::V5 { Properties::read(fields, allowed) } else { Ok(Properties::default()) }
}

#[cfg(test)]
mod tests;
