//! Networks of addresses, as options and files name them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The bits of an IPv6 address before an IPv4 one that it maps.
const MAPPED_BITS: u8 = 96;

/// A network of addresses, or one address. Addresses of IPv4 written as IPv6 are those of IPv4, as connections from
/// there are.
///
/// # Errors
/// If it is neither, or partly of IPv4.
pub fn network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network.ok_or("it takes an address, or a network such as 10.0.0.0/8 or 2001:db8::/32")?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(mapped), Some(bits)) if network.addr().is_ipv6() => {
            Ok(IpNet::new_assert(IpAddr::V4(mapped), bits))
        }
        (IpAddr::V4(_), None) if network.addr().is_ipv6() => {
            Err("it is partly of IPv4: name that network by itself, such as 10.0.0.0/8")
        }
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_mapped_addresses_are_those_of_ipv4() {
        for (given, meant) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7/128", "192.0.2.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(given).unwrap().to_string(), meant);
        }
        let refused = network("::ffff:10.0.0.0/80").unwrap_err();
        assert!(refused.contains("it is partly of IPv4: name that network by itself"), "{refused}");
    }
}
