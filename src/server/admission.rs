//! Who is let in: how many connections there are of each kind, and when one more is too many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use parking_lot::Mutex;

use super::listen::Port;
use super::warnings::Cause;
use crate::config::Limits;

/// The connections that were let in, by kind.
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    clients: u32,
    strangers: u32,
    /// Clients by address, while that is limited.
    by_address: HashMap<IpAddr, u32>,
}

/// A place among the connections, given back when it is dropped, whatever became of the connection.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    admission: &'a Admission,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Client(Option<IpAddr>),
    Unauthenticated,
    /// Neighbours are few, and none is kept out by whoever else has come.
    Neighbour,
}

/// Why a connection is not let in, in the words for the one who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("too many connections here; try another server of the herd")]
    Connections,
    #[error("too many connections from your address; close some of them")]
    Address,
    #[error("too many connections without a hello; try again later")]
    HelloPending,
}

impl Refused {
    pub(super) fn cause(self) -> Cause {
        match self {
            Refused::Connections => Cause::Connections,
            Refused::Address => Cause::Address,
            Refused::HelloPending => Cause::HelloPending,
        }
    }
}

impl Admission {
    /// The clients that are connected.
    pub(super) fn clients_open(&self) -> u32 {
        self.0.lock().clients
    }

    /// Gives a new connection its place, if there is one.
    pub(super) fn admit(
        &self,
        port: Port,
        from: SocketAddr,
        limits: &Limits,
    ) -> Result<Admitted<'_>, Refused> {
        let mut open = self.0.lock();
        let place = match port {
            Port::Client => {
                if open.clients >= limits.connections_max {
                    return Err(Refused::Connections);
                }
                let address = limits.connections_per_address_max.map(|most| (network(from.ip()), most));
                if let Some((address, most)) = address {
                    let of_address = open.by_address.entry(address).or_default();
                    if *of_address >= most {
                        return Err(Refused::Address);
                    }
                    *of_address += 1;
                }
                open.clients += 1;
                Place::Client(address.map(|(address, _)| address))
            }
            Port::Peer => {
                if open.strangers >= limits.hello_pending_max {
                    return Err(Refused::HelloPending);
                }
                open.strangers += 1;
                Place::Unauthenticated
            }
        };
        Ok(Admitted { admission: self, place })
    }
}

impl Admitted<'_> {
    /// A stranger has proved to be a neighbour, which makes room for another stranger.
    pub(super) fn said_hello(&mut self) {
        if matches!(self.place, Place::Unauthenticated) {
            self.admission.0.lock().strangers -= 1;
            self.place = Place::Neighbour;
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut open = self.admission.0.lock();
        match self.place {
            Place::Client(address) => {
                open.clients -= 1;
                let Some(address) = address else { return };
                if let Some(count) = open.by_address.get_mut(&address) {
                    *count -= 1;
                    if *count == 0 {
                        open.by_address.remove(&address);
                    }
                }
            }
            Place::Unauthenticated => open.strangers -= 1,
            Place::Neighbour => {}
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, for whoever has one address there has all of these.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections_max: 3,
            connections_per_address_max: Some(2),
            hello_pending_max: 1,
            ..Limits::default()
        }
    }

    fn admit<'a>(admission: &'a Admission, port: Port, from: &str) -> Result<Admitted<'a>, Refused> {
        admission.admit(port, from.parse().unwrap(), &limits())
    }

    #[test]
    fn a_place_is_free_again_when_it_is_given_back() {
        let admission = Admission::default();
        let one = admit(&admission, Port::Client, "1.1.1.1:1").unwrap();
        let two = admit(&admission, Port::Client, "[::ffff:1.1.1.1]:2").unwrap();
        assert_eq!(admit(&admission, Port::Client, "1.1.1.1:3").unwrap_err(), Refused::Address);
        let _three = admit(&admission, Port::Client, "[1:2:3:4::5]:1").unwrap();
        assert_eq!(admit(&admission, Port::Client, "1.1.1.2:1").unwrap_err(), Refused::Connections);
        drop(one);
        let _four = admit(&admission, Port::Client, "[1:2:3:4:5::]:1").unwrap();
        drop(two);
        assert_eq!(admit(&admission, Port::Client, "[1:2:3:4::9]:1").unwrap_err(), Refused::Address);
        let _five = admit(&admission, Port::Client, "[1:2:3:5::9]:1").unwrap();
        assert!(!admission.0.lock().by_address.contains_key(&"1.1.1.1".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_hello_makes_room_for_the_next_stranger_and_neighbours_are_not_counted() {
        let admission = Admission::default();
        let stranger = admit(&admission, Port::Peer, "1.1.1.1:1").unwrap();
        assert_eq!(admit(&admission, Port::Peer, "1.1.1.1:2").unwrap_err(), Refused::HelloPending);
        drop(stranger);
        let mut neighbours: Vec<Admitted<'_>> = Vec::new();
        for port in 0..10 {
            let mut next = admit(&admission, Port::Peer, &format!("1.1.1.1:{port}")).unwrap();
            next.said_hello();
            neighbours.push(next);
        }
        drop(neighbours);
        let open = admission.0.lock();
        assert_eq!((open.clients, open.strangers), (0, 0));
    }
}
