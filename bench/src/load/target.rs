//! Whom the load is for, and whether this machine has room for it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::LoadError;
use super::options::{Mode, Options};

/// Descriptors of the process that are no connections: streams, epoll, timer, files of /proc.
const OTHER_DESCRIPTORS: u64 = 64;

/// Connections from one source address, well below its 28,232 ports: finding a free one gets slow at the end.
const CONNECTIONS_PER_SOURCE: u32 = 14_000;

/// Source addresses of a run that opens connections all the time: each closed one keeps its port for a minute.
const SOURCES_FOR_CHURN: u32 = 64;

/// The addresses of the target; unless it is allowed, it must be this machine.
pub(super) fn resolve(options: &Options) -> Result<SocketAddr, LoadError> {
    let unknown = |error| LoadError::Resolve { target: options.target.clone(), error };
    let mut addresses = options.target.to_socket_addrs().map_err(unknown)?;
    let none = || unknown(std::io::Error::from(std::io::ErrorKind::NotFound));
    let address = addresses.next().ok_or_else(none)?;
    if !options.allow_any_target && !address.ip().to_canonical().is_loopback() {
        return Err(LoadError::Foreign(address));
    }
    Ok(address)
}

/// The addresses to connect from; empty to leave it to the system.
pub(super) fn sources(options: &Options, target: SocketAddr) -> Result<Vec<IpAddr>, LoadError> {
    let wanted = match options.mode() {
        Mode::Churn => SOURCES_FOR_CHURN,
        Mode::Closed(_) | Mode::Open(_) | Mode::Storm => options.connections.div_ceil(CONNECTIONS_PER_SOURCE),
    };
    let loopback = matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
    let sources = if loopback { options.sources.unwrap_or(wanted) } else { 1 };
    let ports = u64::from(sources) * ports_per_source();
    if u64::from(options.connections) > ports {
        let connections = options.connections.into();
        return Err(LoadError::Ports { connections, ports, sources: sources.into() });
    }
    let source = |number: u32| IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number));
    Ok(if sources > 1 { (0..sources).map(source).collect() } else { Vec::new() })
}

/// Raises the soft limit of open files so that the connections fit, and the hard one where that is allowed.
pub fn make_room(connections: u32) -> Result<(), LoadError> {
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
    raised.map_err(|_| LoadError::Descriptors { needed, allowed: limit.maximum.unwrap_or(u64::MAX) })
}

fn ports_per_source() -> u64 {
    // What Linux has where it is not readable.
    const DEFAULT: u64 = 28_232;
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) if last >= first => last - first + 1,
        _ => DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(target: &str) -> Options {
        Options { target: target.to_owned(), ..Options::default() }
    }

    #[test]
    fn only_this_machine_is_a_target_unless_told_otherwise() {
        for own in ["127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            resolve(&to(own)).unwrap();
        }
        for foreign in ["192.0.2.1:1", "0.0.0.0:1", "[2001:db8::1]:1", "[::]:1"] {
            assert!(matches!(resolve(&to(foreign)), Err(LoadError::Foreign(_))), "{foreign}");
            resolve(&Options { allow_any_target: true, ..to(foreign) }).unwrap();
        }
        assert!(matches!(resolve(&to("127.0.0.1")), Err(LoadError::Resolve { .. })));
    }

    #[test]
    fn many_connections_come_from_many_addresses() {
        let target = "127.0.0.1:1".parse().unwrap();
        let count = |connections, given| {
            let options = Options { connections, sources: given, ..Options::default() };
            sources(&options, target).map(|list| list.len())
        };
        assert_eq!(count(10, None).unwrap(), 0);
        assert_eq!(count(40_000, None).unwrap(), 3);
        assert_eq!(count(10, Some(5)).unwrap(), 5);
        assert!(matches!(count(150_000, Some(2)), Err(LoadError::Ports { .. })));
    }

    #[test]
    fn no_limit_is_high_enough_for_everything() {
        let told = make_room(u32::MAX).unwrap_err().to_string();
        assert!(told.contains("raise the hard limit"), "{told}");
    }
}
