//! Requests of one connection: what is asked next, written in the words of the protocol.

use std::sync::Arc;

use super::clock::NS_PER_SECOND;
use super::mqtt;
use super::options::{Mix, Options, Protocol};
use super::owntracks::{self, Phone};

/// The places that clients report from. So few that every answer to a `WHATSAT` is checked in full once and
/// then compared.
pub(super) const SPOTS: usize = 64;

/// How long ago the first report of a phone was made. Phones say whole seconds, so each report is one second later than
/// the one before, and none may be ahead of the server's clock.
const PHONES_BEGAN_S: u64 = 10_000_000;

/// What a request is about, which says what its reply must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A report that is news.
    Fresh,
    /// A report older than what the server has.
    Stale,
    /// A question.
    Ask,
}

/// One request, as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// Of the clients of this connection.
    pub(super) client: u32,
    /// Which of the places that the script hands out in turn.
    pub(super) spot: u8,
    /// Its length in bytes.
    pub(super) bytes: u32,
}

/// What is the same for all connections of a run.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) protocol: Protocol,
    mix: Mix,
    clients: u32,
    name: String,
    radius: u32,
    pub(super) limit: u32,
    qos: u8,
    /// Messages of quality 0 before each sign of life is asked for.
    batch: u64,
    seed: u64,
    /// When the run began: later than every report of an earlier run, so that every report is news.
    base_ns: u64,
    spots: Vec<(String, String)>,
}

impl Script {
    /// A script for `options`; no time in it is before `base_ns`, nanoseconds since 1970.
    pub(super) fn new(options: &Options, base_ns: u64) -> Script {
        let mut random = fastrand::Rng::with_seed(options.seed);
        let mut degrees = |from: i32, to: i32| {
            let whole = random.i32(from..to);
            format!("{whole:+04}.{:06}", random.u32(..1_000_000))
        };
        // Around one city, so that a catalogue of places has something to say.
        let spots = (0..SPOTS).map(|_| (degrees(33, 36), degrees(-119, -116))).collect();
        Script {
            protocol: options.protocol,
            mix: options.mix,
            clients: options.clients,
            name: match options.protocol {
                // Its times go no further than those of an earlier run, so its clients are others.
                Protocol::Http | Protocol::Https | Protocol::Mqtt => {
                    format!("{}-{}", options.name, base_ns / NS_PER_SECOND)
                }
                Protocol::Herd | Protocol::Echo | Protocol::Redis | Protocol::Memcached => {
                    options.name.clone()
                }
            },
            radius: options.radius,
            limit: options.limit,
            qos: options.qos,
            batch: options.depth.into(),
            seed: options.seed,
            base_ns,
            spots,
        }
    }

    /// Whether anything is asked at all.
    pub(super) fn asks(&self) -> bool {
        self.mix.whatsat > 0
    }
}

/// Writes the requests of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    script: Arc<Script>,
    random: fastrand::Rng,
    /// `client-17-`; the number of the client follows.
    name: String,
    next_client: u32,
    /// Requests so far, each a nanosecond later than the one before.
    written: u64,
}

impl Writer {
    /// The requests of connection number `connection`.
    pub(super) fn new(script: &Arc<Script>, connection: usize) -> Writer {
        Writer {
            script: Arc::clone(script),
            random: fastrand::Rng::with_seed(script.seed ^ (connection as u64 + 1).rotate_left(32)),
            name: format!("{}-{connection}-", script.name),
            next_client: 0,
            written: 0,
        }
    }

    /// Appends the next request. The first for a client is always a report that is news.
    pub(super) fn push(&mut self, out: &mut Vec<u8>) -> Request {
        let script = Arc::clone(&self.script);
        let first_round = self.written < u64::from(script.clients);
        self.written += 1;
        let client = self.next_client;
        self.next_client = if client + 1 < script.clients { client + 1 } else { 0 };
        let kind = if first_round { Kind::Fresh } else { self.kind(&script.mix) };
        let spot = self.random.u8(..SPOTS as u8);
        let start = out.len();
        match (script.protocol, kind) {
            (Protocol::Herd, Kind::Ask) => self.push_question(client, out),
            (Protocol::Herd | Protocol::Echo, Kind::Fresh | Kind::Stale | Kind::Ask) => {
                self.push_report(kind, client, spot, out);
            }
            (Protocol::Redis, _) => self.push_geoadd(client, spot, out),
            (Protocol::Memcached, _) => self.push_set(client, spot, out),
            (Protocol::Http | Protocol::Https, Kind::Ask) => self.push_get(client, out),
            (Protocol::Http | Protocol::Https, Kind::Fresh | Kind::Stale) => {
                self.push_owntracks(client, spot, out);
            }
            (Protocol::Mqtt, _) => self.push_mqtt(client, spot, out),
        }
        Request { kind, client, spot, bytes: (out.len() - start) as u32 }
    }

    fn kind(&mut self, mix: &Mix) -> Kind {
        if mix.iamat == 100 {
            return Kind::Fresh;
        }
        let roll = self.random.u32(..100);
        match roll {
            _ if roll < mix.iamat => Kind::Fresh,
            _ if roll < mix.iamat + mix.whatsat => Kind::Ask,
            _ => Kind::Stale,
        }
    }

    fn push_report(&self, kind: Kind, client: u32, spot: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(b"IAMAT ");
        self.push_name(client, out);
        out.push(b' ');
        let (latitude, longitude) = &self.script.spots[usize::from(spot)];
        out.extend_from_slice(latitude.as_bytes());
        out.extend_from_slice(longitude.as_bytes());
        out.push(b' ');
        let base_ns = match kind {
            Kind::Fresh | Kind::Ask => self.script.base_ns,
            // In 1970, before all news.
            Kind::Stale => NS_PER_SECOND,
        };
        push_time(base_ns + self.written, out);
        out.push(b'\n');
    }

    fn push_question(&self, client: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"WHATSAT ");
        self.push_name(client, out);
        out.push(b' ');
        push_number(self.script.radius.into(), out);
        out.push(b' ');
        push_number(self.script.limit.into(), out);
        out.push(b'\n');
    }

    /// `GEOADD herd LONGITUDE LATITUDE CLIENT`.
    fn push_geoadd(&self, client: u32, spot: u8, out: &mut Vec<u8>) {
        let (latitude, longitude) = &self.script.spots[usize::from(spot)];
        out.extend_from_slice(b"*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n");
        for degrees in [longitude, latitude] {
            // Redis knows no plus sign.
            push_bulk(degrees.strip_prefix('+').unwrap_or(degrees).as_bytes(), out);
        }
        let mut name = Vec::with_capacity(self.name.len() + 8);
        self.push_name(client, &mut name);
        push_bulk(&name, out);
    }

    /// `set CLIENT 0 0 BYTES`, and as data what a herd would keep: place and time.
    fn push_set(&self, client: u32, spot: u8, out: &mut Vec<u8>) {
        let (latitude, longitude) = &self.script.spots[usize::from(spot)];
        let mut data = Vec::with_capacity(64);
        data.extend_from_slice(latitude.as_bytes());
        data.extend_from_slice(longitude.as_bytes());
        data.push(b' ');
        push_time(self.script.base_ns + self.written, &mut data);
        out.extend_from_slice(b"set ");
        self.push_name(client, out);
        out.extend_from_slice(b" 0 0 ");
        push_number(data.len() as u64, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&data);
        out.extend_from_slice(b"\r\n");
    }

    /// The report of a phone whose user is this connection.
    fn push_owntracks(&self, client: u32, spot: u8, out: &mut Vec<u8>) {
        self.as_phone(client, spot, |phone, place, time| owntracks::push_report(phone, place, time, out));
    }

    /// Asks for a phone by its name.
    fn push_get(&self, client: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /v1/clients/");
        out.extend_from_slice(self.name.trim_end_matches('-').as_bytes());
        out.extend_from_slice(b"%2F");
        push_number(client.into(), out);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: localhost:8083\r\n\r\n");
    }

    /// The message of a phone. Before its first one it says who it is.
    fn push_mqtt(&self, client: u32, spot: u8, out: &mut Vec<u8>) {
        if self.written == 1 {
            mqtt::push_connect(self.name.as_bytes(), out);
        }
        let is_acknowledged = self.script.qos > 0;
        let id = is_acknowledged.then(|| (self.written % u64::from(u16::MAX)) as u16 + 1);
        self.as_phone(client, spot, |phone, place, time| {
            let topic = [b"owntracks/", phone.user, b"/", phone.device].concat();
            let mut message = Vec::with_capacity(384);
            owntracks::push_message(phone, place, time, &mut message);
            mqtt::push_publish(&topic, id, &message, out);
        });
        // The first is alone, because a connection counts as open when it was answered.
        if !is_acknowledged && (self.written - 1).is_multiple_of(self.script.batch) {
            out.extend_from_slice(&mqtt::PING);
        }
    }

    /// What a phone says of itself, its place and its time.
    fn as_phone(&self, client: u32, spot: u8, push: impl FnOnce(Phone<'_>, (&str, &str), &[u8])) {
        let (latitude, longitude) = &self.script.spots[usize::from(spot)];
        // JSON knows neither plus signs nor leading zeros.
        let place = (latitude.trim_start_matches(['+', '0']), longitude.as_str());
        let (mut device, mut time) = (Vec::with_capacity(8), Vec::with_capacity(16));
        push_number(client.into(), &mut device);
        push_number(self.script.base_ns / NS_PER_SECOND - PHONES_BEGAN_S + self.written, &mut time);
        let user = self.name.trim_end_matches('-').as_bytes();
        push(Phone { user, device: &device, login: None }, place, &time);
    }

    fn push_name(&self, client: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        push_number(client.into(), out);
    }
}

/// A Redis bulk string.
fn push_bulk(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    push_number(text.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// Seconds with nine digits after the point.
fn push_time(time_ns: u64, out: &mut Vec<u8>) {
    push_number(time_ns / NS_PER_SECOND, out);
    out.push(b'.');
    push_digits(time_ns % NS_PER_SECOND, 9, out);
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    push_digits(number, 1, out);
}

fn push_digits(number: u64, width: usize, out: &mut Vec<u8>) {
    proxyherd::proto::model::time::push_digits(out, number, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(options: &Options, count: usize) -> (Vec<Request>, String) {
        let script = Arc::new(Script::new(options, 1_700_000_000_000_000_000));
        let mut writer = Writer::new(&script, 3);
        let mut out = Vec::new();
        let requests = (0..count).map(|_| writer.push(&mut out)).collect();
        (requests, String::from_utf8(out).unwrap())
    }

    #[test]
    fn reports_are_lines_of_the_protocol_and_each_is_newer() {
        let (requests, text) = requests(&Options { clients: 2, ..Options::default() }, 3);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(requests.iter().map(|request| request.client).collect::<Vec<_>>(), [0, 1, 0]);
        assert!(lines[0].starts_with("IAMAT client-3-0 +03"), "{text}");
        assert!(lines[0].ends_with(" 1700000000.000000001"), "{text}");
        assert!(lines[2].starts_with("IAMAT client-3-0 "), "{text}");
        assert!(lines[2].ends_with(" 1700000000.000000003"), "{text}");
        assert_eq!(requests[0].bytes as usize, lines[0].len() + 1);
    }

    #[test]
    fn a_mix_has_its_shares_and_a_seed_repeats_itself() {
        let mix = "iamat=50,whatsat=30,stale=20".parse().unwrap();
        let options = Options { mix, clients: 4, ..Options::default() };
        let (all, text) = requests(&options, 10_000);
        let share = |kind| all.iter().filter(|request| request.kind == kind).count();
        assert!(all[..4].iter().all(|request| request.kind == Kind::Fresh));
        assert!((4_700..5_300).contains(&share(Kind::Fresh)), "{}", share(Kind::Fresh));
        assert!((2_700..3_300).contains(&share(Kind::Ask)), "{}", share(Kind::Ask));
        assert_eq!(text, requests(&options, 10_000).1);
        assert_ne!(text, requests(&Options { seed: 2, ..options.clone() }, 10_000).1);
    }

    #[test]
    fn other_protocols_are_spoken_in_their_words() {
        let of = |protocol| requests(&Options { protocol, ..Options::default() }, 1).1;
        let redis = of(Protocol::Redis);
        assert!(redis.starts_with("*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n-11"), "{redis}");
        assert!(redis.ends_with("$10\r\nclient-3-0\r\n"), "{redis}");
        let memcached = of(Protocol::Memcached);
        assert!(memcached.starts_with("set client-3-0 0 0 43\r\n+03"), "{memcached}");
        let http = of(Protocol::Http);
        assert!(http.starts_with("POST /pub HTTP/1.1\r\n"), "{http}");
        assert!(http.contains("X-Limit-U: client-1700000000-3\r\nX-Limit-D: 0\r\n"), "{http}");
        assert!(http.contains("\"tst\":1690000001,"), "{http}");
        let script = Script::new(
            &Options { protocol: Protocol::Mqtt, ..Options::default() },
            1_700_000_000_000_000_000,
        );
        let (mut writer, mut sent) = (Writer::new(&Arc::new(script), 3), Vec::new());
        writer.push(&mut sent);
        assert_eq!(mqtt::answer_to(&sent), [0x20, 2, 0, 0, 0x40, 2, 0, 2]);
        sent.clear();
        writer.push(&mut sent);
        assert_eq!(mqtt::answer_to(&sent), [0x40, 2, 0, 3]);
    }

    #[test]
    fn each_batch_that_is_not_acknowledged_ends_with_a_question() {
        let options = Options { protocol: Protocol::Mqtt, qos: 0, depth: 3, ..Options::default() };
        let mut writer = Writer::new(&Arc::new(Script::new(&options, 1_700_000_000_000_000_000)), 3);
        let answers: Vec<Vec<u8>> = (0..5)
            .map(|_| {
                let mut sent = Vec::new();
                writer.push(&mut sent);
                mqtt::answer_to(&sent)
            })
            .collect();
        let first = [0x20, 2, 0, 0, 0xd0, 0].to_vec();
        assert_eq!(answers, [first, vec![], vec![], vec![0xd0, 0], vec![]]);
    }

    #[test]
    fn phone_is_asked_for_by_its_name() {
        let mix = "iamat=0,whatsat=100".parse().unwrap();
        let (requests, text) = requests(&Options { protocol: Protocol::Http, mix, ..Options::default() }, 2);
        assert_eq!([requests[0].kind, requests[1].kind], [Kind::Fresh, Kind::Ask]);
        assert!(text.contains("}GET /v1/clients/client-1700000000-3%2F0 HTTP/1.1\r\n"), "{text}");
    }
}
