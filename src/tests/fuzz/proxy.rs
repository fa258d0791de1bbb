//! The header of a proxy, byte by byte: more bytes never change what fewer have decided, and nothing is read behind it.

use std::net::{IpAddr, SocketAddr};

use crate::net::proxy_header::{HEADER_BYTES_MAX, Header, parse};

/// The bytes as they are, and behind a header that is made of them.
pub(crate) fn check(data: &[u8]) {
    check_prefixes(data);
    let Some((client, rest)) = client(data) else { return };
    for header in [v1(client), v2(client, rest)] {
        let stream = [&header[..], rest].concat();
        let expected = SocketAddr::new(client.ip().to_canonical(), client.port());
        assert_eq!(parse(&stream), Ok(Some((Header::Client(expected), header.len()))), "{header:?}");
        check_prefixes(&stream);
    }
}

fn check_prefixes(data: &[u8]) {
    let mut decided = None;
    for come in 0..=data.len().min(HEADER_BYTES_MAX + 1) {
        let parsed = parse(&data[..come]);
        match (decided, parsed) {
            (None, Ok(None)) => assert!(come < HEADER_BYTES_MAX, "it waits for more than there is room for"),
            (None, _) => {
                if let Ok(Some((_, end))) = parsed {
                    assert_eq!(end, come, "it was whole before");
                }
                decided = Some(parsed);
            }
            (Some(decided), _) => assert_eq!(parsed, decided, "after {come} bytes"),
        }
    }
}

/// An address out of the first bytes, and the rest.
fn client(data: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (&kind, rest) = data.split_first()?;
    let (ip, rest): (IpAddr, &[u8]) = if kind < 128 {
        let (bytes, rest) = rest.split_first_chunk::<4>()?;
        ((*bytes).into(), rest)
    } else {
        let (bytes, rest) = rest.split_first_chunk::<16>()?;
        ((*bytes).into(), rest)
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

fn v1(client: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {0} {0} {1} {1}\r\n", client.ip(), client.port()).into_bytes()
}

/// With some bytes behind the addresses, which are to be skipped.
fn v2(client: SocketAddr, more: &[u8]) -> Vec<u8> {
    let more = &more[..more.len().min(100)];
    let (family, address) = match client.ip() {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
    };
    let port = client.port().to_be_bytes();
    let payload = [&address[..], &address, &port, &port, more].concat();
    let length = (payload.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family][..], &length, &payload].concat()
}
