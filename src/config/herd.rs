//! The herd: its members, their addresses, and the links between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::address::Address;
use super::error::{AddressUse, ConfigError, Purpose};
use super::limits::{CLOCK_LEAD_SUGGESTED, EXPIRE_AFTER_SUGGESTED, SERVERS_MAX};
use crate::proto::model::name::ServerName;
use crate::proto::node::Dialect;

/// The first port of each kind in the built-in herd; the others follow by name.
const BUILT_IN_CLIENT_PORT: u16 = 12_550;
const BUILT_IN_PEER_PORT: u16 = 12_650;
const BUILT_IN_HTTP_PORT: u16 = 12_750;
const BUILT_IN_MQTT_PORT: u16 = 12_850;
const BUILT_IN_SERVERS: [&str; 5] = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];
const BUILT_IN_LINKS: [(&str, &str); 5] = [
    ("Alford", "Parker"),
    ("Alford", "Powell"),
    ("Bolden", "Parker"),
    ("Bolden", "Powell"),
    ("Hamilton", "Parker"),
];

/// One server of the herd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, the only one of its kind in the herd.
    pub name: ServerName,
    /// The address for clients.
    pub client: Address,
    /// The address for the other servers; equal to `client` for one of the legacy dialect.
    pub peer: Address,
    /// The address for HTTP, if it is spoken.
    pub http: Option<Address>,
    /// The address for clients that encrypt, if there is one.
    pub client_tls: Option<Address>,
    /// The address for HTTP in TLS, if there is one.
    pub https: Option<Address>,
    /// The address for MQTT, if it is spoken.
    pub mqtt: Option<Address>,
    /// The address for MQTT in TLS, if there is one.
    pub mqtts: Option<Address>,
    /// Where it listens, if that is not where others reach it.
    pub bound: BTreeMap<Purpose, SocketAddr>,
    /// The dialect in which the other servers talk to it.
    pub dialect: Dialect,
}

impl Member {
    /// One of our own kind.
    pub fn herd(name: ServerName, client: impl Into<Address>, peer: impl Into<Address>) -> Member {
        Member {
            name,
            client: client.into(),
            peer: peer.into(),
            http: None,
            client_tls: None,
            https: None,
            mqtt: None,
            mqtts: None,
            bound: BTreeMap::new(),
            dialect: Dialect::Herd,
        }
    }

    /// An implementation of the original protocol.
    pub fn legacy(name: ServerName, client: impl Into<Address>) -> Member {
        let client = client.into();
        Member { dialect: Dialect::Legacy, ..Member::herd(name, client.clone(), client) }
    }

    /// Where others reach it for this, if they do. One of the legacy dialect has no address of its own for peers.
    pub fn address(&self, purpose: Purpose) -> Option<&Address> {
        match purpose {
            Purpose::Client => Some(&self.client),
            Purpose::Peer => Some(&self.peer).filter(|_| self.dialect == Dialect::Herd),
            Purpose::Http => self.http.as_ref(),
            Purpose::Mqtt => self.mqtt.as_ref(),
            Purpose::ClientTls => self.client_tls.as_ref(),
            Purpose::Https => self.https.as_ref(),
            Purpose::Mqtts => self.mqtts.as_ref(),
        }
    }

    /// Where it listens for this, if it does: where others reach it, unless the herd file says otherwise.
    pub fn listens(&self, purpose: Purpose) -> Option<(AddressUse, Address)> {
        let reached = self.address(purpose)?;
        let bound = self.bound.get(&purpose);
        let address = bound.map_or_else(|| reached.clone(), |bound| Address::Ip(*bound));
        Some((self.usage(purpose, bound.is_some()), address))
    }

    /// All addresses where others reach it, each with its use.
    pub fn addresses(&self) -> impl Iterator<Item = (AddressUse, &Address)> {
        Purpose::ALL
            .into_iter()
            .filter_map(|it| self.address(it).map(|address| (self.usage(it, false), address)))
    }

    /// An address where TLS is spoken, if there is one.
    pub fn tls_address(&self) -> Option<(AddressUse, &Address)> {
        let is_tls = |purpose| matches!(purpose, Purpose::ClientTls | Purpose::Https | Purpose::Mqtts);
        self.addresses().find(|(whose, _)| is_tls(whose.purpose))
    }

    fn usage(&self, purpose: Purpose, is_bound: bool) -> AddressUse {
        AddressUse { server: self.name.clone(), purpose, is_bound }
    }
}

/// A herd that has been checked: 1 to [`SERVERS_MAX`] members with names and addresses of their own, each
/// of which can reach every other over the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Herd {
    members: Vec<Member>,
    links: Vec<(ServerName, ServerName)>,
    /// Whether a server that returns is told what it missed.
    pub catch_up: bool,
    /// After so long without a report a client is dropped; `None` if it never is.
    pub expire_after: Option<Duration>,
    /// How far a client's clock may be ahead; `None` if any time is taken, as in the original protocol.
    pub clock_lead_max: Option<Duration>,
}

impl Herd {
    /// The herd that needs no file: five servers and five links, on the loopback interface.
    pub fn built_in() -> Herd {
        let name = |text| ServerName::parse(text).expect("the built-in names follow the rule");
        let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let members = BUILT_IN_SERVERS.iter().zip(0..).map(|(server, n)| {
            let member = Member::herd(name(server), at(BUILT_IN_CLIENT_PORT + n), at(BUILT_IN_PEER_PORT + n));
            let (http, mqtt) = (at(BUILT_IN_HTTP_PORT + n), at(BUILT_IN_MQTT_PORT + n));
            Member { http: Some(http.into()), mqtt: Some(mqtt.into()), ..member }
        });
        let links = BUILT_IN_LINKS.iter().map(|(a, b)| (name(a), name(b)));
        Herd::new(members.collect(), links.collect(), true).expect("a test checks the built-in herd")
    }

    /// The built-in herd with what a herd of one's own should have: clients expire, and clocks may not be far ahead.
    pub fn suggested() -> Herd {
        let (expire_after, clock_lead_max) = (Some(EXPIRE_AFTER_SUGGESTED), Some(CLOCK_LEAD_SUGGESTED));
        Herd { expire_after, clock_lead_max, ..Herd::built_in() }
    }

    /// Checks the parts and puts them in order. Neither the order of `members` nor the direction of a link
    /// means anything.
    pub fn new(
        mut members: Vec<Member>,
        mut links: Vec<(ServerName, ServerName)>,
        catch_up: bool,
    ) -> Result<Herd, ConfigError> {
        if members.is_empty() {
            return Err(ConfigError::Empty);
        }
        if members.len() > SERVERS_MAX {
            return Err(ConfigError::TooManyServers { count: members.len() });
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(ConfigError::DuplicateName(pair[0].name.clone()));
        }
        check_addresses(&members)?;

        for (a, b) in &mut links {
            if a > b {
                std::mem::swap(a, b);
            }
        }
        links.sort();
        let herd = Herd { members, links, catch_up, expire_after: None, clock_lead_max: None };
        herd.check_links()?;
        Ok(herd)
    }

    /// All servers, sorted by name.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The server of that name, if it is one of the herd.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.index(name).map(|at| &self.members[at])
    }

    /// Like [`Herd::member`], with an error that lists the names there are.
    pub fn known(&self, name: &str) -> Result<&Member, ConfigError> {
        self.member(name)
            .ok_or_else(|| ConfigError::UnknownServer { name: name.to_owned(), members: self.names() })
    }

    /// All links, sorted; the first end of each is the one that sorts first.
    pub fn links(&self) -> &[(ServerName, ServerName)] {
        &self.links
    }

    /// The servers that `name` is linked to, sorted by name; none if it is not of the herd.
    pub fn neighbours(&self, name: &ServerName) -> Vec<&Member> {
        let mut found: Vec<&Member> = self
            .links
            .iter()
            .filter(|(a, b)| a == name || b == name)
            .filter_map(|(a, b)| self.member(if a == name { b } else { a }.as_str()))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()
    }

    fn names(&self) -> Vec<ServerName> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    fn check_links(&self) -> Result<(), ConfigError> {
        let mut linked_to = vec![Vec::new(); self.members.len()];
        for (a, b) in &self.links {
            let end = |name: &ServerName| {
                self.index(name.as_str()).ok_or_else(|| ConfigError::UnknownInLink {
                    from: a.to_string(),
                    to: b.to_string(),
                    unknown: name.to_string(),
                    members: self.names(),
                })
            };
            let (from, to) = (end(a)?, end(b)?);
            if from == to {
                return Err(ConfigError::SelfLink(a.clone()));
            }
            linked_to[from].push(to);
            linked_to[to].push(from);
        }
        if let Some(pair) = self.links.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicateLink(pair[0].0.clone(), pair[0].1.clone()));
        }

        let mut reached = vec![false; self.members.len()];
        reached[0] = true;
        let mut to_visit = vec![0];
        while let Some(at) = to_visit.pop() {
            for &next in &linked_to[at] {
                if !std::mem::replace(&mut reached[next], true) {
                    to_visit.push(next);
                }
            }
        }
        let (near, far): (Vec<_>, Vec<_>) = self.names().into_iter().zip(&reached).partition(|(_, it)| **it);
        if far.is_empty() {
            return Ok(());
        }
        let names = |side: Vec<(ServerName, &bool)>| side.into_iter().map(|(name, _)| name).collect();
        Err(ConfigError::Disconnected { reachable: names(near), unreachable: names(far) })
    }
}

fn check_addresses(members: &[Member]) -> Result<(), ConfigError> {
    let mut used: BTreeMap<Address, AddressUse> = BTreeMap::new();
    for member in members {
        for (whose, address) in member.addresses() {
            check_address(member, &whose, address)?;
            let canonical = address.canonical();
            if let Some(first) = used.insert(canonical.clone(), whose.clone()) {
                return Err(ConfigError::DuplicateAddress { address: canonical, first, second: whose });
            }
        }
        check_listening(member)?;
    }
    let literals = used.iter().filter_map(|(address, whose)| Some((address.literal()?, whose)));
    // Of servers that listen where they are reached, loopback addresses tell that all are on one machine.
    let at_home = |whose: &AddressUse, narrow: &SocketAddr| {
        let listens = |server: &ServerName| {
            let member = members.iter().find(|member| member.name == *server);
            member.is_some_and(|member| !member.bound.contains_key(&whose.purpose))
        };
        narrow.ip().is_loopback() && listens(&whose.server)
    };
    check_overlaps(&literals.collect(), |first, second, narrow| {
        first.server != second.server && at_home(first, narrow) && at_home(second, narrow)
    })
}

/// Whether one can dial an address, or listen on it.
fn check_address(member: &Member, whose: &AddressUse, address: &Address) -> Result<(), ConfigError> {
    let refuse = |why: &'static str| {
        Err(ConfigError::Address { whose: whose.clone(), address: address.to_string(), why })
    };
    // No other machine could find a port that the system chooses.
    if address.port() == 0 {
        return refuse("it needs a port from 1 to 65535, as in \"127.0.0.1:12550\"");
    }
    let is_dialled = match member.dialect {
        Dialect::Herd => whose.purpose == Purpose::Peer && !whose.is_bound,
        Dialect::Legacy => true,
    };
    let Some(ip) = address.literal().map(|address| address.ip()) else { return Ok(()) };
    if is_dialled && ip.to_canonical().is_unspecified() {
        return refuse(match member.dialect {
            Dialect::Herd => {
                "the other servers dial it, so it needs a name or the address of an interface, as in \
                 \"127.0.0.1:12550\"; where it listens is listen_peer"
            }
            Dialect::Legacy => {
                "the other servers dial it, so it needs a name or the address of an interface, as in \
                 \"127.0.0.1:12550\""
            }
        });
    }
    if ip.is_multicast() || is_broadcast(ip) {
        return refuse("it needs the address of a machine, and not of many, as in \"127.0.0.1:12550\"");
    }
    Ok(())
}

/// Whether a server can listen on all of its addresses at once. Those of other servers may be on other machines.
fn check_listening(member: &Member) -> Result<(), ConfigError> {
    let mut used: BTreeMap<Address, AddressUse> = BTreeMap::new();
    for (whose, address) in Purpose::ALL.into_iter().filter_map(|purpose| member.listens(purpose)) {
        check_address(member, &whose, &address)?;
        let canonical = address.canonical();
        if let Some(first) = used.insert(canonical.clone(), whose.clone()) {
            return Err(ConfigError::DuplicateAddress { address: canonical, first, second: whose });
        }
    }
    let literals = used.iter().filter_map(|(address, whose)| Some((address.literal()?, whose)));
    check_overlaps(&literals.collect(), |_, _, _| true)
}

/// An address such as 0.0.0.0 takes its port on all addresses of a machine, among them those of other uses that
/// `is_here` says are on it.
fn check_overlaps(
    used: &BTreeMap<SocketAddr, &AddressUse>,
    is_here: impl Fn(&AddressUse, &AddressUse, &SocketAddr) -> bool,
) -> Result<(), ConfigError> {
    for (wide, first) in used.iter().filter(|(wide, _)| wide.ip().is_unspecified()) {
        let overlaps = |(narrow, second): &(&SocketAddr, &&AddressUse)| {
            // One of IPv6 takes those of IPv4 too, and not the other way round.
            let is_taken = wide.is_ipv6() || narrow.is_ipv4();
            narrow != &wide && narrow.port() == wide.port() && is_taken && is_here(first, second, narrow)
        };
        if let Some((narrow, second)) = used.iter().find(overlaps) {
            let (first, second) = ((*first).clone(), (*second).clone());
            return Err(ConfigError::OverlappingAddresses { wide: *wide, first, narrow: *narrow, second });
        }
    }
    Ok(())
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(v4) if v4.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        crate::config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_legacy_server_has_a_client_address_alone() {
        let herd = |b: &str| {
            format!(
                "links = [['A', 'B']]\n[servers.A]\nclient = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n[servers.B]\n\
                 client = '127.0.0.1:3'\n{b}"
            )
        };
        let mixed = crate::config::parse(&herd("classic = true")).unwrap();
        let b = mixed.member("B").unwrap();
        assert_eq!((b.dialect, &b.peer), (Dialect::Legacy, &b.client));
        assert_eq!(crate::config::parse(&crate::config::to_toml(&mixed)).unwrap(), mixed);
        assert_eq!(
            refusal(&herd("")),
            "B has no peer address: add one, or `classic = true` if it is an implementation of the original protocol"
        );
        assert_eq!(
            refusal(&herd("classic = true\npeer = '127.0.0.1:4'")),
            "B is classic, so its neighbours talk to its client address: remove the peer address"
        );
        assert!(
            refusal(&herd("classic = true").replace("127.0.0.1:3", "0.0.0.0:3"))
                .contains("the other servers dial it")
        );
    }

    #[test]
    fn names_are_addresses_and_a_server_may_listen_elsewhere() {
        let herd = |more: &str| {
            format!(
                "links = [['A', 'B']]\n[servers.A]\nclient = 'a.example:1'\npeer = 'a.example:2'\n{more}\n[servers.B]\n\
                 client = 'b.example:1'\npeer = 'b.example.:2'\nlisten_client = '0.0.0.0:1'\nlisten_peer = '[::]:2'\n"
            )
        };
        let read =
            crate::config::parse(&herd("http = 'A.example:80'\nlisten_http = '127.0.0.1:8080'")).unwrap();
        assert_eq!(crate::config::parse(&crate::config::to_toml(&read)).unwrap(), read);
        let listens = |server: &str, purpose| {
            read.member(server)
                .unwrap()
                .listens(purpose)
                .map(|(whose, address)| format!("{} {address}", whose.key()))
        };
        assert_eq!(listens("A", Purpose::Client).unwrap(), "client a.example:1");
        assert_eq!(listens("A", Purpose::Http).unwrap(), "listen_http 127.0.0.1:8080");
        assert_eq!(listens("B", Purpose::Peer).unwrap(), "listen_peer [::]:2");
        assert_eq!(listens("B", Purpose::Http), None);
        assert!(crate::config::draw(&read).contains("A  --o"));
        for (more, why) in [
            ("listen_http = '127.0.0.1:80'", "A has listen_http and no http: add that too"),
            (
                "listen_client = 'a.example:1'",
                "the listen_client address of A is \"a.example:1\": a server listens on an IP",
            ),
            (
                "listen_client = '127.0.0.1:0'",
                "the listen_client address of A is \"127.0.0.1:0\": it needs a port",
            ),
            ("listen_client = '224.0.0.1:1'", "and not of many"),
            ("listen_client = '0.0.0.0:5'\nlisten_peer = '127.0.0.1:5'", "takes port 5 on all addresses"),
            ("listen_client = '127.0.0.1:5'\nlisten_peer = '127.0.0.1:5'", "are both 127.0.0.1:5"),
            ("http = 'A.EXAMPLE.:2'", "the peer address of A and the HTTP address of A are both a.example:2"),
            (
                "http = 'b.example:1'",
                "the HTTP address of A and the client address of B are both b.example:1",
            ),
            (
                "listen_http = 80",
                "write an IP address and a port in quotes, as in listen_http = \"127.0.0.1:80\"",
            ),
        ] {
            let refused = refusal(&herd(more));
            assert!(refused.contains(why), "{more}\n{refused}");
        }
        // Behind a translation of addresses all may listen on the same one, each on a machine of its own.
        assert!(crate::config::parse(&herd("listen_client = '0.0.0.0:1'\nlisten_peer = '[::]:2'")).is_ok());
        assert!(crate::config::parse(&herd("listen_client = '127.0.0.1:1'")).is_ok());
        let classic = herd("").replace("peer = 'a.example:2'", "classic = true\nlisten_client = '0.0.0.0:1'");
        assert!(
            refusal(&classic)
                .contains("A is classic, so nothing of ours listens there: remove its listen_client")
        );
    }
}
