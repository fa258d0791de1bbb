//! Where something is, as the herd file has it: an IP address or a name, and a port.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::vec;

/// The most bytes of a name, as DNS has it (RFC 1035), without a dot at its end.
const NAME_BYTES_MAX: usize = 253;

/// The most bytes of a part of a name between two dots.
const LABEL_BYTES_MAX: usize = 63;

/// An address to dial or to listen on. A name is looked up whenever it is used, because what it stands for may move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name in small letters, perhaps with a dot at its end, and a port.
    Name(String, u16),
}

impl Address {
    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Address::Ip(address) => address.port(),
            Address::Name(_, port) => *port,
        }
    }

    /// The address itself, if it is no name.
    pub fn literal(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Name(..) => None,
        }
    }

    /// The first address that it stands for, which may take the system many seconds to find.
    ///
    /// # Errors
    /// If there is none.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        self.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The name, without the dot at its end, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Address::Ip(_) => None,
            Address::Name(name, _) => Some(name.strip_suffix('.').unwrap_or(name)),
        }
    }

    /// Whether it is one of this machine alone. Of all names only those of `localhost` surely are (RFC 6761).
    pub fn is_loopback(&self) -> bool {
        match self.name() {
            Some(name) => name == "localhost" || name.ends_with(".localhost"),
            None => self.literal().is_some_and(|address| address.ip().to_canonical().is_loopback()),
        }
    }

    /// In the one form that equal ones have: `[::ffff:127.0.0.1]:1` is `127.0.0.1:1`, and a dot at the end of a name
    /// says how it is looked up.
    pub(super) fn canonical(&self) -> Address {
        match (self.name(), self) {
            (Some(name), _) => Address::Name(name.to_owned(), self.port()),
            (None, Address::Ip(address)) => {
                Address::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            (None, Address::Name(..)) => self.clone(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Address, &'static str> {
        if let Ok(address) = text.parse() {
            return Ok(Address::Ip(address));
        }
        if text.contains(['/', '@']) {
            return Err("it has neither scheme nor user nor path, as in \"alford.example:12550\"");
        }
        let (host, port) = text.rsplit_once(':').ok_or(NEEDS_PORT)?;
        if host.starts_with('[') && host.contains('%') {
            return Err("an interface is named by its number, as in \"[fe80::1%2]:12550\"");
        }
        if host.contains([':', '[', ']']) {
            return Err("an IPv6 address stands in brackets before its port, as in \"[::1]:12550\"");
        }
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or(NEEDS_PORT)?;
        check_name(host)?;
        Ok(Address::Name(host.to_ascii_lowercase(), port))
    }
}

const NEEDS_PORT: &str =
    "it needs an IP address or a name, and a port from 1 to 65535, as in \"127.0.0.1:12550\"";

fn check_name(host: &str) -> Result<(), &'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Err("it needs an IP address or a name before its port, as in \"127.0.0.1:12550\"");
    }
    if name == "*" {
        return Err("all addresses of a machine are written 0.0.0.0 or [::], as in \"[::]:12550\"");
    }
    if !name.is_ascii() {
        return Err("a name is written in ASCII: `xn--bcher-kva.example` is the one with an umlaut");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("a name has at most 253 bytes");
    }
    // Names of containers have underscores in them, and resolvers take these.
    let is_of_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    for label in name.split('.') {
        if label.is_empty() {
            return Err("a name has no two dots in a row, and none at its beginning");
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err("a part of a name between dots has at most 63 bytes");
        }
        if !label.bytes().all(is_of_label) {
            return Err("a name has letters, digits, hyphens, underscores and dots");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part of a name neither begins nor ends with a hyphen");
        }
    }
    // Resolvers take what ends in a number for an address, and read it in ways of their own.
    let last = name.rsplit('.').next().unwrap_or(name);
    let digits = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    if last.bytes().all(|byte| byte.is_ascii_digit())
        || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err("an IPv4 address is four numbers from 0 to 255, as in \"127.0.0.1:12550\"");
    }
    Ok(())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Looks a name up, which may take the system many seconds.
impl ToSocketAddrs for Address {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let mut found: Vec<SocketAddr> = match self {
            Address::Ip(address) => vec![*address],
            Address::Name(name, port) => {
                let found = (name.as_str(), *port).to_socket_addrs();
                // A dot at the end is for DNS; hosts files have names without.
                let bare = name.strip_suffix('.');
                let found = found.or_else(|error| match bare {
                    Some(bare) => (bare, *port).to_socket_addrs().map_err(|_| error),
                    None => Err(error),
                });
                found?.collect()
            }
        };
        let is_known = |ip: IpAddr| !self.is_loopback() || ip.to_canonical().is_loopback();
        // What is trusted because it is of this machine must be so, whatever the hosts file says.
        found.retain(|address| is_known(address.ip()));
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        }
        Ok(found.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for text in [
            "127.0.0.1:12550",
            "[::1]:1",
            "[fe80::1%2]:80",
            "0.0.0.0:65535",
            "localhost:12550",
            "alford.example:1",
            "alford.example.:1",
            "my_container-1:80",
            "_x.a:80",
            "xn--bcher-kva.example:80",
            "1a.2b:80",
            "4.example:80",
            "a:0",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let longest = format!("{}:1", [&"a".repeat(63); 4].map(String::as_str).join(".").split_at(253).0);
        assert!(longest.parse::<Address>().is_ok());
        assert_eq!("ALFORD.Example:1".parse::<Address>().unwrap().to_string(), "alford.example:1");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let long = format!("{}:80", ["a"; 128].join("."));
        let label = format!("{}.example:80", "a".repeat(64));
        for (text, why) in [
            ("", "it needs an IP address or a name, and a port"),
            ("127.0.0.1", "and a port from 1 to 65535"),
            ("alford.example", "and a port from 1 to 65535"),
            ("alford.example:", "and a port from 1 to 65535"),
            ("alford.example:http", "and a port from 1 to 65535"),
            ("alford.example:+80", "and a port from 1 to 65535"),
            ("alford.example:65536", "and a port from 1 to 65535"),
            ("alford.example: 80", "and a port from 1 to 65535"),
            (":80", "before its port"),
            (".:80", "before its port"),
            ("*:80", "0.0.0.0 or [::]"),
            ("::1", "stands in brackets"),
            ("::1:80", "stands in brackets"),
            ("[::1", "stands in brackets"),
            ("[alford]:80", "stands in brackets"),
            ("[fe80::1%eth0]:80", "by its number"),
            ("http://alford.example:80", "neither scheme nor user nor path"),
            ("alford.example:80/", "neither scheme nor user nor path"),
            ("me@alford.example:80", "neither scheme nor user nor path"),
            ("b\u{fc}cher.example:80", "in ASCII"),
            (long.as_str(), "at most 253 bytes"),
            (label.as_str(), "at most 63 bytes"),
            ("a..b:80", "two dots in a row"),
            (".a:80", "two dots in a row"),
            ("a..:80", "two dots in a row"),
            ("a b:80", "letters, digits"),
            ("a\t:80", "letters, digits"),
            ("a,b:80", "letters, digits"),
            ("-a:80", "hyphen"),
            ("a-.b:80", "hyphen"),
            ("256.0.0.1:80", "four numbers"),
            ("127.1:80", "four numbers"),
            ("1:80", "four numbers"),
            ("010.0.0.1:80", "four numbers"),
            ("1.2.3.4.:80", "four numbers"),
            ("0x7f000001:80", "four numbers"),
            ("127.0.0.0X1:80", "four numbers"),
        ] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn localhost_is_this_machine_and_other_names_may_be_any() {
        for (text, is_loopback) in [
            ("localhost:1", true),
            ("LOCALHOST.:1", true),
            ("alford.localhost:1", true),
            ("127.9.9.9:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("localhost.example:1", false),
            ("alford:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_loopback(), is_loopback, "{text}");
        }
        for text in ["localhost:7", "LOCALHOST.:7"] {
            let mut found = text.parse::<Address>().unwrap().to_socket_addrs().unwrap();
            assert!(found.all(|address| address.ip().is_loopback() && address.port() == 7));
        }
    }
}
