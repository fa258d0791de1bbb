//! The ports for TLS over real sockets: what the plain ports do, and what only TLS can do wrong.

mod client;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use self::client::{Secured, TlsServer, text};
use super::harness::{Talk, eventually, herd};
use super::http::{self, TRANSCRIPTS};
use super::mqtt::{self, packet};
use super::transcripts::run::{Herd, Talk as _, run};
use super::transcripts::{each_transcript, transcript};
use crate::config::{Config, Limits};
use crate::proto::mqtt::reason;

macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}
const GOLDEN: &[&str] = each_transcript!(names);

/// Servers that are talked to by the port for clients in TLS, and by the plain one for neighbours.
struct Herded(Vec<(String, TlsServer)>, crate::config::Herd, u64);

impl Herd for Herded {
    type Talk = Secured;

    fn connect(&mut self, server: &str) -> Result<Secured, String> {
        let found = self.0.iter().find(|(name, _)| name == server);
        Ok(found.ok_or("it is dead")?.1.client())
    }

    fn ask_again(&mut self, times: u64) -> bool {
        std::thread::yield_now();
        times < self.2
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        self.0.retain(|(name, _)| name != server);
        Ok(())
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        self.0.push((server.to_owned(), TlsServer::of(&self.1, server, |config| config)));
        Ok(())
    }
}

#[test]
fn golden_conversations_hold_in_tls() {
    for name in GOLDEN {
        let transcript = transcript(name).unwrap();
        let is_of_peers = |step: &_| format!("{step:?}").contains("is_peer_port: true");
        if transcript.steps.iter().any(is_of_peers) {
            continue;
        }
        let names: Vec<&str> = transcript.servers.iter().map(String::as_str).collect();
        let links: Vec<_> = transcript.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let herd = client::with_tls(&herd(&names, &links, true));
        let start = |name: &&str| ((*name).to_owned(), TlsServer::of(&herd, name, |config| config));
        let mut herded = Herded(names.iter().map(start).collect(), herd.clone(), 100_000);
        run(&transcript, &mut herded, 1_000).unwrap_or_else(|why| panic!("{name}.txt:{why}"));
    }
}

#[test]
fn answers_of_https_are_those_of_http() {
    for (name, transcript) in TRANSCRIPTS {
        let (_plain, address) = http::server(|config| config);
        let mut plain = Talk::with(address);
        let server = TlsServer::alone(|config| config);
        let mut secured = server.https();
        for block in transcript.split("====\n").skip(1) {
            let (head, body) = block.split("---- ").next().unwrap().split_once("\n\n").unwrap();
            let request = format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end_matches('\n'));
            let expected = http::ask(&mut plain, &request);
            let found = secured.ask_http(&request);
            assert_eq!(found, (expected.status, expected.body), "{name}: {request}");
        }
        assert!(server.clients_known() > 0);
    }
}

#[test]
fn plain_text_gets_one_clear_answer() {
    let server = TlsServer::alone(|config| config);
    let mut talk = Talk::with(server.client_tls);
    let line = "? this port speaks TLS: encrypt, or use the port for plain text\n";
    assert_eq!(text(talk.send("IAMAT kiwi +1+1 1\n").rest()), line);
    let mut talk = Talk::with(server.https);
    let answer = text(talk.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").rest());
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("\"detail\":\"this port speaks TLS: use https in the address\""), "{answer}");
    let metrics = &server.member.metrics;
    eventually("both are counted", || (metrics.tls_handshakes_failed.get() == 2).then_some(()));
    // And the other way round.
    let mut talk = Talk::with(server.clients);
    assert!(talk.send(b"\x16\x03\x01\x00\x05hello\n").line().starts_with("? "));
    // What hangs up without a word is no failure.
    drop(TcpStream::connect(server.https).unwrap());
    assert_eq!(server.https().ask_http("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").0, 200);
    assert_eq!((metrics.tls_handshakes.get(), metrics.tls_handshakes_failed.get()), (1, 2));
}

#[test]
fn handshake_has_a_time_of_its_own() {
    let time = Duration::from_millis(300);
    let limits = |limits: Limits| Limits { handshake_time_max: time, ..limits };
    let server = TlsServer::alone(|config| Config { limits: limits(config.limits.clone()), ..config });
    let hello = server.hello();
    for begun in [&b""[..], &hello[..1], &hello[..hello.len() - 1]] {
        let mut socket = TcpStream::connect(server.client_tls).unwrap();
        socket.write_all(begun).unwrap();
        let mut told = Vec::new();
        socket.read_to_end(&mut told).unwrap();
        assert!(told.is_empty(), "{told:?}");
    }
    // One byte at a time for ever is no way around it.
    let mut dripping = TcpStream::connect(server.client_tls).unwrap();
    eventually("it is cut", || dripping.write_all(&hello[..1]).is_err().then_some(()));
    let metrics = &server.member.metrics;
    eventually("they are counted", || (metrics.tls_handshakes_failed.get() == 4).then_some(()));
}

#[test]
fn bytes_may_come_one_by_one() {
    let server = TlsServer::alone(|config| config);
    let mut talk = server.client();
    talk.one_by_one = true;
    assert_eq!(talk.ask("x"), "? x");
    assert!(talk.ask("IAMAT kiwi +1+1 1").starts_with("AT Alford "));
}

#[test]
fn only_what_has_come_whole_counts() {
    let server = TlsServer::alone(|config| config);
    // The end was announced, so the last line needs no line feed.
    let mut talk = server.client();
    talk.send(b"IAMAT ended +1+1 1").unwrap();
    talk.half_close().unwrap();
    assert!(text(talk.line().unwrap().unwrap()).ends_with(" ended +1+1 1"));
    assert_eq!(talk.line().unwrap(), None);
    // Cut after a record, and within one.
    for cut in [0, 1, 10] {
        let mut talk = server.client();
        talk.send(b"IAMAT whole +1+1 1\nIAMAT cut +1+1 1").unwrap();
        assert!(text(talk.line().unwrap().unwrap()).ends_with(" whole +1+1 1"));
        let sealed = talk.sealed(b"\n");
        talk.socket().write_all(&sealed[..cut]).unwrap();
        talk.socket().shutdown(Shutdown::Write).unwrap();
        assert_eq!(talk.line().unwrap(), None);
    }
    assert_eq!(server.clients_known(), 2);
}

#[test]
fn half_a_record_is_a_line_that_takes_too_long() {
    let limits = Limits { line_time_max: Duration::from_millis(100), ..Limits::default() };
    let server = TlsServer::alone(|config| Config { limits, ..config });
    let mut talk = server.client();
    let sealed = talk.sealed(b"x\n");
    talk.socket().write_all(&sealed[..7]).unwrap();
    assert!(talk.line().unwrap().is_some());
    assert_eq!(talk.line().unwrap(), None);
    assert_eq!(server.member.metrics.over_line_time.get(), 1);
}

#[test]
fn new_keys_are_no_line_that_takes_too_long() {
    let limits = Limits { line_time_max: Duration::from_millis(50), ..Limits::default() };
    let server = TlsServer::alone(|config| Config { limits, ..config });
    let mut talk = server.client();
    for number in 0..4 {
        talk.session.conn.refresh_traffic_keys().unwrap();
        talk.session.conn.complete_io(&mut talk.session.sock).unwrap();
        let wait = crate::os::clock::deadline(Duration::from_millis(60));
        eventually("longer than a line may take", || (crate::os::clock::instant() > wait).then_some(()));
        assert_eq!(talk.ask(&number.to_string()), format!("? {number}"));
    }
}

#[test]
fn client_that_reads_nothing_is_cut_off() {
    let limits = Limits {
        reply_time_max: Duration::from_millis(200),
        output_bytes_max: 32 << 10,
        ..Limits::default()
    };
    let server = TlsServer::alone(|config| Config { limits, ..config });
    let line = [&[b'x'; 1_000][..], b"\n"].concat().repeat(16);
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let metrics = &server.member.metrics;
    for (to, what, cut_before) in [(server.client_tls, line, 0), (server.https, request, 1)] {
        let socket = Talk::with_little_room(to).socket;
        let config = Arc::new(server.client_config(rustls::ALL_VERSIONS));
        let mut talk = Secured::over(config, socket).unwrap();
        talk.socket().set_nonblocking(true).unwrap();
        let mut rest = Vec::new();
        eventually("it is cut off", || {
            if rest.is_empty() {
                rest = talk.sealed(&what);
            }
            // A failure is the end, or that the server reads no more for now.
            let count = talk.socket().write(&rest).unwrap_or(0);
            rest.drain(..count);
            (metrics.over_reply_time.get() > cut_before).then_some(())
        });
    }
}

#[test]
fn many_are_served_at_once_and_told_when_the_server_stops() {
    let server = TlsServer::alone(|config| config);
    let mut open: Vec<Secured> = (0..60).map(|_| server.client()).collect();
    for (number, talk) in open.iter_mut().enumerate() {
        assert_eq!(talk.ask(&format!("{number}")), format!("? {number}"));
    }
    server.stop();
    for talk in &mut open {
        assert_eq!(talk.line(), Ok(None), "a cut would be an error");
    }
}

#[test]
fn garbage_leaves_the_server_well() {
    let server = TlsServer::alone(|config| config);
    let mut random = fastrand::Rng::with_seed(17);
    let hello = server.hello();
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..random.usize(1..600)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 {
            bytes = hello.clone();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
        let mut socket =
            TcpStream::connect(if round % 3 == 0 { server.https } else { server.client_tls }).unwrap();
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    // Encrypted garbage, too.
    let mut talk = server.client();
    let mut sealed = talk.sealed(b"IAMAT kiwi +1+1 1\n");
    sealed[10] ^= 1;
    talk.socket().write_all(&sealed).unwrap();
    let refused = talk.line().unwrap_err();
    assert!(refused.contains("BadRecordMac"), "{refused}");
    assert_eq!(server.client().ask("x"), "? x");
    assert_eq!((server.clients_known(), server.member.metrics.bugs.get()), (0, 0));
}

#[test]
fn new_pair_is_for_new_connections() {
    let server = TlsServer::alone(|config| config);
    let mut old = server.client();
    assert_eq!(old.ask("x"), "? x");
    let first = server.shown();
    // A key that does not fit changes nothing.
    let (next_cert, next_key) = client::pair();
    std::fs::write(&server.files.key, &next_key).unwrap();
    server.stopper.reload_certificate();
    assert_eq!(server.shown(), first);
    std::fs::write(&server.files.cert, &next_cert).unwrap();
    eventually("the new one is shown", || {
        server.stopper.reload_certificate();
        (server.shown() != first).then_some(())
    });
    assert_eq!(old.ask("y"), "? y");
}

#[test]
fn protocols_and_versions_are_agreed_on() {
    let server = TlsServer::alone(|config| config);
    for (offered, agreed) in
        [(&["http/1.1"][..], true), (&["h2", "http/1.1"], true), (&[], true), (&["h2"], false)]
    {
        let found = server.connect(server.https, |config| {
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        });
        match found {
            Ok(talk) => {
                let chosen = talk.session.conn.alpn_protocol();
                assert_eq!(chosen, (!offered.is_empty()).then_some(&b"http/1.1"[..]));
                assert!(agreed);
            }
            Err(error) => assert!(!agreed && error.contains("NoApplicationProtocol"), "{offered:?}: {error}"),
        }
    }
    // Lines have no name there, so whatever is asked for will do.
    let odd = server.connect(server.client_tls, |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    assert_eq!(odd.unwrap().ask("x"), "? x");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut talk = server.connect_by(&[version], server.client_tls, |_| ()).unwrap();
        assert_eq!(talk.ask("x"), "? x");
        assert_eq!(talk.session.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn one_that_comes_again_resumes() {
    let server = TlsServer::alone(|config| config);
    let config = Arc::new(server.client_config(rustls::ALL_VERSIONS));
    let kinds: Vec<_> = (0..2)
        .map(|_| {
            let mut talk = Secured::begin(Arc::clone(&config), server.client_tls).unwrap();
            // Its ticket comes after the handshake.
            assert_eq!(talk.ask("x"), "? x");
            talk.session.conn.handshake_kind().unwrap()
        })
        .collect();
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
}

#[test]
fn proxies_name_clients_before_the_handshake_and_the_access_file_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.toml");
    std::fs::write(&path, "line_from = ['198.51.100.0/24']\n[users.jane]\n").unwrap();
    let access = Some(crate::config::Access::load(&path).unwrap());
    let proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
    let server = TlsServer::alone(|config| Config { access, proxy_from, ..config });
    let through = |client: &str| {
        let mut socket = TcpStream::connect(server.client_tls).unwrap();
        socket.write_all(format!("PROXY TCP4 {client} 192.0.2.1 5 6\r\n").as_bytes()).unwrap();
        Secured::over(Arc::new(server.client_config(rustls::ALL_VERSIONS)), socket).unwrap()
    };
    assert_eq!(through("198.51.100.9").ask("x"), "? x");
    let mut refused = through("192.0.2.7");
    let told = text(refused.line().unwrap().unwrap());
    assert!(told.starts_with("? this port is not for your network"), "{told}");
    assert_eq!(refused.line(), Ok(None));
    // And without a header nothing is said in plain text.
    let mut talk = Talk::with(server.client_tls);
    assert_eq!(talk.send(server.hello()).rest(), [21, 3, 3, 0, 2, 2, 80]);
}

#[test]
fn drained_server_takes_no_more_clients_in_tls() {
    let server = TlsServer::alone(|config| config);
    let mut line = server.connect(server.client_tls, |_| ()).unwrap();
    assert_eq!(line.ask("x"), "? x");
    let mut drain = server.connect(server.https, |_| ()).unwrap();
    let request = "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"for\":\"1h\"}";
    std::thread::scope(|scope| {
        let drained = scope.spawn(move || drain.ask_http(request));
        for port in [server.client_tls, server.https] {
            eventually("no more are let in", || {
                let refused = server.connect(port, |_| ()).err()?;
                refused.contains("InternalError").then_some(())
            });
        }
        assert_eq!(line.ask("y"), "? y");
        drop(line);
        assert_eq!(drained.join().unwrap().0, 200);
    });
}

#[test]
fn one_too_many_gets_an_alert() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = TlsServer::alone(|config| Config { limits, ..config });
    let mut first = server.client();
    assert_eq!(first.ask("x"), "? x");
    let refused = server.connect(server.https, |_| ()).err().unwrap();
    assert!(refused.contains("InternalError"), "{refused}");
}

#[test]
fn clients_of_mqtt_and_readers_of_streams_are_told_when_the_server_stops() {
    let server = TlsServer::alone(|config| config);
    let [mut idle, mut subscriber] = ["x", "y"].map(|id| server.mqtts(id));
    subscriber.send(&packet(0x82, &[&[0, 1, 0][..], &mqtt::text("#"), &[1]].concat())).unwrap();
    assert_eq!(subscriber.packet().unwrap()[0], 0x90);
    let mut stream = server.https();
    stream.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let head = text(stream.line().unwrap().unwrap());
    assert_eq!(head, "HTTP/1.1 200 OK\r");
    let mut talk = server.client();
    talk.ask("IAMAT kiwi +1+1 1700000000");
    // It waits for what comes next.
    while !text(stream.line().unwrap().unwrap()).contains("kiwi") {}
    server.stop();
    for client in [&mut idle, &mut subscriber] {
        assert_eq!(last_packet(client), [0xe0, 1, reason::STOPPING]);
    }
    assert!(stream.rest().ends_with('\n'), "no event is cut");
}

#[test]
fn drained_server_sends_clients_of_mqtt_in_tls_elsewhere() {
    let server = TlsServer::alone(|config| config);
    let mut client = server.mqtts("x");
    let mut drain = server.https();
    let mut stream = server.https();
    stream.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(text(stream.line().unwrap().unwrap()), "HTTP/1.1 200 OK\r");
    let body = "{\"for\":\"1h\"}";
    let length = body.len();
    let request =
        format!("POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    drain.send(request.as_bytes()).unwrap();
    assert_eq!(last_packet(&mut client), [0xe0, 1, reason::STOPPING]);
    let hello = [mqtt::text("MQTT"), vec![5, 2, 0, 60, 0], mqtt::text("z")].concat();
    // It may be gone by now.
    if let Ok(mut late) = server.connect(server.mqtts, |_| ())
        && late.send(&packet(0x10, &hello)).is_ok()
    {
        assert_eq!(late.packet().map(|answer| answer[0..1].to_vec()), Some(vec![0x20]));
    }
    stream.rest();
}

/// The last packet before the end, which is announced.
fn last_packet(client: &mut Secured) -> Vec<u8> {
    let mut last = Vec::new();
    while let Some(packet) = client.packet() {
        last = packet;
    }
    last
}
