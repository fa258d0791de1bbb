//! Packets of mosquitto, packets that are wrong, and any bytes at all.

use proptest::prelude::*;

use super::*;
use crate::proto::mqtt::encode::{self, Acknowledgement, Terms};
use crate::proto::mqtt::reason;

const BOUNDS: Bounds = Bounds { packet_bytes_max: 64 * 1024, filters_max: 32 };

/// All packets of a conversation that comes in pieces of so many bytes, as text, and why there is no further one.
fn conversation(bytes: &[u8], piece: usize) -> (Vec<String>, Option<BadPacket>) {
    let (mut packets, mut version, mut held) = (Vec::new(), None, Vec::new());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            let count = match decode(&held, version, BOUNDS) {
                Err(error) => return (packets, Some(error)),
                Ok(None) => break,
                Ok(Some((packet, count))) => {
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

fn captured() -> Vec<(String, String, Vec<u8>)> {
    let lines = include_str!("../captured.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let byte = |at: usize| u8::from_str_radix(&fields[2][at..at + 2], 16).unwrap();
            let bytes = (0..fields[2].len()).step_by(2).map(byte).collect();
            (fields[0].to_owned(), fields[1].to_owned(), bytes)
        })
        .collect()
}

#[test]
fn mosquitto_is_understood_in_all_versions() {
    let all = captured();
    assert_eq!(all.len(), 22);
    for (version, what, bytes) in all {
        let (packets, error) = conversation(&bytes, usize::MAX);
        assert_eq!(error, None, "{version} {what}");
        let text = packets.join("\n");
        let says = |part: &str| assert!(text.contains(part), "{version} {what}: no {part} in\n{text}");
        says(match version.as_str() {
            "mqttv31" => "version: V31,",
            "mqttv311" => "version: V311,",
            _ => "version: V5,",
        });
        says("client_id: \"t1\"");
        says("Disconnect");
        match what.as_str() {
            "pub-qos0" => {
                says("qos: AtMostOnce, is_retained: false, topic: \"owntracks/a/b\", alias: None, id: 0")
            }
            "pub-qos1" => {
                says("qos: AtLeastOnce, is_retained: false, topic: \"owntracks/a/b\", alias: None, id: 1")
            }
            "pub-qos2" => {
                says("qos: ExactlyOnce");
                says("PubRel(1)");
            }
            "pub-retained" => {
                says("is_retained: true");
                says("user: Some(\"jane\"), password: Some([115, 51, 99, 114, 101, 116])");
            }
            "pub-will" => {
                says("will_topic: Some(\"owntracks/a/b\")");
                says(if version == "mqttv311" { "keep_alive_s: 3600" } else { "keep_alive_s: " });
            }
            "pub-empty" => says("payload: []"),
            "pub-alias" => {
                says("alias: Some(1)");
                says("receive_max: Some(7), packet_bytes_max: Some(999)");
            }
            "sub" => {
                says("Subscribe(1, [Subscription { filter: \"owntracks/+/+\", qos: ExactlyOnce");
                says("PubAck(7)");
            }
            _ => panic!("{what}"),
        }
        for piece in [1, 2, 3, 7] {
            assert_eq!(conversation(&bytes, piece), (packets.clone(), None), "{version} {what}");
        }
    }
}

#[test]
fn what_is_not_as_the_protocol_says_is_refused() {
    let connected = |version: &str, then: &[u8]| {
        let all = captured();
        let (_, _, bytes) = all.iter().find(|it| it.0 == version && it.1 == "pub-qos0").unwrap();
        let connect = 2 + usize::from(bytes[1]);
        conversation(&[&bytes[..connect], then].concat(), usize::MAX).1
    };
    let (malformed, protocol) = (Some(BadPacket::Malformed), Some(BadPacket::Protocol));
    for (first, error) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], malformed),
        (b"IAMAT kiwi +1+1 5\n", malformed),
        (b"\x10\xff\xff\xff\xff\x7f", malformed),
        (b"\x10\xff\xff\xff\x7f", Some(BadPacket::TooLong)),
        (b"\x10\x81\x80\x04", Some(BadPacket::TooLong)),
        (b"\x11\0", malformed),
        (b"\x10\0", malformed),
        (b"\x10\x0c\0\x04MQTT\x06\x02\0\0\0\0", Some(BadPacket::NewVersion)),
        (b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0", Some(BadPacket::OldVersion)),
        (b"\x10\x0c\0\x04MQTT\x84\x02\0\0\0\0", Some(BadPacket::OldVersion)),
        (b"\x10\x0c\0\x04MQTZ\x04\x02\0\0\0\0", malformed),
        (b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0", malformed),
        (b"\x10\x0c\0\x04MQTT\x04\x42\0\0\0\0", malformed),
        (b"\x10\x0c\0\x04MQTT\x04\x20\0\0\0\0", malformed),
        (b"\x30\x00", malformed),
    ] {
        assert_eq!(conversation(first, usize::MAX).1, error, "{}", first.escape_ascii());
    }
    for (version, then, error) in [
        ("mqttv311", &b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0"[..], protocol),
        ("mqttv311", b"\x36\x05\0\x01a\0\x01", malformed),
        ("mqttv311", b"\x32\x05\0\x01a\0\0", malformed),
        ("mqttv311", b"\x30\x03\0\x01+", malformed),
        ("mqttv311", b"\x30\x03\0\x01\0", malformed),
        ("mqttv311", b"\x30\x03\0\x01\xff", malformed),
        ("mqttv311", b"\x30\x02\0\0", protocol),
        ("mqttv311", b"\x80\x06\0\x01\0\x01a\0", malformed),
        ("mqttv311", b"\x8a\x06\0\x01\0\x01a\0", malformed),
        ("mqttv31", b"\x8a\x06\0\x01\0\x01a\0", None),
        ("mqttv311", b"\x82\x06\0\x01\0\x01a\x03", malformed),
        ("mqttv311", b"\x82\x06\0\x01\0\x01a\x04", malformed),
        ("mqttv5", b"\x82\x07\0\x01\0\0\x01a\x04", None),
        ("mqttv5", b"\x82\x07\0\x01\0\0\x01a\x30", protocol),
        ("mqttv5", b"\x82\x09\0\x01\x02\x0b\x05\0\x01a\0", Some(BadPacket::SubscriptionId)),
        ("mqttv311", b"\x82\x02\0\x01", protocol),
        ("mqttv311", b"\x40\x03\0\x01\0", malformed),
        ("mqttv5", b"\x40\x03\0\x01\x10", None),
        ("mqttv5", b"\x30\x07\0\x01a\x03\x23\0\x01", None),
        ("mqttv5", b"\x30\x07\0\x01a\x03\x0b\0\x01", protocol),
        ("mqttv5", b"\xe0\x02\x04\0", None),
        ("mqttv311", b"\xe0\x01\x04", malformed),
        ("mqttv5", b"\xf0\x00", protocol),
        ("mqttv311", b"\x20\x02\0\0", protocol),
        ("mqttv311", b"\x00\x00", malformed),
    ] {
        assert_eq!(connected(version, then), error, "{version} {}", then.escape_ascii());
    }
    let many: Vec<u8> = [&b"\x82"[..], &[2 + 33 * 4, 1], &b"\0\x01"[..], &b"\0\x01a\0".repeat(33)].concat();
    assert_eq!(connected("mqttv311", &many), Some(BadPacket::TooManyFilters));
}

#[test]
fn a_server_says_what_the_versions_have_words_for() {
    let said = |push: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        push(&mut out);
        out
    };
    let terms = Terms {
        client_id: Some("x"),
        receive_max: 20,
        packet_bytes_max: 65_536,
        topic_aliases_max: 10,
        keep_alive_s: None,
    };
    assert_eq!(said(&|out| encode::push_accepted(Version::V31, &terms, out)), b"\x20\x02\0\0");
    assert_eq!(
        said(&|out| encode::push_accepted(Version::V5, &terms, out)),
        b"\x20\x1b\0\0\x18\x11\0\0\0\0\x21\0\x14\x22\0\x0a\x27\0\x01\0\0\x29\0\x2a\0\x12\0\x01x"
    );
    for (why, code) in [(reason::VERSION, 1), (reason::CLIENT_ID, 2), (reason::QUOTA, 3), (reason::LOGIN, 4)]
    {
        assert_eq!(said(&|out| encode::push_refused(Version::V311, why, out)), [0x20, 2, 0, code]);
        assert_eq!(said(&|out| encode::push_refused(Version::V5, why, out)), [0x20, 3, 0, why, 0]);
    }
    let codes = [1, reason::SHARED];
    assert_eq!(said(&|out| encode::push_sub_ack(7, Version::V31, &codes, out)), b"\x90\x04\0\x07\x01\0");
    assert_eq!(said(&|out| encode::push_sub_ack(7, Version::V311, &codes, out)), b"\x90\x04\0\x07\x01\x80");
    assert_eq!(said(&|out| encode::push_sub_ack(7, Version::V5, &codes, out)), b"\x90\x05\0\x07\0\x01\x9e");
    assert_eq!(said(&|out| encode::push_unsub_ack(7, Version::V31, &[0], out)), b"\xb0\x02\0\x07");
    let ack = |version, why| {
        said(&|out| encode::push_acknowledgement(Acknowledgement::PubRec, 7, version, why, out))
    };
    assert_eq!(ack(Version::V311, reason::TOPIC), b"\x50\x02\0\x07");
    assert_eq!(ack(Version::V5, reason::TOPIC), b"\x50\x03\0\x07\x90");
    assert_eq!(encode::UNAVAILABLE.as_bytes(), b"\x20\x02\0\x03");
}

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written(
        topic in "[a-z/\u{e9}]{1,20}", id in prop::option::of(1_u16..), is_retained: bool, length in 0_usize..40_000,
        version in prop::sample::select(&[Version::V31, Version::V311, Version::V5]),
    ) {
        let payload = vec![b'x'; length];
        let mut out = Vec::new();
        encode::push_publish(version, &topic, id, is_retained, &payload, &mut out);
        let qos = if id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        let publish =
            Publish { qos, is_retained, topic: &topic, alias: None, id: id.unwrap_or(0), payload: &payload };
        let read = decode(&out, Some(version), BOUNDS);
        prop_assert_eq!(read, Ok(Some((Packet::Publish(publish), out.len()))));
        prop_assert_eq!(decode(&out[..out.len() - 1], Some(version), BOUNDS), Ok(None));
    }

    #[test]
    fn whatever_comes_is_read_the_same_whole_and_in_pieces(
        which in 0_usize..22, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        more in prop::collection::vec(any::<u8>(), 0..20), piece in 1_usize..9,
    ) {
        let mut bytes = captured().swap_remove(which).2;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(more);
        prop_assert_eq!(conversation(&bytes, piece), conversation(&bytes, usize::MAX));
    }
}
