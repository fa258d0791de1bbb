//! The doors of a server: opened, each on the addresses that the herd file gives it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;

use super::error::ServeError;
use crate::config::{AddressUse, Member, Purpose};
use crate::frontend::protocol::Protocol;
use crate::net::admission::Class;
use crate::net::certificate::Certificate;
use crate::net::listen::{INPUT_BYTES_MAX, Output, Vanished, listen};
use crate::net::lookup;
use crate::os::sync::TcpListener;

/// A port that is open.
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    pub(super) protocol: Protocol,
    /// With which certificate it is encrypted, if it is.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    pub(super) fn class(&self) -> Class {
        if self.protocol == Protocol::Peer { Class::Peer } else { Class::Client }
    }
}

/// Opens all doors of a server. A client that gets through to the first of its own finds that for neighbours open too.
pub(super) fn open(
    member: &Member,
    certificate: Option<&Arc<Certificate>>,
    output: Output,
    vanished: Vanished,
) -> Result<Vec<Listening>, ServeError> {
    let mut doors = Vec::new();
    let order = [
        (Purpose::Peer, Protocol::Peer),
        (Purpose::Client, Protocol::Line),
        (Purpose::Http, Protocol::Http),
        (Purpose::Mqtt, Protocol::Mqtt),
        (Purpose::ClientTls, Protocol::LineTls),
        (Purpose::Https, Protocol::Https),
        (Purpose::Mqtts, Protocol::Mqtts),
    ];
    for (purpose, protocol) in order {
        let is_encrypted = matches!(protocol, Protocol::LineTls | Protocol::Https | Protocol::Mqtts);
        let tls = match certificate {
            Some(certificate) if is_encrypted => {
                Some(certificate.server_config(protocol.application_protocols())?)
            }
            None if is_encrypted => continue,
            Some(_) | None => None,
        };
        // Neighbours send in bulk, and have proved who they are.
        let input_bytes_max = Some(INPUT_BYTES_MAX).filter(|_| protocol != Protocol::Peer);
        let listeners =
            listeners(member, purpose, |address| listen(address, output, input_bytes_max, vanished))?;
        doors.extend(listeners.into_iter().map(|listener| Listening {
            listener,
            protocol,
            tls: tls.clone(),
        }));
    }
    Ok(doors)
}

/// One for an IP address. A name stands for several, of which this machine may have but some.
fn listeners(
    member: &Member,
    purpose: Purpose,
    listen: impl Fn(SocketAddr) -> io::Result<TcpListener>,
) -> Result<Vec<TcpListener>, ServeError> {
    let Some((whose, address)) = member.listens(purpose) else { return Ok(Vec::new()) };
    let addresses =
        lookup::addresses(&address).map_err(|error| not_found(&whose, &address.to_string(), error))?;
    let (mut listeners, mut missing) = (Vec::new(), None);
    for address in addresses {
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => missing = Some((address, error)),
            Err(error) => return Err(ServeError::Bind { address, error }),
        }
    }
    match missing {
        Some((address, error)) if listeners.is_empty() => Err(ServeError::Bind { address, error }),
        _ => Ok(listeners),
    }
}

fn not_found(whose: &AddressUse, address: &str, error: io::Error) -> ServeError {
    ServeError::Name { whose: whose.clone(), address: address.to_owned(), error }
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::proto::model::name::ServerName;
    use crate::tests::free_address::free_address;
    use socket2::{Domain, Socket, Type};
    use std::net::TcpStream;
    use std::time::Duration;

    fn opened(client: &str, bound: Option<&str>) -> Result<Vec<Listening>, ServeError> {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let mut member = Member::herd(ServerName::parse("A").unwrap(), address(client), free_address());
        member.bound.extend(bound.map(|bound| (Purpose::Client, bound.parse().unwrap())));
        let second = Duration::from_secs(1);
        let doors = open(&member, None, Output::shared_out(32 << 10), Vanished::within(second, second))?;
        Ok(doors.into_iter().filter(|door| door.protocol == Protocol::Line).collect())
    }

    fn at(doors: &[Listening]) -> Vec<SocketAddr> {
        doors.iter().map(|door| door.listener.local_addr().unwrap()).collect()
    }

    #[test]
    fn name_is_listened_on_wherever_this_machine_has_it() {
        let port = free_address().port();
        let doors = opened(&format!("localhost:{port}"), None).unwrap();
        let found = at(&doors);
        assert!(!found.is_empty() && found.iter().all(|at| at.ip().is_loopback() && at.port() == port));
        found.iter().for_each(|at| drop(TcpStream::connect(at).unwrap()));
        let refused = opened(&format!("herd.invalid:{port}"), None).map(drop).unwrap_err().to_string();
        assert!(refused.contains("the client address of A, herd.invalid:"), "{refused}");
        assert!(refused.contains(&format!("listen_client = \"[::]:{port}\"")), "{refused}");
        drop(doors);
        let doors = opened("herd.invalid:1", Some(&format!("127.0.0.1:{port}"))).unwrap();
        assert_eq!(at(&doors), [SocketAddr::from(([127, 0, 0, 1], port))]);
    }

    #[test]
    fn all_addresses_of_ipv6_are_those_of_ipv4_too() {
        // As long as it is bound nothing else is given its port, at whatever address.
        let all = Socket::new(Domain::IPV6, Type::STREAM, None).and_then(|socket| {
            socket.set_only_v6(false)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from(([0; 16], 0)).into())?;
            Ok(socket)
        });
        let Ok(all) = all else {
            let refused = opened("alford.example:1", Some("[::]:1"));
            return assert!(refused.is_err(), "this machine has no IPv6");
        };
        let port = all.local_addr().unwrap().as_socket().unwrap().port();
        let doors = opened("alford.example:1", Some(&format!("[::]:{port}"))).unwrap();
        assert_eq!(at(&doors), [SocketAddr::from(([0; 16], port))]);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
}
