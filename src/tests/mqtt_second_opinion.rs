//! What another maker's codec says of the same bytes of MQTT: mqtt-protocol-core, which speaks 3.1.1 and 5. Where the
//! two differ the reason has a name, or it is a mistake of one of them.

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1 as three, v5_0 as five};
use proptest::prelude::*;

use crate::proto::mqtt::bad_packet::BadPacket;
use crate::proto::mqtt::decode::{Bounds, Packet, decode};
use crate::proto::mqtt::encode::{self, Acknowledgement, Terms};
use crate::proto::mqtt::fields::variable;
use crate::proto::mqtt::topic::has_wildcards;
use crate::proto::mqtt::{Version, reason};

const BOUNDS: Bounds = Bounds { packet_bytes_max: 4_096, filters_max: 32 };

/// What a packet says, in words that both can be put into; and whatever else could tell them apart.
#[derive(Debug, PartialEq)]
struct Said {
    words: String,
    /// The packet, encoded again.
    again: Vec<u8>,
    /// All texts of it, those of properties included.
    texts: String,
}

fn words_of(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(it) => format!(
            "connect {:?} {} {} {:?} {:?} {:?} {:?} {:?}",
            it.client_id,
            it.is_clean,
            it.keep_alive_s,
            it.will_topic,
            it.user,
            it.password,
            it.properties.receive_max,
            it.properties.packet_bytes_max
        ),
        Packet::Publish(it) => format!(
            "publish {} {} {:?} {:?} id={} {:?}",
            it.qos as u8, it.is_retained, it.topic, it.alias, it.id, it.payload
        ),
        Packet::PubAck(id) => format!("4 id={id}"),
        Packet::PubRec(id) => format!("5 id={id}"),
        Packet::PubRel(id) => format!("6 id={id}"),
        Packet::PubComp(id) => format!("7 id={id}"),
        Packet::Subscribe(id, filters) => {
            let filters: Vec<_> =
                filters.iter().map(|it| (it.filter, it.qos as u8, it.no_local, it.retained as u8)).collect();
            format!("subscribe id={id} {filters:?}")
        }
        Packet::Unsubscribe(id, filters) => format!("unsubscribe id={id} {filters:?}"),
        Packet::PingReq => "12".to_owned(),
        Packet::Disconnect => "14".to_owned(),
    }
}

/// What the other says of a whole packet.
fn theirs(version: Version, bytes: &[u8]) -> Result<Said, String> {
    let (first, Some((count, length_bytes))) = (bytes[0], variable(&bytes[1..]).unwrap()) else {
        return Err("no length".to_owned());
    };
    let body = &bytes[1 + length_bytes..][..count];
    macro_rules! read {
        ($parsed:expr, |$it:ident| $words:expr, |$texts:ident| $of:expr) => {{
            let ($it, used) = $parsed.map_err(|error| format!("{error:?}"))?;
            if used != count {
                return Err("there is more than the packet".to_owned());
            }
            let words = $words;
            let $texts = &$it;
            Ok(Said { words, again: $it.to_continuous_buffer(), texts: $of })
        }};
    }
    macro_rules! plain {
        ($kind:ident, |$it:ident| $words:expr) => {
            match version {
                Version::V5 => read!(five::$kind::parse(body), |$it| $words, |it| format!("{it:?}")),
                _ => read!(three::$kind::parse(body), |$it| $words, |it| format!("{it:?}")),
            }
        };
    }
    macro_rules! filters {
        ($it:ident) => {{
            let one = |it: &mqtt_protocol_core::mqtt::packet::SubEntry| {
                let options = it.sub_opts();
                (it.topic_filter().to_owned(), options.qos() as u8, options.nl(), options.rh() as u8)
            };
            let filters: Vec<_> = $it.entries().iter().map(one).collect();
            format!("subscribe id={} {filters:?}", $it.packet_id())
        }};
    }
    macro_rules! connect {
        ($it:ident, $receive_max:expr, $packet_max:expr) => {
            format!(
                "connect {:?} {} {} {:?} {:?} {:?} {:?} {:?}",
                $it.client_id(),
                $it.clean_start(),
                $it.keep_alive(),
                $it.will_topic(),
                $it.user_name(),
                $it.password(),
                $receive_max,
                $packet_max
            )
        };
    }
    let number =
        |properties: &[Property], wanted: fn(&Property) -> Option<u32>| properties.iter().find_map(wanted);
    match first >> 4 {
        1 if version == Version::V5 => read!(
            five::Connect::parse(body),
            |it| connect!(
                it,
                number(it.props(), |it| if let Property::ReceiveMaximum(it) = it {
                    Some(it.val().into())
                } else {
                    None
                }),
                number(it.props(), |it| if let Property::MaximumPacketSize(it) = it {
                    Some(it.val())
                } else {
                    None
                })
            ),
            |it| format!("{it:?}")
        ),
        1 => read!(three::Connect::parse(body), |it| connect!(it, None::<u32>, None::<u32>), |it| format!(
            "{it:?}"
        )),
        3 if version == Version::V5 => read!(
            five::Publish::parse(first & 0xf, body.into()),
            |it| format!(
                "publish {} {} {:?} {:?} id={} {:?}",
                it.qos() as u8,
                it.retain(),
                it.topic_name(),
                number(it.props(), |it| if let Property::TopicAlias(it) = it {
                    Some(it.val().into())
                } else {
                    None
                }),
                it.packet_id().unwrap_or(0),
                it.payload().as_slice()
            ),
            |it| format!("{:?} {:?}", it.topic_name(), it.props())
        ),
        3 => read!(
            three::Publish::parse(first & 0xf, body.into()),
            |it| format!(
                "publish {} {} {:?} None id={} {:?}",
                it.qos() as u8,
                it.retain(),
                it.topic_name(),
                it.packet_id().unwrap_or(0),
                it.payload().as_slice()
            ),
            |it| format!("{:?}", it.topic_name())
        ),
        4 => plain!(Puback, |it| format!("4 id={}", it.packet_id())),
        5 => plain!(Pubrec, |it| format!("5 id={}", it.packet_id())),
        6 => plain!(Pubrel, |it| format!("6 id={}", it.packet_id())),
        7 => plain!(Pubcomp, |it| format!("7 id={}", it.packet_id())),
        8 => plain!(Subscribe, |it| filters!(it)),
        10 => plain!(Unsubscribe, |it| {
            let filters: Vec<&str> = it.entries().iter().map(|it| it.as_str()).collect();
            format!("unsubscribe id={} {filters:?}", it.packet_id())
        }),
        12 => plain!(Pingreq, |_it| "12".to_owned()),
        14 => plain!(Disconnect, |_it| "14".to_owned()),
        kind => Err(format!("kind {kind} is not a client's")),
    }
}

/// Why the two may differ on a packet.
fn named(
    version: Version,
    bytes: &[u8],
    ours: &Result<String, BadPacket>,
    theirs: &Result<Said, String>,
) -> Option<&'static str> {
    let (kind, is_five) = (bytes[0] >> 4, version == Version::V5);
    match (ours, theirs) {
        (Ok(words), Err(why)) => match kind {
            1 if is_five && why.contains("ProtocolError") => Some("5 has passwords without a user"),
            4..=7 | 14 if is_five => Some("we do not look at the reason that a client gives"),
            3 if words.contains("Some(0)") => Some("we refuse the alias 0 later, and say why"),
            8 | 10 if words.contains("$share/") => Some("we refuse all shared subscriptions, each by itself"),
            _ => None,
        },
        (Err(BadPacket::TooManyFilters | BadPacket::SubscriptionId | BadPacket::TooLong), Ok(_)) => {
            Some("our bounds")
        }
        (Err(_), Ok(said)) => {
            let flags = bytes.get(bytes.len().min(9)).copied().unwrap_or(0);
            let is_of_connect =
                kind == 1 && (flags & 1 != 0 || flags & 4 == 0 && flags & 0x38 != 0 || flags & 0x18 == 0x18);
            let topic = said.words.split('"').nth(if kind == 1 { 3 } else { 1 }).unwrap_or("");
            if said.again != bytes {
                Some("it overlooks bits or bytes that are not as the protocol says")
            } else if said.texts.contains("\\0")
                || said.texts.contains("\\u0000")
                || said.words.contains("\\0")
            {
                Some("it takes texts with a NUL")
            } else if !said.words.contains("publish 0") && said.words.contains(" id=0") {
                Some("it takes the identifier 0")
            } else if is_of_connect {
                Some("it takes flags of CONNECT that contradict each other")
            } else if matches!(kind, 1 | 3) && (topic.is_empty() || has_wildcards(topic)) {
                Some("it takes topics that are none")
            } else if kind == 8 && !is_five {
                Some("in 3.1.1 it takes options of 5")
            } else {
                None
            }
        }
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => None,
    }
}

/// Has both read the packets of a conversation, until one of them can go on no more.
fn compared(version: Version, bytes: &[u8]) -> Result<(), TestCaseError> {
    let (mut rest, mut known) = (bytes, None);
    while let Ok(Some((count, length_bytes))) = variable(rest.get(1..).unwrap_or(&[])) {
        let end = 1 + length_bytes + count;
        let Some(packet) = rest.get(..end) else { break };
        let read =
            decode(packet, known, BOUNDS).map(|read| read.map_or_else(String::new, |(it, _)| words_of(&it)));
        let is_of_client = matches!(packet[0] >> 4, 1 | 3..=8 | 10 | 12 | 14);
        let is_in_place = (packet[0] >> 4 == 1) == known.is_none();
        if !is_of_client || !is_in_place {
            prop_assert!(read.is_err(), "{}", packet.escape_ascii());
            break;
        }
        let theirs = theirs(version, packet);
        match (&read, &theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, &theirs.words),
            (Err(_), Err(_)) => {}
            _ => {
                let why = named(version, packet, &read, &theirs);
                prop_assert!(why.is_some(), "{:?} and {:?} of {}", read, theirs, packet.escape_ascii());
            }
        }
        if read.is_err() {
            break;
        }
        // Its version may have been changed into another one that we know.
        if known.is_none() && packet.get(8) != Some(&if version == Version::V5 { 5 } else { 4 }) {
            break;
        }
        known = Some(version);
        rest = &rest[end..];
    }
    Ok(())
}

/// A packet of the kind with this body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let (low, high) = ((body.len() & 0x7f) as u8, (body.len() >> 7) as u8);
    out.extend(if high > 0 { vec![low | 0x80, high] } else { vec![low] });
    [&out[..], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// Properties, as many of them right ones as wrong.
fn some_properties() -> impl Strategy<Value = Vec<u8>> {
    let id = |ids: &'static [u8]| prop::sample::select(ids);
    let bytes = |id: u8, rest: &[u8]| [&[id], rest].concat();
    let one = prop_oneof![
        (id(&[0x01, 0x17, 0x19]), 0_u8..3).prop_map(move |(id, it)| bytes(id, &[it])),
        (id(&[0x21, 0x22, 0x23]), any::<u16>()).prop_map(move |(id, it)| bytes(id, &it.to_be_bytes())),
        (id(&[0x02, 0x11, 0x18, 0x27]), any::<u32>()).prop_map(move |(id, it)| bytes(id, &it.to_be_bytes())),
        (id(&[0x03, 0x08, 0x09, 0x15, 0x16, 0x1f]), "[a-z/+\\x00\u{e9}]{0,3}")
            .prop_map(move |(id, it)| bytes(id, &text(&it))),
        "[a-z]{0,3}".prop_map(move |it| bytes(0x26, &[text(&it), text("v")].concat())),
        any::<u8>().prop_map(|id| vec![id]),
    ];
    prop::collection::vec(one, 0..3).prop_map(|all| {
        let all = all.concat();
        [&[all.len() as u8][..], &all].concat()
    })
}

/// A conversation of packets that are nearly right.
fn a_conversation() -> impl Strategy<Value = (Version, Vec<u8>)> {
    let of_connect = (any::<u8>(), any::<u16>(), "[a-z\\x00]{0,4}", "[a-z/#]{0,4}");
    let filters = prop::collection::vec(("[a-z/+#$]{0,6}", 0_u8..64), 0..4);
    let of_others = ("[a-z/+\u{e9}]{0,6}", 0_u16..3, filters, 0x30_u8..0x40, any::<u8>(), 0_usize..4);
    let properties = prop::collection::vec(some_properties(), 8);
    (any::<bool>(), of_connect, of_others, properties).prop_map(
        |(is_five, of_connect, of_others, properties)| {
            let (flags, keep_alive, id, will) = of_connect;
            let (topic, packet_id, filters, first, reason, bits) = of_others;
            let (version, level) = if is_five { (Version::V5, 5) } else { (Version::V311, 4) };
            let five = |bytes: &[u8]| if is_five { bytes.to_vec() } else { Vec::new() };
            let of = |at: usize| five(&properties[at]);
            let begin = [&text("MQTT")[..], &[level, flags], &keep_alive.to_be_bytes()].concat();
            let mut body = [begin, of(0), text(&id)].concat();
            let optional = [
                (4, [of(1), text(&will), text("will")].concat()),
                (0x80, text("user")),
                (0x40, text("pass")),
            ];
            optional.iter().filter(|(flag, _)| flags & flag != 0).for_each(|(_, field)| body.extend(field));
            let number = packet_id.to_be_bytes().to_vec();
            let of_message = if first & 6 == 0 { Vec::new() } else { number.clone() };
            let options = |options: u8| if is_five { options } else { options & 3 };
            let filter = |(filter, bits): &(String, u8)| [text(filter), vec![options(*bits)]].concat();
            let names: Vec<u8> = filters.iter().flat_map(|(filter, _)| text(filter)).collect();
            let why = [&[reason][..], &of(4)].concat();
            let packets = [
                packet(0x10, &body),
                packet(first, &[text(&topic), of_message, of(2), b"payload".to_vec()].concat()),
                packet(0x82, &[number.clone(), of(3), filters.iter().flat_map(filter).collect()].concat()),
                packet(
                    [0x40, 0x50, 0x62, 0x70][bits],
                    &[number.clone(), five(&why[..why.len().min(bits)])].concat(),
                ),
                packet(0xa2, &[number, of(5), names].concat()),
                packet(0xc0, &[]),
                packet(0xe0, &five(&why[..why.len().min(bits)])),
            ];
            // Of what is wrong in one nothing is seen behind it.
            let left_out = 1 << (reason % 7);
            let kept = packets.iter().enumerate().filter(|(at, _)| *at == 0 || left_out & (1 << at) == 0);
            (version, kept.flat_map(|(_, packet)| packet.clone()).collect())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn both_read_the_same_or_the_difference_has_a_name(
        (version, bytes) in a_conversation(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        compared(version, &bytes)?;
        let mut changed = bytes;
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        compared(version, &changed)?;
    }

    #[test]
    fn what_we_send_the_other_reads(
        is_five: bool, id in 1_u16.., topic in "[a-z/]{1,9}", is_retained: bool, is_acknowledged: bool,
        codes in prop::collection::vec(prop::sample::select(&[0_u8, 1, 0x80, 0x8f, 0x97, 0x9e][..]), 1..5),
        payload in prop::collection::vec(any::<u8>(), 0..300), client_id in prop::option::of("[a-z]{1,9}"),
        keep_alive_s in prop::option::of(1_u16..), which in 0_usize..3,
    ) {
        let version = if is_five { Version::V5 } else { Version::V311 };
        let body = |packet: &[u8]| {
            let (count, length_bytes) = variable(&packet[1..]).unwrap().unwrap();
            assert_eq!(packet.len(), 1 + length_bytes + count);
            packet[1 + length_bytes..].to_vec()
        };
        let said = |push: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            push(&mut out);
            out
        };
        // Encoded again by the other, each is the same.
        macro_rules! same {
            ($kind:ident, $packet:expr) => {{
                let packet = $packet;
                let again = match is_five {
                    true => five::$kind::parse(&body(&packet)).unwrap().0.to_continuous_buffer(),
                    false => three::$kind::parse(&body(&packet)).unwrap().0.to_continuous_buffer(),
                };
                prop_assert_eq!(again, packet);
            }};
        }
        let terms = Terms {
            client_id: client_id.as_deref(),
            receive_max: 20,
            packet_bytes_max: 65_536,
            topic_aliases_max: 8,
            keep_alive_s,
        };
        same!(Connack, said(&|out| encode::push_accepted(version, &terms, out)));
        for why in [reason::VERSION, reason::CLIENT_ID, reason::LOGIN, reason::NOT_AUTHORISED, reason::QUOTA] {
            same!(Connack, said(&|out| encode::push_refused(version, why, out)));
        }
        let kind = [Acknowledgement::PubAck, Acknowledgement::PubRec, Acknowledgement::PubComp][which];
        let whys = [reason::SUCCESS, reason::NOT_AUTHORISED, reason::TOPIC, reason::PAYLOAD];
        for &why in &whys[..if which < 2 { 4 } else { 1 }] {
            let packet = said(&|out| encode::push_acknowledgement(kind, id, version, why, out));
            match which {
                0 => same!(Puback, packet),
                1 => same!(Pubrec, packet),
                _ => same!(Pubcomp, packet),
            }
        }
        same!(Suback, said(&|out| encode::push_sub_ack(id, version, &codes, out)));
        let whys = [reason::SUCCESS, reason::NO_SUBSCRIPTION];
        same!(Unsuback, said(&|out| encode::push_unsub_ack(id, version, &whys, out)));
        same!(Pingresp, encode::PING_RESP.to_vec());
        if is_five {
            for why in [reason::TAKEN_OVER, reason::STOPPING, reason::TOO_LONG, reason::UNSPECIFIED] {
                let packet = said(&|out| encode::push_disconnect(version, why, out));
                prop_assert_eq!(five::Disconnect::parse(&body(&packet)).unwrap().0.to_continuous_buffer(), packet);
            }
        }
        let number = is_acknowledged.then_some(id);
        let packet = said(&|out| encode::push_publish(version, &topic, number, is_retained, &payload, out));
        let (flags, body) = (packet[0] & 0xf, body(&packet));
        macro_rules! read {
            ($version:ident) => {{
                let it = $version::Publish::parse(flags, body[..].into()).unwrap().0;
                let payload = it.payload().as_slice().to_vec();
                (it.to_continuous_buffer(), (it.topic_name().to_owned(), it.packet_id(), it.retain(), payload))
            }};
        }
        let (again, theirs) = if is_five { read!(five) } else { read!(three) };
        prop_assert_eq!(again, packet);
        prop_assert_eq!(theirs, (topic, number, is_retained, payload));
    }
}
