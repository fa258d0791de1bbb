//! Clients that come through a proxy, on real sockets: they are who the proxy says, and that grants them nothing.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::harness::{Talk, TestServer, catalogue, config, eventually, herd};
use crate::config::{self, Config, Herd, Limits};
use crate::proto::model::name::ServerName;
use crate::tests::free_address::free_address;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn header_is_decided_once_and_ends_where_it_ends(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", &LOCAL[..12], LOCAL]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        super::fuzz::proxy::check(&[start, &rest].concat());
    }
}

/// Where the proxy is.
const PROXY: &str = "127.0.0.5:0";

const TOO_MANY: &str = "? too many connections from your address; close some of them\n";

/// What load balancers send to see whether a server is there.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn behind_proxy(herd: &Herd, limits: Limits) -> TestServer {
    let proxy_from = vec!["127.0.0.5/32".parse().unwrap()];
    TestServer::with(&Config { limits, proxy_from, ..config(herd, "Alford") }, catalogue())
}

fn alone() -> Herd {
    herd(&["Alford"], &[], true)
}

fn from_proxy(to: SocketAddr) -> Talk {
    Talk::from(PROXY.parse().unwrap(), to)
}

fn v1(client: IpAddr) -> String {
    format!("PROXY TCP4 {client} 192.0.2.1 5 6\r\n")
}

fn v2(client: [u8; 4]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &client[..], &[192, 0, 2, 1, 0, 5, 0, 6]].concat()
}

fn rest(talk: &mut Talk) -> String {
    String::from_utf8(talk.rest()).unwrap()
}

#[test]
fn header_is_taken_in_pieces_and_together_with_what_follows() {
    let server = behind_proxy(&alone(), Limits::default());
    for header in [v1([192, 0, 2, 7].into()).into_bytes(), v2([192, 0, 2, 8])] {
        let mut together = from_proxy(server.clients);
        together.send([&header[..], b"x\n"].concat());
        assert_eq!(together.line(), "? x");
        let mut in_pieces = from_proxy(server.clients);
        for byte in &header {
            in_pieces.send([*byte]);
        }
        assert_eq!(in_pieces.ask("y"), "? y");
    }
    assert_eq!(server.member.metrics.clients_accepted.get(), 4);
}

#[test]
fn header_must_come_from_a_proxy_and_means_nothing_from_elsewhere() {
    let server = behind_proxy(&alone(), Limits::default());
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 5 6";
    assert_eq!(server.client().ask(header), format!("? {header}"));
    let mut plain = from_proxy(server.clients);
    plain.send("IAMAT kiwi +1+1 1\n");
    assert_eq!(rest(&mut plain), "? no PROXY header comes first, which --proxy-from asks of this address\n");
    let mut malformed = from_proxy(server.clients);
    malformed.send("PROXY TCP4 192.0.2.7\r\n");
    assert_eq!(rest(&mut malformed), "? its PROXY header is malformed\n");
    let mut silent = from_proxy(server.clients);
    assert!(rest(&mut silent).starts_with("? no PROXY header has come within 2s"));
    // Neighbours come without one, wherever they are.
    assert_eq!(from_proxy(server.peers).ask(header), format!("? {header}"));
    let metrics = &server.member.metrics;
    assert_eq!((metrics.proxy_headers_refused.get(), metrics.clients_accepted.get()), (3, 1));
}

#[test]
fn limits_count_at_the_address_that_the_proxy_names() {
    let limits = Limits { connections_per_address_max: Some(1), ..Limits::default() };
    let server = behind_proxy(&alone(), limits);
    let named = |host| {
        let mut talk = from_proxy(server.clients);
        let _ = talk.socket.write_all(format!("{}x\n", v1([192, 0, 2, host].into())).as_bytes());
        talk
    };
    let (mut one, mut two) = (named(1), named(2));
    assert_eq!((one.line(), two.line()), ("? x".to_owned(), "? x".to_owned()));
    assert_eq!(rest(&mut named(1)), TOO_MANY);
    drop(one);
    eventually("the address has room again", || (named(1).line() == "? x").then_some(()));
    assert_eq!(two.ask("x"), "? x");
}

#[test]
fn what_looks_whether_we_are_there_is_no_client() {
    let server = behind_proxy(&alone(), Limits { connections_max: 1, ..Limits::default() });
    for check in [LOCAL, b"PROXY UNKNOWN\r\n", b"", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"] {
        let mut talk = from_proxy(server.clients);
        assert_eq!(rest(talk.send(check).half_close()), "");
    }
    // In version 1, HAProxy names its own end.
    let mut talk = from_proxy(server.clients);
    let own = talk.socket.local_addr().unwrap();
    let header = format!("PROXY TCP4 {} 192.0.2.1 {} 6\r\n", own.ip(), own.port());
    assert_eq!(rest(talk.send(header).half_close()), "");
    // Nor does it make a client give way.
    let mut client = server.client();
    assert_eq!(client.ask("x"), "? x");
    assert_eq!(rest(from_proxy(server.clients).send(LOCAL).half_close()), "");
    assert_eq!(client.ask("x"), "? x");
    drop(client);
    // One whose client is not known is served, as from the proxy.
    let mut unknown = eventually("there is room", || {
        let mut talk = from_proxy(server.clients);
        let _ = talk.socket.write_all(b"PROXY UNKNOWN\r\nx\n");
        (talk.line() == "? x").then_some(talk)
    });
    assert_eq!(unknown.ask("y"), "? y");
    let metrics = &server.member.metrics;
    assert_eq!((metrics.clients_accepted.get(), metrics.proxy_headers_refused.get()), (2, 0));
}

#[test]
fn no_address_that_a_proxy_names_or_has_makes_a_neighbour() {
    let name = |text| ServerName::parse(text).unwrap();
    let classic =
        |text, host| config::Member::legacy(name(text), SocketAddr::new(host, free_address().port()));
    let (far, at_proxy): (IpAddr, IpAddr) = ([127, 0, 0, 6].into(), [127, 0, 0, 5].into());
    let members = vec![
        config::Member::herd(name("Alford"), free_address(), free_address()),
        classic("Far", far),
        classic("Near", at_proxy),
    ];
    let links = ["Far", "Near"].map(|neighbour| (name("Alford"), name(neighbour)));
    let herd = Herd::new(members, links.into(), true).unwrap();
    let limits = Limits { idle_time_max: Some(Duration::from_millis(300)), ..Limits::default() };
    let server = behind_proxy(&herd, limits);
    let news = "AT Far +0.5 kiwi +1+1 5";
    for header in [v1(far), v1(at_proxy), "PROXY UNKNOWN\r\n".to_owned(), v1([127, 0, 0, 1].into())] {
        let mut talk = from_proxy(server.clients);
        assert_eq!(talk.send(&header).ask(news), format!("? {news}"), "{header}");
        assert_eq!(rest(&mut talk), "", "it is idle for no longer than others");
    }
    assert_eq!(server.client().ask("WHATSAT kiwi 1 1"), "? WHATSAT kiwi 1 1");
    // From its own address and without a proxy it is believed.
    Talk::from((far, 0).into(), server.clients).send(format!("{news}\n"));
    eventually("it is known", || server.client().ask("WHATSAT kiwi 1 1").starts_with("AT ").then_some(()));
}
