//! The door of MQTT over real sockets: who gets in, what is acknowledged, who is told of what.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::harness::{FailingDisk, Talk, TestServer, WAIT, catalogue, config, eventually, herd};
use super::http_access::file;
use crate::config::{Access, Config, Durability, JournalOptions, Limits, Member};
use crate::proto::mqtt::reason;

pub(super) const LOCATION: &str =
    "{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":1700000000,\"tid\":\"ph\",\"acc\":5}";

/// A client of a version, written by hand.
pub(super) struct Mqtt {
    socket: TcpStream,
    level: u8,
}

pub(super) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut length = vec![];
    let mut left = body.len();
    loop {
        let byte = (left & 0x7f) as u8;
        left >>= 7;
        length.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            return [&[first], &length[..], body].concat();
        }
    }
}

impl Mqtt {
    pub(super) fn open(address: SocketAddr, level: u8) -> Mqtt {
        let socket = TcpStream::connect_timeout(&address, WAIT).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        Mqtt { socket, level }
    }

    pub(super) fn connect(
        address: SocketAddr,
        level: u8,
        id: &str,
        login: Option<(&str, &str)>,
    ) -> (Mqtt, Vec<u8>) {
        let mut client = Mqtt::open(address, level);
        client.hello(id, login, None, 60);
        let (first, body) = client.read().unwrap();
        assert_eq!(first, 0x20);
        (client, body)
    }

    pub(super) fn hello(
        &mut self,
        id: &str,
        login: Option<(&str, &str)>,
        will: Option<&str>,
        keep_alive_s: u16,
    ) {
        let name = if self.level == 3 { "MQIsdp" } else { "MQTT" };
        let flags = 2 | if login.is_some() { 0xc0 } else { 0 } | if will.is_some() { 4 } else { 0 };
        let mut body = [text(name), vec![self.level, flags], keep_alive_s.to_be_bytes().to_vec()].concat();
        body.extend(self.v5(&[0]));
        body.extend(text(id));
        if let Some(will) = will {
            body.extend(self.v5(&[0]));
            body.extend([text(will), text("{\"_type\":\"lwt\",\"tst\":1}")].concat());
        }
        login.iter().for_each(|(user, token)| body.extend([text(user), text(token)].concat()));
        self.send(&packet(0x10, &body));
    }

    /// What only version 5 has.
    fn v5(&self, bytes: &[u8]) -> Vec<u8> {
        if self.level == 5 { bytes.to_vec() } else { Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(super) fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut byte = [0];
        self.socket.read_exact(&mut byte).ok()?;
        let first = byte[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            self.socket.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).ok()?;
        Some((first, body))
    }

    pub(super) fn publish(&mut self, qos: u8, topic: &str, payload: &str) {
        let id: &[u8] = if qos > 0 { &[0, 7] } else { &[] };
        let body = [&text(topic)[..], id, &self.v5(&[0]), payload.as_bytes()].concat();
        self.send(&packet(0x31 | qos << 1, &body));
    }

    pub(super) fn subscribe(&mut self, filters: &[&str], qos: u8) -> Vec<u8> {
        let mut body = [&[0, 9][..], &self.v5(&[0])].concat();
        filters.iter().for_each(|filter| body.extend([text(filter), vec![qos]].concat()));
        self.send(&packet(0x82, &body));
        let (first, body) = self.read().unwrap();
        assert_eq!((first, &body[..2]), (0x90, &[0, 9][..]));
        body[2 + self.v5(&[0]).len()..].to_vec()
    }

    /// The next message: whether it is retained, its topic, its identifier, and what it says.
    pub(super) fn message(&mut self) -> (bool, String, Option<u16>, String) {
        let (first, body) = self.read().expect("a message");
        assert_eq!(first >> 4, 3, "{first:#x} {body:?}");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let mut rest = &body[2 + length..];
        let id = (first & 6 != 0).then(|| {
            let id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
            id
        });
        let rest = rest[self.v5(&[0]).len()..].to_vec();
        (first & 1 == 1, topic, id, String::from_utf8(rest).unwrap())
    }

    pub(super) fn acknowledge(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]);
    }

    /// That it has an answer to a ping, and nothing before it.
    pub(super) fn is_answered(&mut self) {
        self.send(&[0xc0, 0]);
        assert_eq!(self.read(), Some((0xd0, vec![])));
    }
}

/// A server with a port for MQTT.
pub(super) fn server(changed: impl FnOnce(Config) -> Config) -> (TestServer, SocketAddr) {
    let of = herd(&["Alford"], &[], true);
    let mqtt = crate::tests::free_address::free_address();
    let member = Member { mqtt: Some(mqtt.into()), ..of.members()[0].clone() };
    let of = crate::config::Herd::new(vec![member], vec![], true).unwrap();
    (TestServer::with(&changed(config(&of, "Alford")), catalogue()), mqtt)
}

fn with_users() -> (TestServer, SocketAddr) {
    let access = Some(Access::parse(Path::new("access.toml"), &file("")).unwrap());
    server(|config| Config { access, ..config })
}

pub(super) fn login(user: &str) -> (&str, String) {
    (user, format!("{user}-token"))
}

pub(super) fn joined(address: SocketAddr, level: u8, id: &str, user: &str) -> Mqtt {
    let (user, token) = login(user);
    let (client, body) = Mqtt::connect(address, level, id, Some((user, &token)));
    assert_eq!(body[..2], [0, 0], "level {level}");
    client
}

fn knows(server: &TestServer, client: &str) -> bool {
    server.member.locate(client.as_bytes()).is_some()
}

#[test]
fn messages_of_all_versions_and_qualities_are_acknowledged_when_they_are_known() {
    let (server, mqtt) = server(|config| config);
    for level in [3, 4, 5] {
        let (mut client, body) = Mqtt::connect(mqtt, level, "x", None);
        assert_eq!(body[..2], [0, 0]);
        for qos in [0, 1, 2] {
            let name = format!("v{level}/q{qos}");
            client.publish(qos, &format!("owntracks/{name}"), LOCATION);
            match qos {
                0 => client.is_answered(),
                1 => assert_eq!(client.read(), Some((0x40, vec![0, 7]))),
                _ => {
                    assert_eq!(client.read(), Some((0x50, vec![0, 7])));
                    client.send(&[0x62, 2, 0, 7]);
                    assert_eq!(client.read(), Some((0x70, vec![0, 7])));
                }
            }
            assert!(knows(&server, &name), "{name}");
        }
        client.send(&[0xe0, 0]);
        assert_eq!(client.read(), None);
    }
    assert_eq!(server.clients_known(), 9);
}

#[test]
fn strangers_stay_out_and_users_publish_for_themselves_alone() {
    let (server, mqtt) = with_users();
    let (wrong, of_another) = (Some(("jane", "wrong")), Some(("jane", "joe-token")));
    // Few of them, because each wrong one waits longer for its answer.
    for (login, level, code) in [
        (None, 3, 4),
        (None, 4, 4),
        (None, 5, reason::LOGIN),
        (wrong, 3, 4),
        (wrong, 5, reason::LOGIN),
        (of_another, 4, 4),
    ] {
        let (mut client, body) = Mqtt::connect(mqtt, level, "x", login);
        assert_eq!(body[..2], [0, code], "{login:?}");
        assert_eq!(client.read(), None);
    }
    let forged = LOCATION.replace("\"_type\"", "\"topic\":\"owntracks/joe/phone\",\"_type\"");
    for level in [3, 4, 5] {
        let mut jane = joined(mqtt, level, "jane", "jane");
        for topic in
            ["owntracks/joe/phone", "owntracks/jane", "x/jane/phone", "owntracks/joe/phone/cmd", "$SYS/x"]
        {
            jane.publish(1, topic, LOCATION);
            let why = if level == 5 { vec![0, 7, reason::NOT_AUTHORISED] } else { vec![0, 7] };
            assert_eq!(jane.read(), Some((0x40, why)), "{topic}");
        }
        jane.publish(1, "owntracks/jane/phone", &forged);
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        jane.publish(1, "owntracks/:/48241179", LOCATION);
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        jane.publish(1, "owntracks/jane/phone/event", "{\"_type\":\"transition\"}");
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        // Only an admin forgets.
        jane.publish(1, "owntracks/jane/phone", "");
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
    }
    assert!(knows(&server, "jane/phone") && knows(&server, "48241179") && !knows(&server, "joe/phone"));
    assert_eq!(server.clients_known(), 2);
    assert_eq!(server.member.metrics.mqtt_not_allowed.get(), 15);
    // Which kinds there are is known, and whose will may be where.
    let mut jane = joined(mqtt, 5, "jane", "jane");
    jane.publish(1, "owntracks/jane/phone", "{\"_type\":\"new\"}");
    assert_eq!(jane.read(), Some((0x40, vec![0, 7, reason::PAYLOAD])));
    for (level, will, answer) in [
        (5, "owntracks/joe/phone", [0, reason::NOT_AUTHORISED]),
        (5, "owntracks/jane/phone", [0, 0]),
        (3, "owntracks/joe/phone", [0, 0]),
    ] {
        let mut client = Mqtt::open(mqtt, level);
        client.hello("w", Some(("jane", "jane-token")), Some(will), 60);
        assert_eq!(client.read().unwrap().1[..2], answer);
    }
    let before = server.member.locate(b"jane/phone").unwrap();
    jane.publish(1, "owntracks/jane/phone", "{\"_type\":\"lwt\",\"tst\":1700000009}");
    assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
    assert_eq!(server.member.locate(b"jane/phone").unwrap(), before);
}

#[test]
fn topics_that_are_too_long_are_refused_as_others_are() {
    let (server, mqtt) = server(|config| config);
    let topic = "x/".repeat(17) + "y";
    for level in [3, 4, 5] {
        let mut client = Mqtt::open(mqtt, level);
        client.hello("x", None, Some(&topic), 60);
        let is_refused = level == 5;
        assert_eq!(client.read().unwrap().1[1], if is_refused { reason::NOT_AUTHORISED } else { 0 });
        let mut client = Mqtt::connect(mqtt, level, "y", None).0;
        client.publish(1, &topic, LOCATION);
        let why = if level == 5 { vec![0, 7, reason::NOT_AUTHORISED] } else { vec![0, 7] };
        assert_eq!(client.read(), Some((0x40, why)));
        client.is_answered();
    }
    assert_eq!((server.clients_known(), server.member.metrics.mqtt_refused.get()), (0, 0));
}

/// The next message, acknowledged: whether it is retained, its topic, and what it says.
pub(super) fn told(client: &mut Mqtt) -> (bool, String, String) {
    let (is_retained, topic, id, payload) = client.message();
    id.into_iter().for_each(|id| client.acknowledge(id));
    (is_retained, topic, payload)
}

#[test]
fn messages_are_passed_on_to_those_who_may_have_them() {
    let access = Some(Access::parse(Path::new("access.toml"), &file("")).unwrap());
    let (server, mqtt) = server(|config| Config { access, mqtt_relays: true, ..config });
    for level in [3, 4, 5] {
        let mut joe = joined(mqtt, level, "joe", "joe");
        let [mut jane, mut bob, mut phone] = [("jane", "jane"), ("bob", "bob"), ("phone", "joe")]
            .map(|(id, user)| joined(mqtt, level, id, user));
        for client in [&mut jane, &mut bob, &mut phone] {
            client.subscribe(&["owntracks/+/+/+"], 1);
            client.is_answered();
        }
        let mut publish = |qos: u8, topic: &str, payload: &str, is_allowed: bool| {
            joe.publish(qos, topic, payload);
            if qos > 0 {
                let why =
                    if level == 5 && !is_allowed { vec![0, 7, reason::NOT_AUTHORISED] } else { vec![0, 7] };
                assert_eq!(joe.read(), Some((0x40, why)), "{topic}");
            }
        };
        publish(1, "owntracks/jane/phone/cmd", "{\"cmd\":\"restart\"}", false);
        for (at, (below, is_private)) in
            [("info", false), ("waypoints", false), ("cmd", true), ("dump", true), ("event", false)]
                .into_iter()
                .enumerate()
        {
            let topic = format!("owntracks/joe/car/{below}");
            let payload = format!("{{\"at\":{at}}}");
            publish(u8::from(at > 0), &topic, &payload, true);
            assert_eq!(told(&mut phone), (false, topic.clone(), payload.clone()));
            // Jane sees Joe, and may not command his car.
            if !is_private {
                assert_eq!(told(&mut jane), (false, topic, payload));
            }
        }
        [&mut jane, &mut bob, &mut phone].into_iter().for_each(Mqtt::is_answered);
        // Nothing is kept.
        let mut late = joined(mqtt, level, "late", "joe");
        late.subscribe(&["owntracks/joe/car/event"], 1);
        late.is_answered();
    }
    assert_eq!(server.member.metrics.mqtt_relayed.get(), 15);
    assert_eq!(server.clients_known(), 0);
    // One that acknowledges nothing costs nothing, and places are told beside a flood of messages.
    let mut joe = joined(mqtt, 4, "joe", "joe");
    let mut jane = joined(mqtt, 4, "jane", "jane");
    jane.subscribe(&["owntracks/#"], 1);
    let flood = "x".repeat(10_000);
    for _ in 0..500 {
        joe.publish(0, "owntracks/joe/car/info", &flood);
    }
    joe.publish(1, "owntracks/joe/car", LOCATION);
    joe.read().unwrap();
    let mut count = 0;
    while told(&mut jane).1 != "owntracks/joe/car" {
        count += 1;
    }
    assert!(count < 500, "{count}");
}

#[test]
fn without_the_option_nothing_is_passed_on() {
    let (server, mqtt) = server(|config| config);
    let mut client = Mqtt::connect(mqtt, 4, "x", None).0;
    client.subscribe(&["owntracks/#"], 1);
    client.publish(1, "owntracks/a/b/cmd", "{}");
    assert_eq!(client.read(), Some((0x40, vec![0, 7])));
    client.is_answered();
    assert_eq!(server.member.metrics.mqtt_relayed.get(), 0);
}

#[test]
fn filters_of_a_client_are_bounded_together() {
    let (_server, mqtt) = server(|config| config);
    let mut client = Mqtt::connect(mqtt, 5, "client", None).0;
    let long = |first: &str| format!("{first}/{}", "x".repeat(10_000));
    assert_eq!(client.subscribe(&[&long("a"), &long("b"), "c"], 0), [0, reason::QUOTA, 0]);
    // The same one again is no further one.
    assert_eq!(client.subscribe(&[&long("a")], 1), [1]);
}

#[test]
fn subscribers_are_told_what_there_is_and_then_what_changes() {
    let (server, mqtt) = with_users();
    let mut joe = joined(mqtt, 4, "joe", "joe");
    joe.publish(1, "owntracks/joe/car", LOCATION);
    joe.read().unwrap();
    let mut bob = joined(mqtt, 4, "bob", "bob");
    bob.publish(1, "owntracks/bob/car", LOCATION);
    bob.read().unwrap();
    for level in [3, 4, 5] {
        let mut jane = joined(mqtt, level, &format!("jane{level}"), "jane");
        let codes =
            jane.subscribe(&["owntracks/+/+", "owntracks/+/+/event", "owntracks/a#", "$share/g/#"], 2);
        let failed = match level {
            3 => [0, 0],
            4 => [0x80, 0x80],
            _ => [reason::FILTER, reason::SHARED],
        };
        assert_eq!(codes, [&[1, 1][..], &failed].concat());
        let (is_retained, topic, id, payload) = jane.message();
        assert_eq!((is_retained, topic.as_str(), id), (true, "owntracks/joe/car", Some(1)));
        let said: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(
            (&said["_type"], &said["tid"], &said["acc"]),
            (&"location".into(), &"ph".into(), &5.into())
        );
        jane.acknowledge(1);
        // Another filter tells what it has, and not everything again.
        assert_eq!(jane.subscribe(&["owntracks/+/+/info"], 1), [1]);
        let (is_retained, topic, id, payload) = jane.message();
        assert_eq!((is_retained, topic.as_str(), id), (true, "owntracks/joe/car/info", None));
        assert_eq!(payload, "{\"_type\":\"card\",\"tid\":\"ph\",\"name\":\"Joe\"}");
        let later = LOCATION.replace("1700000000", &format!("{}", 1_700_000_000 + u32::from(level)));
        joe.publish(1, "owntracks/joe/car", &later);
        joe.read().unwrap();
        let (is_retained, topic, id, payload) = jane.message();
        assert_eq!((is_retained, topic.as_str(), id), (false, "owntracks/joe/car", Some(1)));
        assert!(payload.contains(&format!("{}", 1_700_000_000 + u32::from(level))), "{payload}");
        jane.acknowledge(1);
        // What one may not see is not told, and no more is told of what one has unsubscribed from.
        bob.publish(1, "owntracks/bob/car", &later);
        bob.read().unwrap();
        jane.is_answered();
        jane.send(&packet(0xa2, &[&[0, 5][..], &jane.v5(&[0]), &text("owntracks/+/+")].concat()));
        assert_eq!(jane.read().unwrap().0, 0xb0);
        jane.is_answered();
    }
    let mut ann = joined(mqtt, 5, "ann", "ann");
    assert_eq!(ann.subscribe(&["owntracks/#"], 0), [0]);
    let told: Vec<String> = (0..3).map(|_| ann.message().1).collect();
    assert!(told.contains(&"owntracks/joe/car/info".to_owned()), "{told:?}");
    server.member.forget(b"joe/car", 1_700_000_100).unwrap();
    assert_eq!(ann.message(), (true, "owntracks/joe/car".to_owned(), None, String::new()));
    // An admin forgets by an empty message that is retained.
    ann.publish(1, "owntracks/ann/x", LOCATION);
    assert_eq!(ann.read(), Some((0x40, vec![0, 7])));
    ann.publish(1, "owntracks/ann/x", "");
    let mut first = ann.read().unwrap();
    while first.0 >> 4 == 3 {
        first = ann.read().unwrap();
    }
    assert!(!knows(&server, "ann/x"));
}

#[test]
fn no_more_is_in_flight_than_may_be_and_the_newest_comes_when_there_is_room() {
    let (server, mqtt) = server(|config| Config {
        limits: Limits { mqtt_in_flight_max: 2, ..config.limits.clone() },
        ..config
    });
    let mut phone = Mqtt::connect(mqtt, 4, "phone", None).0;
    for at in 0..5 {
        phone.publish(1, &format!("owntracks/a/{at}"), LOCATION);
        phone.read().unwrap();
    }
    let mut watcher = Mqtt::connect(mqtt, 4, "watcher", None).0;
    assert_eq!(watcher.subscribe(&["owntracks/a/+"], 1), [1]);
    assert_eq!([watcher.message().1, watcher.message().1], ["owntracks/a/0", "owntracks/a/1"]);
    watcher.is_answered();
    for time in 1_700_000_001..1_700_000_101 {
        phone.publish(1, "owntracks/a/4", &LOCATION.replace("1700000000", &time.to_string()));
        phone.read().unwrap();
    }
    watcher.is_answered();
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| !last.contains("1700000100")) {
        watcher.acknowledge(1);
        watcher.acknowledge(2);
        told.push(watcher.message().3);
    }
    assert!(told.len() < 20, "{}", told.len());
    drop(server);
}

#[test]
fn a_client_that_connects_again_takes_the_place_of_the_older_one_of_its_user() {
    let (server, mqtt) = with_users();
    let mut first = joined(mqtt, 5, "same", "jane");
    let mut others = joined(mqtt, 5, "same", "joe");
    let mut second = joined(mqtt, 5, "same", "jane");
    assert_eq!(first.read(), Some((0xe0, vec![reason::TAKEN_OVER])));
    assert_eq!(first.read(), None);
    others.is_answered();
    second.is_answered();
    assert_eq!(server.member.metrics.mqtt_taken_over.get(), 1);
}

#[test]
fn what_is_not_durable_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FailingDisk::default());
    let of = herd(&["Alford"], &[], true);
    let mqtt = crate::tests::free_address::free_address();
    let member = Member { mqtt: Some(mqtt.into()), ..of.members()[0].clone() };
    let of = crate::config::Herd::new(vec![member], vec![], true).unwrap();
    let journal = JournalOptions { durability: Durability::Sync, dir: folder.path().to_owned() };
    let config = Config { journal, ..config(&of, "Alford") };
    let _server = TestServer::on(Arc::clone(&disk) as Arc<dyn crate::journal::Disk>, &config, catalogue());
    for level in [3, 5] {
        let mut client = Mqtt::connect(mqtt, level, "x", None).0;
        client.publish(1, "owntracks/a/b", LOCATION);
        assert_eq!(client.read(), Some((0x40, vec![0, 7])));
        disk.fails.store(true, Ordering::Relaxed);
        client.publish(1, "owntracks/a/b", &LOCATION.replace("1700000000", &format!("170000000{level}")));
        let end = client.read();
        assert_eq!(end, (level == 5).then(|| (0xe0, vec![reason::UNSPECIFIED])));
        assert_eq!(client.read(), None);
        // What is asked beside it changes nothing.
        let mut client = Mqtt::connect(mqtt, level, "z", None).0;
        let payload = LOCATION.replace("1700000000", "1720000000");
        let body = [&text("owntracks/a/d")[..], &[0, 7], &client.v5(&[0]), payload.as_bytes()].concat();
        client.send(&[&packet(0x32, &body)[..], &[0xc0, 0]].concat());
        let end = client.read();
        assert!(matches!(end, None | Some((0xe0, _))), "{end:?}");
        disk.fails.store(false, Ordering::Relaxed);
        eventually("the journal is whole again", || {
            let mut client = Mqtt::connect(mqtt, 4, "y", None).0;
            client.publish(1, "owntracks/a/c", &LOCATION.replace("1700000000", &format!("171000000{level}")));
            client.read()
        });
    }
}

#[test]
fn hostile_clients_are_ended_and_cost_nothing() {
    let short = Duration::from_millis(300);
    let (server, mqtt) = server(|config| Config {
        limits: Limits { line_time_max: short, reply_time_max: short, ..config.limits.clone() },
        ..config
    });
    // Nothing, half a CONNECT, and a length that is never sent.
    for bytes in [&b""[..], b"\x10\x0c\0\x04MQ", b"\x10\xff\xff\x03"] {
        let mut client = Mqtt::open(mqtt, 4);
        client.send(bytes);
        assert_eq!(client.read(), None, "{}", bytes.escape_ascii());
    }
    // What is no MQTT, or too long.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\xff\xff\xff\x7f"] {
        let mut client = Mqtt::open(mqtt, 4);
        client.send(bytes);
        assert_eq!(client.read(), None, "{}", bytes.escape_ascii());
    }
    let mut client = Mqtt::connect(mqtt, 5, "x", None).0;
    client.send(b"\x30\xff\xff\xff\x7f");
    assert_eq!(client.read(), Some((0xe0, vec![reason::TOO_LONG])));
    let mut client = Mqtt::connect(mqtt, 5, "x", None).0;
    client.send(b"\x30\x10\0");
    assert_eq!(client.read(), Some((0xe0, vec![reason::KEEP_ALIVE])));
    for (level, answer) in [(6, vec![0, reason::VERSION, 0]), (2, vec![0, 1])] {
        let mut client = Mqtt::open(mqtt, level);
        client.hello("x", None, None, 60);
        assert_eq!(client.read(), Some((0x20, answer)));
    }
    // One that has promised to say something each second, and does not.
    let mut client = Mqtt::open(mqtt, 5);
    client.hello("x", None, None, 1);
    assert_eq!(client.read().unwrap().0, 0x20);
    assert_eq!(client.read(), Some((0xe0, vec![reason::KEEP_ALIVE])));
    // One that reads nothing that it is told.
    let mut phone = Mqtt::connect(mqtt, 4, "phone", None).0;
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.set_recv_buffer_size(2_304).unwrap();
    silent.connect(&mqtt.into()).unwrap();
    let mut silent = Mqtt { socket: silent.into(), level: 4 };
    silent.hello("silent", None, None, 3_600);
    silent.send(&packet(0x82, &[&[0, 9][..], &text("owntracks/#"), &[0]].concat()));
    let ended = server.member.metrics.over_reply_time.get();
    let mut time = 1_700_000_000_u64;
    eventually("it is ended", || {
        for at in 0..64 {
            let payload = LOCATION.replace("1700000000", &time.to_string());
            phone.publish(0, &format!("owntracks/a/{at}"), &payload);
        }
        phone.is_answered();
        time += 1;
        (server.member.metrics.over_reply_time.get() > ended).then_some(())
    });
}

#[test]
fn aliases_stand_for_topics() {
    let (server, mqtt) = server(|config| config);
    let (mut client, body) = Mqtt::connect(mqtt, 5, "x", None);
    assert!(body.windows(3).any(|it| it == [0x22, 0, 8]), "{body:?}");
    let publish = |topic: &str, alias: u8, time: &str| {
        let body = [&text(topic)[..], &[0, 7, 3, 0x23, 0, alias]].concat();
        packet(0x32, &[&body[..], LOCATION.replace("1700000000", time).as_bytes()].concat())
    };
    client.send(&publish("owntracks/a/b", 8, "1700000001"));
    assert_eq!(client.read(), Some((0x40, vec![0, 7])));
    client.send(&publish("", 8, "1700000002"));
    assert_eq!(client.read(), Some((0x40, vec![0, 7])));
    let line = server.member.locate(b"a/b").unwrap();
    assert!(String::from_utf8_lossy(line.stored_line()).contains("1700000002"));
    for (topic, alias, why) in [("", 1, reason::PROTOCOL), ("a", 9, reason::ALIAS), ("a", 0, reason::ALIAS)] {
        let mut client = Mqtt::connect(mqtt, 5, "x", None).0;
        client.send(&publish(topic, alias, "1700000003"));
        assert_eq!(client.read(), Some((0xe0, vec![why])));
    }
}

#[test]
fn a_server_that_is_drained_sends_its_clients_elsewhere_and_takes_no_others() {
    let http = crate::tests::free_address::free_address();
    let (server, mqtt) = server(|config| {
        let member = Member { http: Some(http.into()), ..config.member().clone() };
        Config { herd: crate::config::Herd::new(vec![member], vec![], true).unwrap(), ..config }
    });
    let mut line = server.client();
    assert_eq!(line.ask("x"), "? x");
    let mut publisher = Mqtt::connect(mqtt, 5, "x", None).0;
    let mut watcher = Mqtt::connect(mqtt, 5, "y", None).0;
    watcher.subscribe(&["#"], 1);
    let mut older = Mqtt::connect(mqtt, 4, "z", None).0;
    // One that has not said who it is.
    let mut unknown = Mqtt::open(mqtt, 5);
    publisher.is_answered();
    let mut drain = Talk::with(http);
    let body = "{\"for\":\"1h\"}";
    drain.send(format!(
        "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    for client in [&mut publisher, &mut watcher] {
        assert_eq!(client.read(), Some((0xe0, vec![reason::STOPPING])));
        assert_eq!(client.read(), None);
    }
    assert_eq!((older.read(), unknown.read()), (None, None));
    let mut refused = Mqtt::open(mqtt, 5);
    assert_eq!(refused.read(), Some((0x20, vec![0, 3])), "server unavailable");
    assert!(line.ask("IAMAT kiwi +1+1 1700000000").starts_with("AT "));
    drop(line);
    assert!(drain.line().starts_with("HTTP/1.1 200 "));
    server.joined();
}

#[test]
fn a_server_that_stops_says_so() {
    let (server, mqtt) = server(|config| config);
    let mut client = Mqtt::connect(mqtt, 5, "x", None).0;
    let mut watcher = Mqtt::connect(mqtt, 5, "y", None).0;
    watcher.subscribe(&["#"], 1);
    server.stop();
    for client in [&mut client, &mut watcher] {
        assert_eq!(client.read(), Some((0xe0, vec![reason::STOPPING])));
        assert_eq!(client.read(), None);
    }
}
