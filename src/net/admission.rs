//! Admission control: connection limits per class and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use parking_lot::Mutex;

use crate::config::Limits;

/// Which limits a connection counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One of many clients: limited in all, and by address.
    Client,
    /// It must authenticate: limited until it has, and never afterwards.
    Peer,
}

/// The connections that were admitted, by class.
#[derive(Debug, Default)]
pub struct Admission(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    clients: u32,
    unauthenticated: u32,
    /// Clients by address, while that is limited.
    by_address: HashMap<IpAddr, u32>,
}

/// A place among the connections, given back when it is dropped, whatever became of the connection.
#[derive(Debug)]
pub struct Admitted<'a> {
    admission: &'a Admission,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Client(Option<IpAddr>),
    Unauthenticated,
    /// Peers are few, and none is kept out by others.
    Peer,
}

/// Why a connection is not let in, in the words for the one who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// As many clients as may be are connected.
    #[error("too many connections here; try another server of the herd")]
    Connections,
    /// As many as may be are connected from that address.
    #[error("too many connections from your address; close some of them")]
    Address,
    /// As many as may be have not authenticated.
    #[error("too many connections without a hello; try again later")]
    Unauthenticated,
}

impl Admission {
    /// The clients that are connected.
    pub fn clients_open(&self) -> u32 {
        self.0.lock().clients
    }

    /// Gives a new connection its place, if there is one.
    pub fn admit(&self, class: Class, from: SocketAddr, limits: &Limits) -> Result<Admitted<'_>, Overload> {
        let mut open = self.0.lock();
        let place = match class {
            Class::Client => {
                if open.clients >= limits.connections_max {
                    return Err(Overload::Connections);
                }
                let address = limits.connections_per_address_max.map(|most| (network(from.ip()), most));
                if let Some((address, most)) = address {
                    let of_address = open.by_address.entry(address).or_default();
                    if *of_address >= most {
                        return Err(Overload::Address);
                    }
                    *of_address += 1;
                }
                open.clients += 1;
                Place::Client(address.map(|(address, _)| address))
            }
            Class::Peer => {
                if open.unauthenticated >= limits.hello_pending_max {
                    return Err(Overload::Unauthenticated);
                }
                open.unauthenticated += 1;
                Place::Unauthenticated
            }
        };
        Ok(Admitted { admission: self, place })
    }
}

impl Admitted<'_> {
    /// The other side has authenticated, which makes room for another that has not.
    pub fn authenticated(&mut self) {
        if matches!(self.place, Place::Unauthenticated) {
            self.admission.0.lock().unauthenticated -= 1;
            self.place = Place::Peer;
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
            Place::Unauthenticated => open.unauthenticated -= 1,
            Place::Peer => {}
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, because one host there has all of these.
pub fn network(address: IpAddr) -> IpAddr {
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

    fn admit<'a>(admission: &'a Admission, class: Class, from: &str) -> Result<Admitted<'a>, Overload> {
        admission.admit(class, from.parse().unwrap(), &limits())
    }

    #[test]
    fn dropped_place_is_free_again() {
        let admission = Admission::default();
        let one = admit(&admission, Class::Client, "1.1.1.1:1").unwrap();
        let two = admit(&admission, Class::Client, "[::ffff:1.1.1.1]:2").unwrap();
        assert_eq!(admit(&admission, Class::Client, "1.1.1.1:3").unwrap_err(), Overload::Address);
        let _three = admit(&admission, Class::Client, "[1:2:3:4::5]:1").unwrap();
        assert_eq!(admit(&admission, Class::Client, "1.1.1.2:1").unwrap_err(), Overload::Connections);
        drop(one);
        let _four = admit(&admission, Class::Client, "[1:2:3:4:5::]:1").unwrap();
        drop(two);
        assert_eq!(admit(&admission, Class::Client, "[1:2:3:4::9]:1").unwrap_err(), Overload::Address);
        let _five = admit(&admission, Class::Client, "[1:2:3:5::9]:1").unwrap();
        assert!(!admission.0.lock().by_address.contains_key(&"1.1.1.1".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn authentication_makes_room_and_peers_are_not_counted() {
        let admission = Admission::default();
        let stranger = admit(&admission, Class::Peer, "1.1.1.1:1").unwrap();
        assert_eq!(admit(&admission, Class::Peer, "1.1.1.1:2").unwrap_err(), Overload::Unauthenticated);
        drop(stranger);
        let mut neighbours: Vec<Admitted<'_>> = Vec::new();
        for port in 0..10 {
            let mut next = admit(&admission, Class::Peer, &format!("1.1.1.1:{port}")).unwrap();
            next.authenticated();
            neighbours.push(next);
        }
        drop(neighbours);
        let open = admission.0.lock();
        assert_eq!((open.clients, open.unauthenticated), (0, 0));
    }
}
