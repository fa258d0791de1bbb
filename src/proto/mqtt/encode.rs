//! What a server sends: values to bytes, in the version of the client.

use super::{Version, reason};

/// The answer to a PINGREQ.
pub const PING_RESP: [u8; 2] = [0xd0, 0];

/// What one is told in the place of an answer to its CONNECT who is not let in: a CONNACK of 3.1.1, "server
/// unavailable". Its version is not known by then.
pub const UNAVAILABLE: &str = "\u{20}\u{2}\0\u{3}";

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Of a message that arrives at least once.
    PubAck = 0x40,
    /// Of one that arrives exactly once.
    PubRec = 0x50,
    /// Of its end.
    PubComp = 0x70,
}

/// What a client of version 5 is told when it is let in.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Its identifier, if it has none of its own.
    pub client_id: Option<&'a str>,
    /// How many messages it may send unacknowledged.
    pub receive_max: u16,
    /// How many bytes of a packet it may send.
    pub packet_bytes_max: u32,
    /// How many topics may have aliases.
    pub topic_aliases_max: u16,
    /// The silence in seconds that it may keep, if it has not said one.
    pub keep_alive_s: Option<u16>,
}

/// Lets a client in. There is never a session from before.
pub fn push_accepted(version: Version, terms: &Terms<'_>, out: &mut Vec<u8>) {
    if version != Version::V5 {
        return out.extend_from_slice(&[0x20, 2, 0, 0]);
    }
    let mut properties = vec![0x11, 0, 0, 0, 0];
    properties.push(0x21);
    properties.extend(terms.receive_max.to_be_bytes());
    properties.push(0x22);
    properties.extend(terms.topic_aliases_max.to_be_bytes());
    properties.push(0x27);
    properties.extend(terms.packet_bytes_max.to_be_bytes());
    // No identifiers of subscriptions, and no shared ones.
    properties.extend([0x29, 0, 0x2a, 0]);
    if let Some(id) = terms.client_id {
        properties.push(0x12);
        push_text(id, &mut properties);
    }
    if let Some(seconds) = terms.keep_alive_s {
        properties.push(0x13);
        properties.extend(seconds.to_be_bytes());
    }
    let mut body = vec![0, reason::SUCCESS];
    push_variable(properties.len(), &mut body);
    body.append(&mut properties);
    push_packet(0x20, &body, out);
}

/// Says why a client is not let in.
pub fn push_refused(version: Version, why: u8, out: &mut Vec<u8>) {
    match version {
        Version::V5 => out.extend_from_slice(&[0x20, 3, 0, why, 0]),
        Version::V31 | Version::V311 => {
            let code = match why {
                reason::VERSION => 1,
                reason::CLIENT_ID => 2,
                reason::LOGIN => 4,
                reason::NOT_AUTHORISED => 5,
                _ => 3,
            };
            out.extend_from_slice(&[0x20, 2, 0, code]);
        }
    }
}

/// Acknowledges a message. Only version 5 has a reason in it.
pub fn push_acknowledgement(which: Acknowledgement, id: u16, version: Version, why: u8, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    match why {
        reason::SUCCESS => out.extend_from_slice(&[which as u8, 2, high, low]),
        why if version == Version::V5 => out.extend_from_slice(&[which as u8, 3, high, low, why]),
        _ => out.extend_from_slice(&[which as u8, 2, high, low]),
    }
}

/// Says what came of each filter of a SUBSCRIBE: the quality that is granted, or a reason. 3.1 has no word for a
/// failure.
pub fn push_sub_ack(id: u16, version: Version, codes: &[u8], out: &mut Vec<u8>) {
    let mut body = id.to_be_bytes().to_vec();
    body.extend((version == Version::V5).then_some(0));
    body.extend(codes.iter().map(|&code| match version {
        Version::V31 if code >= reason::UNSPECIFIED => 0,
        Version::V311 if code >= reason::UNSPECIFIED => reason::UNSPECIFIED,
        Version::V31 | Version::V311 | Version::V5 => code,
    }));
    push_packet(0x90, &body, out);
}

/// Says what came of each filter of an UNSUBSCRIBE.
pub fn push_unsub_ack(id: u16, version: Version, codes: &[u8], out: &mut Vec<u8>) {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
        body.extend_from_slice(codes);
    }
    push_packet(0xb0, &body, out);
}

/// Says why the connection ends, where there is a word for it.
pub fn push_disconnect(version: Version, why: u8, out: &mut Vec<u8>) {
    if version == Version::V5 {
        out.extend_from_slice(&[0xe0, 1, why]);
    }
}

/// A message, with an identifier if it is to be acknowledged.
pub fn push_publish(
    version: Version,
    topic: &str,
    id: Option<u16>,
    is_retained: bool,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let mut body = Vec::with_capacity(2 + topic.len() + 3 + payload.len());
    push_text(topic, &mut body);
    body.extend(id.map(u16::to_be_bytes).into_iter().flatten());
    body.extend((version == Version::V5).then_some(0));
    body.extend_from_slice(payload);
    push_packet(0x30 | u8::from(id.is_some()) << 1 | u8::from(is_retained), &body, out);
}

fn push_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    push_variable(body.len(), out);
    out.extend_from_slice(body);
}

/// A text of which we know that it is short.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_variable(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        out.push(if number > 0 { byte | 0x80 } else { byte });
        if number == 0 {
            return;
        }
    }
}
