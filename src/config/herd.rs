//! The herd: its members, their addresses, and the links between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::error::{AddressUse, ConfigError};
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
    pub client: SocketAddr,
    /// The address for the other servers; equal to `client` for one of the legacy dialect.
    pub peer: SocketAddr,
    /// The address for HTTP, if it is spoken.
    pub http: Option<SocketAddr>,
    /// The address for clients that encrypt, if there is one.
    pub client_tls: Option<SocketAddr>,
    /// The address for HTTP in TLS, if there is one.
    pub https: Option<SocketAddr>,
    /// The address for MQTT, if it is spoken.
    pub mqtt: Option<SocketAddr>,
    /// The address for MQTT in TLS, if there is one.
    pub mqtts: Option<SocketAddr>,
    /// The dialect in which the other servers talk to it.
    pub dialect: Dialect,
}

impl Member {
    /// One of our own kind.
    pub fn herd(name: ServerName, client: SocketAddr, peer: SocketAddr) -> Member {
        Member {
            name,
            client,
            peer,
            http: None,
            client_tls: None,
            https: None,
            mqtt: None,
            mqtts: None,
            dialect: Dialect::Herd,
        }
    }

    /// An implementation of the original protocol.
    pub fn legacy(name: ServerName, client: SocketAddr) -> Member {
        Member { dialect: Dialect::Legacy, ..Member::herd(name, client, client) }
    }

    /// The addresses beside those of `client` and `peer`, each with its use.
    pub fn optional_addresses(&self) -> Vec<(AddressUse, SocketAddr)> {
        let http = self.http.map(|address| (AddressUse::Http(self.name.clone()), address));
        let mqtt = self.mqtt.map(|address| (AddressUse::Mqtt(self.name.clone()), address));
        http.into_iter().chain(mqtt).chain(self.tls_addresses()).collect()
    }

    /// Those where TLS is spoken.
    pub fn tls_addresses(&self) -> Vec<(AddressUse, SocketAddr)> {
        let client = self.client_tls.map(|address| (AddressUse::ClientTls(self.name.clone()), address));
        let https = self.https.map(|address| (AddressUse::Https(self.name.clone()), address));
        let mqtts = self.mqtts.map(|address| (AddressUse::Mqtts(self.name.clone()), address));
        client.into_iter().chain(https).chain(mqtts).collect()
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
            Member { http: Some(http), mqtt: Some(mqtt), ..member }
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
    let mut used: BTreeMap<SocketAddr, AddressUse> = BTreeMap::new();
    for member in members {
        let client = (AddressUse::Client(member.name.clone()), member.client);
        let peer = (AddressUse::Peer(member.name.clone()), member.peer);
        let is_dialled = |whose: &AddressUse| match member.dialect {
            Dialect::Herd => matches!(whose, AddressUse::Peer(_)),
            Dialect::Legacy => true,
        };
        let all = [Some(client), (member.dialect == Dialect::Herd).then_some(peer)];
        for (whose, address) in all.into_iter().flatten().chain(member.optional_addresses()) {
            let refuse = |whose: AddressUse, why: &'static str| {
                Err(ConfigError::Address { whose, address: address.to_string(), why })
            };
            // No other machine could find a port that the system chooses.
            if address.port() == 0 {
                return refuse(whose, "it needs a port from 1 to 65535");
            }
            if is_dialled(&whose) && address.ip().is_unspecified() {
                return refuse(whose, "the other servers dial it, so it needs the address of an interface");
            }
            if address.ip().is_multicast() || is_broadcast(address.ip()) {
                return refuse(whose, "it needs the address of a machine, and not of many");
            }
            // `[::ffff:127.0.0.1]:1` and `127.0.0.1:1` cannot both be listened on.
            let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
            if let Some(first) = used.insert(canonical, whose.clone()) {
                return Err(ConfigError::DuplicateAddress { address: canonical, first, second: whose });
            }
        }
    }
    check_overlaps(&used)
}

/// An address such as 0.0.0.0 takes its port on all addresses of a machine. Servers of one herd may run on several
/// machines; but what a server has is on one, and loopback addresses tell that all is.
fn check_overlaps(used: &BTreeMap<SocketAddr, AddressUse>) -> Result<(), ConfigError> {
    for (wide, first) in used.iter().filter(|(wide, _)| wide.ip().is_unspecified()) {
        let overlaps = |(narrow, second): &(&SocketAddr, &AddressUse)| {
            let is_here = first.server() == second.server() || narrow.ip().is_loopback();
            // One of IPv6 takes those of IPv4 too, and not the other way round.
            let is_taken = wide.is_ipv6() || narrow.is_ipv4();
            narrow != &wide && narrow.port() == wide.port() && is_here && is_taken
        };
        if let Some((narrow, second)) = used.iter().find(overlaps) {
            let (first, second) = (first.clone(), second.clone());
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
        assert_eq!((b.dialect, b.peer), (Dialect::Legacy, b.client));
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
}
