//! The header with which a proxy names its client: the PROXY protocol, version 1 (a line) and 2 (binary). Pure: bytes
//! in, an address out. The specification is <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest line of version 1, its end included, as the specification has it.
pub const V1_BYTES_MAX: usize = 107;

/// The longest payload of version 2 that is taken: addresses, and what proxies add to them, which is skipped. A
/// certificate's names are the longest of that.
pub const V2_PAYLOAD_BYTES_MAX: usize = 2_048;

/// The longest header.
pub const HEADER_BYTES_MAX: usize = V2_FIXED_BYTES + V2_PAYLOAD_BYTES_MAX;

/// What version 1 begins with.
const V1_START: &[u8] = b"PROXY ";

/// What version 2 begins with.
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What begins version 2, its version and command, its family, and the length of the payload.
const V2_FIXED_BYTES: usize = V2_START.len() + 4;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The client's address.
    Client(SocketAddr),
    /// No address: the proxy itself has connected, as for a health check, or does not know who has.
    NoAddress,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They begin otherwise.
    #[error("no PROXY header comes first, which --proxy-from asks of this address")]
    Missing,
    /// They begin as a header, and go on otherwise.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// It is longer than allowed.
    #[error("its PROXY header is too long")]
    TooLong,
}

/// Takes a header from the front of what has come, and says how many bytes it has; `None` if more must come.
///
/// # Errors
/// If it is none, whatever comes.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let begins = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    if begins(V1_START) {
        return parse_v1(bytes);
    }
    if begins(V2_START) {
        return parse_v2(bytes);
    }
    Err(HeaderError::Missing)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if within.len() < V1_BYTES_MAX { Ok(None) } else { Err(HeaderError::TooLong) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(HeaderError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    let fields: Vec<&str> = line.split(' ').collect();
    let header = match fields[..] {
        // What follows has no meaning.
        ["PROXY", "UNKNOWN", ..] => Header::NoAddress,
        ["PROXY", "TCP4", source, target, source_port, target_port] => {
            v1_client::<Ipv4Addr>([source, target], [source_port, target_port])?
        }
        ["PROXY", "TCP6", source, target, source_port, target_port] => {
            v1_client::<Ipv6Addr>([source, target], [source_port, target_port])?
        }
        _ => return Err(HeaderError::Malformed),
    };
    Ok(Some((header, end + 1)))
}

/// Both addresses and ports must be right, though only the source is of interest.
fn v1_client<A: FromStr + Into<IpAddr>>(
    addresses: [&str; 2],
    ports: [&str; 2],
) -> Result<Header, HeaderError> {
    let port = |text: &str| {
        let is_plain =
            text == "0" || text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse::<u16>().ok().filter(|_| is_plain).ok_or(HeaderError::Malformed)
    };
    let address = |text: &str| text.parse::<A>().map_err(|_| HeaderError::Malformed);
    let [source, _] = [address(addresses[0])?, address(addresses[1])?];
    let [source_port, _] = [port(ports[0])?, port(ports[1])?];
    Ok(client(source.into(), source_port))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let is_proxied = match bytes.get(V2_START.len()) {
        None => return Ok(None),
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Err(HeaderError::Malformed),
    };
    let Some(&[family, high, low]) = bytes.get(V2_START.len() + 1..V2_FIXED_BYTES) else { return Ok(None) };
    let payload_bytes = usize::from(u16::from_be_bytes([high, low]));
    if payload_bytes > V2_PAYLOAD_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let end = V2_FIXED_BYTES + payload_bytes;
    let Some(payload) = bytes.get(V2_FIXED_BYTES..end) else { return Ok(None) };
    let header = match (is_proxied, family) {
        // TCP over IPv4, and over IPv6. What comes behind the addresses is skipped.
        (true, 0x11) => v2_client::<4>(payload)?,
        (true, 0x21) => v2_client::<16>(payload)?,
        // No family, a Unix socket, or no stream.
        (true, 0x00..=0x02 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30..=0x32) | (false, _) => Header::NoAddress,
        (true, _) => return Err(HeaderError::Malformed),
    };
    Ok(Some((header, end)))
}

/// The source: its address, behind which the target's comes, and then both ports.
fn v2_client<const BYTES: usize>(payload: &[u8]) -> Result<Header, HeaderError>
where
    IpAddr: From<[u8; BYTES]>,
{
    let read = || {
        let address = payload.first_chunk::<BYTES>()?;
        let port = payload.get(2 * BYTES..)?.first_chunk::<4>()?;
        Some(client(IpAddr::from(*address), u16::from_be_bytes([port[0], port[1]])))
    };
    read().ok_or(HeaderError::Malformed)
}

fn client(address: IpAddr, port: u16) -> Header {
    Header::Client(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Header {
        Header::Client(text.parse().unwrap())
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [V2_START, &[command, family], &length, payload].concat()
    }

    #[test]
    fn what_haproxy_and_nginx_send_is_taken_and_what_follows_is_left() {
        let v4 = [10, 1, 2, 3, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
        // A checksum and a name of the connection.
        let with_more = [&v4[..], &[3, 0, 4, 1, 2, 3, 4, 5, 0, 3, b'a', b'b', b'c']].concat();
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 9, 0, 80]].concat();
        let mapped = [&[0; 10][..], &[255, 255, 127, 0, 0, 1], &[0; 16], &[0, 9, 0, 80]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 80\r\n".to_vec(), at("10.1.2.3:8080")),
            (b"PROXY TCP6 2001:db8::7 ::1 9 80\r\n".to_vec(), at("[2001:db8::7]:9")),
            (b"PROXY TCP6 ::ffff:127.0.0.1 ::1 0 80\r\n".to_vec(), at("127.0.0.1:0")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::NoAddress),
            (b"PROXY UNKNOWN what ever 1 2\r\n".to_vec(), Header::NoAddress),
            (v2(0x21, 0x11, &v4), at("10.1.2.3:8080")),
            (v2(0x21, 0x11, &with_more), at("10.1.2.3:8080")),
            (v2(0x21, 0x21, &v6), at("[2001:db8::7]:9")),
            (v2(0x21, 0x21, &mapped), at("127.0.0.1:9")),
            (v2(0x20, 0x00, &[]), Header::NoAddress),
            (v2(0x20, 0x11, &v4), Header::NoAddress),
            (v2(0x21, 0x00, &[]), Header::NoAddress),
            (v2(0x21, 0x31, &[0; 216]), Header::NoAddress),
            (v2(0x21, 0x12, &v4), Header::NoAddress),
            (v2(0x21, 0x11, &[0; V2_PAYLOAD_BYTES_MAX]), at("0.0.0.0:0")),
        ] {
            for cut in 0..header.len() {
                assert_eq!(parse(&header[..cut]), Ok(None), "{cut} of {header:?}");
            }
            let followed = [&header[..], b"IAMAT\n"].concat();
            assert_eq!(parse(&followed), Ok(Some((expected, header.len()))), "{header:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_as_soon_as_it_can_be_seen() {
        use HeaderError::{Malformed, Missing, TooLong};
        let v1 = |rest: &str| format!("PROXY {rest}\r\n").into_bytes();
        let long = "x".repeat(V1_BYTES_MAX);
        for (bytes, expected) in [
            (b"IAMAT".to_vec(), Missing),
            (b"\n".to_vec(), Missing),
            (b"PROXX".to_vec(), Missing),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Missing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n".to_vec(), Malformed),
            (v1(""), Malformed),
            (v1("TCP5 1.1.1.1 2.2.2.2 1 2"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2.2 1"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2.2 1 2 3"), Malformed),
            (v1("TCP4  1.1.1.1 2.2.2.2 1 2"), Malformed),
            (v1("TCP4 ::1 ::1 1 2"), Malformed),
            (v1("TCP6 1.1.1.1 2.2.2.2 1 2"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2 1 2"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2.2 +1 2"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2.2 01 2"), Malformed),
            (v1("TCP4 1.1.1.1 2.2.2.2 1 65536"), Malformed),
            (v1("UNKNOWNX"), Malformed),
            (v1(&format!("UNKNOWN {long}")), TooLong),
            ([V2_START, &[0x11]].concat(), Malformed),
            ([V2_START, &[0x22]].concat(), Malformed),
            ([V2_START, &[0x21, 0x11, 0x08, 0x01]].concat(), TooLong),
            (v2(0x21, 0x11, &[0; 11]), Malformed),
            (v2(0x21, 0x21, &[0; 35]), Malformed),
            (v2(0x21, 0x41, &[0; 36]), Malformed),
            (v2(0x21, 0x13, &[0; 36]), Malformed),
        ] {
            assert_eq!(parse(&bytes), Err(expected), "{bytes:?}");
        }
    }
}
