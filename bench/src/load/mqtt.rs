//! The packets of MQTT 3.1.1 that a client sends: it says who it is, publishes, subscribes, and asks for a sign of
//! life.

/// The answer to a CONNECT.
pub(crate) const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

/// Asks for a sign of life.
pub(crate) const PING: [u8; 2] = [0xc0, 0];

/// Says who it is. It promises no sign of life.
pub(crate) fn push_connect(id: &[u8], out: &mut Vec<u8>) {
    let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
    push_text(id, &mut body);
    push_packet(0x10, &body, out);
}

/// Publishes a message, which is to be acknowledged if it has an identifier.
pub(crate) fn push_publish(topic: &[u8], id: Option<u16>, payload: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    push_text(topic, &mut body);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(payload);
    push_packet(if id.is_some() { 0x32 } else { 0x30 }, &body, out);
}

/// Subscribes to a filter, with this quality.
pub(crate) fn push_subscribe(filter: &[u8], qos: u8, out: &mut Vec<u8>) {
    let mut body = vec![0, 1];
    push_text(filter, &mut body);
    body.push(qos);
    push_packet(0x82, &body, out);
}

/// What must be answered to a CONNECT, a PUBLISH, a PINGREQ, or one behind the other.
pub(crate) fn answer_to(sent: &[u8]) -> Vec<u8> {
    let (mut rest, mut answer) = (sent, Vec::new());
    while let Some((first, body, behind)) = split(rest) {
        match first {
            0x10 => answer.extend(ACCEPTED),
            // Not acknowledged.
            0x30 => {}
            0xc0 => answer.extend([0xd0, 0]),
            _ => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                answer.extend([0x40, 2, body[2 + topic], body[3 + topic]]);
            }
        }
        rest = behind;
    }
    answer
}

/// The first byte of a packet, what stands in it, and what stands behind it; `None` if it is not all there.
pub(crate) fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (mut count, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        count |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            return Some((bytes[0], bytes.get(at..at + count)?, &bytes[at + count..]));
        }
    }
}

fn push_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut left = body.len();
    loop {
        let byte = (left & 0x7f) as u8;
        left >>= 7;
        out.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_split_where_they_end_and_each_has_its_answer() {
        let mut out = Vec::new();
        push_connect(b"one", &mut out);
        push_publish(b"owntracks/a/b", Some(0x0102), &[b'x'; 300], &mut out);
        assert_eq!(answer_to(&out), [0x20, 2, 0, 0, 0x40, 2, 1, 2]);
        let (first, body, rest) = split(&out).unwrap();
        assert_eq!((first, body), (0x10, &b"\0\x04MQTT\x04\x02\0\0\0\x03one"[..]));
        assert_eq!(
            split(rest).map(|(first, body, rest)| (first, body.len(), rest.len())),
            Some((0x32, 317, 0))
        );
        assert_eq!(split(&rest[..rest.len() - 1]), None);
        assert_eq!(split(&rest[..2]), None);
    }
}
