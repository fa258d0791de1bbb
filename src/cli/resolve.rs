//! Looking up the names of a herd, to say what they stand for from here and now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::thread;

use crate::config::{Address, AddressUse, Herd};

/// Names looked up at once, a thread for each: a resolver that is silent takes half a minute for one.
const LOOKUPS_MAX: usize = 32;

/// What came of it.
#[derive(Debug)]
pub struct Found {
    /// A line for each name, and one for each clash.
    pub text: String,
    /// Whether all names were found, each at an address of its own.
    is_good: bool,
}

impl Found {
    /// 1 if something is missing.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(!self.is_good))
    }
}

type Lookups = BTreeMap<String, io::Result<Vec<IpAddr>>>;

/// Looks up all names of a herd.
pub(super) fn look_up(herd: &Herd) -> Found {
    let uses = || herd.members().iter().flat_map(|member| member.addresses());
    let mut names: Vec<(String, Address)> =
        uses().filter_map(|(_, address)| Some((address.name()?.to_owned(), address.clone()))).collect();
    names.sort_unstable();
    names.dedup_by(|a, b| a.0 == b.0);
    let mut found = Lookups::new();
    for some in names.chunks(LOOKUPS_MAX) {
        thread::scope(|scope| {
            let lookups: Vec<_> =
                some.iter().map(|(name, address)| (name, scope.spawn(|| ips_of(address)))).collect();
            for (name, lookup) in lookups {
                found
                    .insert(name.clone(), lookup.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
            }
        });
    }
    report(&found, uses())
}

fn ips_of(address: &Address) -> io::Result<Vec<IpAddr>> {
    let mut ips: Vec<IpAddr> = address.to_socket_addrs()?.map(|found| found.ip()).collect();
    ips.sort_unstable();
    ips.dedup();
    Ok(ips)
}

fn report<'a>(found: &Lookups, uses: impl Iterator<Item = (AddressUse, &'a Address)>) -> Found {
    let (mut text, mut is_good) = (String::new(), true);
    // Writing to a String cannot fail, so the results say nothing.
    for (name, lookup) in found {
        let _ = match lookup {
            Ok(ips) => {
                let ips: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
                writeln!(text, "{name} is {}", ips.join(", "))
            }
            Err(error) => {
                is_good = false;
                writeln!(text, "{name} is not found: {error}")
            }
        };
    }
    if found.is_empty() {
        text.push_str("no names: all addresses are IP addresses\n");
    }
    let mut used: BTreeMap<SocketAddr, AddressUse> = BTreeMap::new();
    for (whose, address) in uses {
        let ips = match (address.literal(), address.name().and_then(|name| found.get(name))) {
            (Some(literal), _) => vec![literal.ip()],
            (None, Some(Ok(ips))) => ips.clone(),
            (None, Some(Err(_)) | None) => Vec::new(),
        };
        for ip in ips {
            let at = SocketAddr::new(ip.to_canonical(), address.port());
            if let Some(first) = used.insert(at, whose.clone()) {
                is_good = false;
                let _ = writeln!(text, "{first} and {whose} are both {at}: give each an address of its own");
            }
        }
    }
    Found { text, is_good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_not_and_clashes_are_told() {
        let herd = |a: &str, b: &str| {
            let text = format!(
                "links = [['A', 'B']]\n[servers.A]\nclient = '{a}:1'\npeer = '{a}:2'\n[servers.B]\n\
                 client = '{b}:1'\npeer = '{b}:3'\n"
            );
            look_up(&crate::config::parse(&text).unwrap())
        };
        let none = herd("127.0.0.1", "127.0.0.2");
        assert!(none.is_good && none.text.starts_with("no names"), "{}", none.text);
        let missing = herd("localhost", "herd.invalid");
        assert!(!missing.is_good && missing.text.contains("herd.invalid is not found: "), "{}", missing.text);
        assert!(missing.text.contains("localhost is "), "{}", missing.text);
        let clash = herd("localhost", "127.0.0.1");
        let same = "the client address of A and the client address of B are both 127.0.0.1:1: give each";
        assert!(!clash.is_good && clash.text.contains(same), "{}", clash.text);
        let good = herd("localhost", "127.0.0.9");
        assert!(good.is_good, "{}", good.text);
    }
}
