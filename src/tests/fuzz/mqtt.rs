//! Packets of MQTT from any bytes: read the same whole and in pieces, and what is read of a message is written back.

use crate::proto::mqtt::bad_packet::BadPacket;
use crate::proto::mqtt::decode::{Bounds, Packet, decode};
use crate::proto::mqtt::encode::push_publish;
use crate::proto::mqtt::topic::{Topic, is_filter, matches, of_client};
use crate::proto::mqtt::{Qos, Version};

const BOUNDS: Bounds = Bounds { packet_bytes_max: 4 * 1024, filters_max: 8 };

/// Bytes as a conversation that begins with a CONNECT, and as one that goes on in each version.
pub(crate) fn check(data: &[u8]) {
    for version in [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)] {
        let whole = conversation(data, version, usize::MAX);
        for piece in [1, 3] {
            assert_eq!(conversation(data, version, piece), whole, "in pieces of {piece}");
        }
    }
}

fn conversation(
    bytes: &[u8],
    mut version: Option<Version>,
    piece: usize,
) -> (Vec<String>, Option<BadPacket>) {
    let (mut packets, mut held) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            let count = match decode(&held, version, BOUNDS) {
                Err(error) => return (packets, Some(error)),
                Ok(None) => break,
                Ok(Some((packet, count))) => {
                    written_back(&packet, version.unwrap_or(Version::V5));
                    if let Packet::Connect(connect) = &packet {
                        version = Some(connect.version);
                    }
                    packets.push(format!("{packet:?}"));
                    count
                }
            };
            held.drain(..count);
        }
    }
    (packets, None)
}

fn written_back(packet: &Packet<'_>, version: Version) {
    if let Packet::Subscribe(_, filters) = packet {
        assert!(filters.len() <= BOUNDS.filters_max);
    }
    let Packet::Publish(publish) = packet else { return };
    if let Some(topic) = Topic::parse(publish.topic).filter(|topic| topic.is_location()) {
        let told = of_client(&topic.client());
        assert!(is_filter(&told) && matches("owntracks/+/+", &told, None), "{told}");
        assert_eq!(Topic::parse(&told).map(|topic| topic.is_location()), Some(true));
    }
    if publish.topic.is_empty() || publish.alias.is_some() || publish.qos == Qos::ExactlyOnce {
        return;
    }
    let id = (publish.id > 0).then_some(publish.id);
    let mut out = Vec::new();
    push_publish(version, publish.topic, id, publish.is_retained, publish.payload, &mut out);
    let bounds = Bounds { packet_bytes_max: 2 * BOUNDS.packet_bytes_max, ..BOUNDS };
    let count = out.len();
    assert_eq!(decode(&out, Some(version), bounds), Ok(Some((Packet::Publish(*publish), count))));
}
