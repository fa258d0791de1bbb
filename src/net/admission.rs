//! Admission control: connection limits per class and per address, and who gives way when no place is left.
//!
//! When a client finds no place, one that has been idle for long gives way to it, of the address that holds most. On
//! the peer port the oldest connection that has not authenticated gives way to the next, but the addresses of each
//! neighbour (those that its name was last found at) keep their newest few: a flood of connections from elsewhere does
//! not keep a neighbour out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::stream::Stream;
use super::whereabouts::Whereabouts;
use crate::config::Limits;
pub use crate::os::resource_limits::{DISPLACED_MAX, NEIGHBOUR_PLACES, UNNAMED_MAX};

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
pub struct Admission {
    /// Where neighbours are: unauthenticated connections from there are kept.
    pub neighbours: Whereabouts,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    clients: u32,
    unnamed: u32,
    by_address: BTreeMap<IpAddr, Clients>,
    /// Those that have not authenticated, in the order in which they came.
    unauthenticated: BTreeMap<u64, (IpAddr, Arc<Stream>)>,
    /// Those that gave way and whose threads have not ended yet.
    displaced: u32,
    next: u64,
}

/// The clients of one address.
#[derive(Debug, Default)]
struct Clients {
    open: u32,
    /// Those that may give way, in the order in which they became idle.
    idle: BTreeMap<u64, Arc<Stream>>,
}

/// A place among the connections, given back when it is dropped, whatever became of the connection.
#[derive(Debug)]
pub struct Admitted<'a> {
    admission: &'a Admission,
    place: Place,
    /// The one that gave way, which is rare.
    displaced: Option<Box<Displaced>>,
}

/// A connection that has given its place to a newcomer. It is to be cut, with no lock held.
#[derive(Debug)]
pub struct Displaced {
    /// Its bytes.
    pub stream: Arc<Stream>,
    /// What counts as its address.
    pub address: IpAddr,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// With its address, and its key among those that may give way, if it may.
    Client(IpAddr, Option<u64>),
    /// It comes through a proxy, which has not named it.
    Unnamed,
    /// With its key among those that may give way.
    Unauthenticated(IpAddr, Option<u64>),
    /// Peers are few, and none is kept out by others.
    Peer,
}

/// Why a connection is not let in, in the words for the one who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// As many clients as may be are connected, and none has been idle for long.
    #[error("too many connections here; try another server of the herd")]
    Connections,
    /// As many as may be are connected from that address, and none has been idle for long.
    #[error("too many connections from your address; close some of them")]
    Address,
    /// Unauthenticated connections come faster than older ones can be ended.
    #[error("too many connections without a hello; try again later")]
    Unauthenticated,
    /// The server is about to stop.
    #[error("this server takes no more connections, because it is drained; try another server of the herd")]
    Draining,
}

impl Admission {
    /// The clients that are connected.
    pub fn clients_open(&self) -> u32 {
        self.open.lock().clients
    }

    /// Gives a new connection its place, if there is one or another gives way.
    pub fn admit(&self, class: Class, from: SocketAddr, limits: &Limits) -> Result<Admitted<'_>, Overload> {
        let mut open = self.open.lock();
        let (place, displaced) = match class {
            Class::Client => {
                let address = network(from.ip());
                let taken = open.clients + open.unnamed;
                let displaced = open.room_for_client(address, taken, limits)?;
                open.enter(address);
                (Place::Client(address, None), displaced)
            }
            Class::Peer => {
                let address = from.ip().to_canonical();
                let kept = kept_for(&self.neighbours.all());
                let displaced = open.room_for_peer(address, kept, limits.hello_pending_max)?;
                (Place::Unauthenticated(address, None), displaced)
            }
        };
        Ok(Admitted { admission: self, place, displaced })
    }

    /// Lets a connection in that comes through a proxy, which is about to say whose it is. There is room for a few when
    /// the server is full: a health check must not make a client give way.
    pub fn admit_unnamed(&self, limits: &Limits) -> Result<Admitted<'_>, Overload> {
        let mut open = self.open.lock();
        if open.clients + open.unnamed >= limits.connections_max + UNNAMED_MAX {
            return Err(Overload::Connections);
        }
        open.unnamed += 1;
        Ok(Admitted { admission: self, place: Place::Unnamed, displaced: None })
    }
}

impl Open {
    /// Whether there is room for one more client where so many places are taken; and the one that gives way, if one
    /// must.
    fn room_for_client(
        &mut self,
        address: IpAddr,
        taken: u32,
        limits: &Limits,
    ) -> Result<Option<Box<Displaced>>, Overload> {
        let of_address = self.by_address.get(&address).map_or(0, |clients| clients.open);
        let (source, why) = if limits.connections_per_address_max.is_some_and(|most| of_address >= most) {
            (Some(address), Overload::Address)
        } else if taken >= limits.connections_max {
            (self.address_to_give_way(), Overload::Connections)
        } else {
            return Ok(None);
        };
        if self.displaced >= DISPLACED_MAX {
            return Err(why);
        }
        let address = source.ok_or(why)?;
        let idle = self.by_address.get_mut(&address).and_then(|clients| clients.idle.pop_first());
        let (_, stream) = idle.ok_or(why)?;
        self.leave(address);
        self.displaced += 1;
        Ok(Some(Box::new(Displaced { stream, address })))
    }

    /// Of the addresses with a client that may give way the one that holds most, and of equal ones that of the client
    /// that has been idle for longest.
    fn address_to_give_way(&self) -> Option<IpAddr> {
        let having_idle = self.by_address.iter().filter_map(|(address, clients)| {
            let (oldest, _) = clients.idle.first_key_value()?;
            Some(((clients.open, Reverse(*oldest)), *address))
        });
        having_idle.max().map(|(_, address)| address)
    }

    /// Whether there is room for one more that has not authenticated; and the one that gives way, if one must: the
    /// oldest but for the newest few of each neighbour's address.
    fn room_for_peer(
        &mut self,
        newcomer: IpAddr,
        mut kept: HashMap<IpAddr, u32>,
        strangers_max: u32,
    ) -> Result<Option<Box<Displaced>>, Overload> {
        let (mut strangers, mut oldest) = (0, None);
        let present = self.unauthenticated.iter().rev().map(|(key, (address, _))| (Some(*key), *address));
        for (key, address) in std::iter::once((None, newcomer)).chain(present) {
            match kept.get_mut(&address) {
                Some(left @ 1..) => *left -= 1,
                Some(0) | None => {
                    strangers += 1;
                    oldest = key;
                }
            }
        }
        if strangers <= strangers_max {
            return Ok(None);
        }
        if self.displaced >= DISPLACED_MAX {
            return Err(Overload::Unauthenticated);
        }
        let gone = oldest.and_then(|key| self.unauthenticated.remove(&key));
        let (address, stream) = gone.ok_or(Overload::Unauthenticated)?;
        self.displaced += 1;
        Ok(Some(Box::new(Displaced { stream, address })))
    }

    fn has_given_way(&self, place: &Place) -> bool {
        match place {
            Place::Client(address, Some(key)) => {
                self.by_address.get(address).is_none_or(|clients| !clients.idle.contains_key(key))
            }
            Place::Unauthenticated(_, Some(key)) => !self.unauthenticated.contains_key(key),
            Place::Client(..) | Place::Unnamed | Place::Unauthenticated(..) | Place::Peer => false,
        }
    }

    fn enter(&mut self, address: IpAddr) {
        self.clients += 1;
        self.by_address.entry(address).or_default().open += 1;
    }

    fn leave(&mut self, address: IpAddr) {
        self.clients -= 1;
        let Some(clients) = self.by_address.get_mut(&address) else { return };
        clients.open -= 1;
        if clients.open == 0 {
            self.by_address.remove(&address);
        }
    }
}

impl Admitted<'_> {
    /// The connection that gave way to this one, once.
    pub fn take_displaced(&mut self) -> Option<Displaced> {
        self.displaced.take().map(|displaced| *displaced)
    }

    /// A proxy has named the client of a connection that was let in without a name.
    pub fn named(&mut self, from: SocketAddr, limits: &Limits) -> Result<(), Overload> {
        if matches!(self.place, Place::Unnamed) {
            let address = network(from.ip());
            let mut open = self.admission.open.lock();
            let taken = open.clients;
            self.displaced = open.room_for_client(address, taken, limits)?;
            open.unnamed -= 1;
            open.enter(address);
            self.place = Place::Client(address, None);
        }
        Ok(())
    }

    /// From now on it may give way to a newcomer, which shuts down the reading half of its stream: a client that has
    /// been idle for long, or a connection that has not authenticated.
    pub fn may_give_way(&mut self, stream: &Arc<Stream>) {
        let mut open = self.admission.open.lock();
        let key = open.next;
        open.next += 1;
        match &mut self.place {
            Place::Client(address, idle @ None) => {
                if let Some(clients) = open.by_address.get_mut(address) {
                    clients.idle.insert(key, Arc::clone(stream));
                    *idle = Some(key);
                }
            }
            Place::Unauthenticated(address, unset @ None) => {
                open.unauthenticated.insert(key, (*address, Arc::clone(stream)));
                *unset = Some(key);
            }
            Place::Client(..) | Place::Unnamed | Place::Unauthenticated(..) | Place::Peer => {}
        }
    }

    /// The other side has said something, so a client is idle no longer. Returns whether it still has its place, and
    /// did not give way to a newcomer before.
    pub fn keeps_place(&mut self) -> bool {
        match &mut self.place {
            Place::Client(_, None) | Place::Unnamed | Place::Peer => return true,
            Place::Client(..) | Place::Unauthenticated(..) => {}
        }
        let mut open = self.admission.open.lock();
        if open.has_given_way(&self.place) {
            return false;
        }
        if let Place::Client(address, idle) = &mut self.place
            && let (Some(clients), Some(key)) = (open.by_address.get_mut(address), idle.take())
        {
            clients.idle.remove(&key);
        }
        true
    }

    /// The other side has authenticated, which makes room for another that has not. If it gave way in this moment, it
    /// must come again.
    pub fn authenticated(&mut self) {
        if let Place::Unauthenticated(_, key) = self.place {
            let mut open = self.admission.open.lock();
            if key.is_none_or(|key| open.unauthenticated.remove(&key).is_some()) {
                self.place = Place::Peer;
            }
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        match self.place {
            place if open.has_given_way(&place) => open.displaced -= 1,
            Place::Unnamed => open.unnamed -= 1,
            Place::Client(address, idle) => {
                if let (Some(clients), Some(key)) = (open.by_address.get_mut(&address), idle) {
                    clients.idle.remove(&key);
                }
                open.leave(address);
            }
            Place::Unauthenticated(_, Some(key)) => drop(open.unauthenticated.remove(&key)),
            Place::Unauthenticated(_, None) | Place::Peer => {}
        }
    }
}

/// By address, how many unauthenticated connections from there are kept: those of a neighbour are shared out among its
/// addresses, of which each has one at least.
fn kept_for(neighbours: &[Vec<IpAddr>]) -> HashMap<IpAddr, u32> {
    let mut kept = HashMap::new();
    for addresses in neighbours {
        let each = (NEIGHBOUR_PLACES / addresses.len().max(1) as u32).max(1);
        for address in addresses {
            *kept.entry(*address).or_default() += each;
        }
    }
    kept
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
            hello_pending_max: 2,
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
        assert!(!admission.open.lock().by_address.contains_key(&"1.1.1.1".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn named_client_counts_at_the_address_that_it_was_given() {
        let admission = Admission::default();
        let name = |admitted: &mut Admitted<'_>, from: &str| admitted.named(from.parse().unwrap(), &limits());
        let unnamed = || admission.admit_unnamed(&limits());
        let many: Vec<_> = (0..3 + UNNAMED_MAX).map(|_| unnamed().unwrap()).collect();
        assert_eq!(unnamed().unwrap_err(), Overload::Connections);
        assert_eq!(admit(&admission, Class::Client, "1.1.1.1:1").unwrap_err(), Overload::Connections);
        assert_eq!(admission.clients_open(), 0);
        drop(many);
        let mut all: Vec<_> = (0..4).map(|_| unnamed().unwrap()).collect();
        assert_eq!(name(&mut all[0], "1.1.1.1:1"), Ok(()));
        assert_eq!(name(&mut all[1], "1.1.1.1:2"), Ok(()));
        assert_eq!(name(&mut all[2], "1.1.1.1:3"), Err(Overload::Address));
        all.remove(0);
        assert_eq!(name(&mut all[1], "1.1.1.1:3"), Ok(()));
        assert_eq!(name(&mut all[2], "1.1.1.2:1"), Ok(()));
        all.push(unnamed().unwrap());
        assert_eq!(name(&mut all[3], "1.1.1.3:1"), Err(Overload::Connections));
        drop(all);
        let open = admission.open.lock();
        assert_eq!((open.clients, open.unnamed, open.by_address.len()), (0, 0, 0));
    }

    #[test]
    fn authentication_makes_room_and_peers_are_not_counted() {
        let admission = Admission::default();
        let mut neighbours: Vec<Admitted<'_>> = Vec::new();
        for port in 0..10 {
            let mut next = admit(&admission, Class::Peer, &format!("1.1.1.1:{port}")).unwrap();
            next.authenticated();
            neighbours.push(next);
        }
        drop(neighbours);
        let open = admission.open.lock();
        assert_eq!((open.clients, open.unauthenticated.len(), open.displaced), (0, 0, 0));
    }

    // Sockets of the system are no part of the model.
    #[cfg(not(feature = "interleavings"))]
    mod giving_way {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        /// A connection whose other side is there.
        fn stream() -> Arc<Stream> {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        }

        fn idle<'a>(admission: &'a Admission, from: &str) -> (Admitted<'a>, Arc<Stream>) {
            let (mut admitted, stream) = (admit(admission, Class::Client, from).unwrap(), stream());
            admitted.may_give_way(&stream);
            (admitted, stream)
        }

        fn gave_way(newcomer: &mut Admitted<'_>, stream: &Arc<Stream>) -> bool {
            newcomer.take_displaced().is_some_and(|displaced| Arc::ptr_eq(&displaced.stream, stream))
        }

        #[test]
        fn the_address_that_holds_most_gives_way_with_its_oldest_idle_client() {
            let admission = Admission::default();
            let (mut first, _) = idle(&admission, "1.1.1.1:1");
            let (mut second, second_stream) = idle(&admission, "1.1.1.2:1");
            let (mut third, third_stream) = idle(&admission, "1.1.1.2:2");
            // One that speaks is idle no longer.
            assert!(second.keeps_place());
            let mut newcomer = admit(&admission, Class::Client, "1.1.1.3:1").unwrap();
            assert!(gave_way(&mut newcomer, &third_stream));
            assert!(!third.keeps_place() && second.keeps_place() && first.keeps_place());
            assert_eq!(admit(&admission, Class::Client, "1.1.1.4:1").unwrap_err(), Overload::Connections);
            // Of an address that has no more places it is one of its own.
            second.may_give_way(&second_stream);
            drop(first);
            let _more = admit(&admission, Class::Client, "1.1.1.2:3").unwrap();
            let mut newcomer = admit(&admission, Class::Client, "1.1.1.2:4").unwrap();
            assert!(gave_way(&mut newcomer, &second_stream));
            assert_eq!(admission.open.lock().displaced, 2);
            drop((second, third));
            let open = admission.open.lock();
            assert_eq!((open.clients, open.displaced, open.by_address.len()), (3, 0, 2));
        }

        #[test]
        fn no_more_give_way_than_can_end() {
            let admission = Admission::default();
            let mut gone = Vec::new();
            let (mut last, _) = idle(&admission, "1.1.1.1:1");
            let _full =
                [2, 3].map(|host| admit(&admission, Class::Client, &format!("1.1.1.{host}:1")).unwrap());
            for _ in 0..DISPLACED_MAX {
                let (mut newcomer, _) = idle(&admission, "1.1.1.1:1");
                assert!(newcomer.take_displaced().is_some());
                gone.push(std::mem::replace(&mut last, newcomer));
            }
            assert_eq!(admit(&admission, Class::Client, "1.1.1.4:1").unwrap_err(), Overload::Connections);
            gone.pop();
            assert!(admit(&admission, Class::Client, "1.1.1.4:1").is_ok());
        }

        fn peer<'a>(admission: &'a Admission, from: &str) -> (Admitted<'a>, Arc<Stream>) {
            let (mut admitted, stream) = (admit(admission, Class::Peer, from).unwrap(), stream());
            admitted.may_give_way(&stream);
            (admitted, stream)
        }

        #[test]
        fn strangers_give_way_to_each_other_and_leave_a_neighbour_its_places() {
            let admission = Admission::default();
            admission.neighbours.found(0, &["1.1.1.1:12650".parse().unwrap()]);
            let (mut neighbour, neighbour_stream) = peer(&admission, "1.1.1.1:1");
            let mut strangers = Vec::new();
            for port in 0..1_000 {
                let next = peer(&admission, &format!("2.2.{}.{}:1", port / 256, port % 256));
                strangers.push(next);
                if strangers.len() > 2 {
                    let (mut oldest, stream) = strangers.remove(0);
                    assert!(gave_way(&mut strangers[1].0, &stream) && !oldest.keeps_place());
                }
            }
            assert!(neighbour.keeps_place());
            // Others come from its own address: the newest keep their places, and it is the oldest of the rest.
            let mut same: Vec<_> = (2..6).map(|port| peer(&admission, &format!("1.1.1.1:{port}"))).collect();
            assert!(gave_way(&mut same[3].0, &neighbour_stream) && !neighbour.keeps_place());
            // It has said hello too late, and must come again.
            neighbour.authenticated();
            let mut again = admit(&admission, Class::Peer, "1.1.1.1:6").unwrap();
            assert!(gave_way(&mut again, &strangers[0].1));
            drop((neighbour, strangers, same, again));
            let open = admission.open.lock();
            assert_eq!((open.unauthenticated.len(), open.displaced), (0, 0));
        }
    }
}
