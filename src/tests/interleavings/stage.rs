//! What the scenarios play on: the herd Alford – Bolden – Hamilton – Classic, of which each starts the servers that it
//! needs, or a member with its connections and links.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::model::{TcpListener, TcpStream};
use crate::config::{self, Address, Config, Durability, Herd, JournalOptions};
use crate::frontend::page::Pages;
use crate::frontend::protocol::Protocol;
use crate::frontend::sessions::Sessions;
use crate::frontend::{self, connection};
use crate::journal::{Disk, RealDisk};
use crate::member::finder::Finder;
use crate::member::watchers::Watchers;
use crate::member::{Member, recover};
use crate::net::accept::{Accepted, Door};
use crate::net::admission::{Admission, Class};
use crate::net::gate::Gate;
use crate::net::listen::Output;
use crate::net::shutdown::OpenStreams;
use crate::net::whereabouts::Whereabouts;
use crate::os::sync::{RwLock, bounded};
use crate::peering::neighbour::{Neighbour, Shared};
use crate::places::PlacesProvider;
use crate::proto::model::name::ServerName;
use crate::proto::peering::frames::WEAR;
use crate::server::Server;
use crate::tests::free_address::free_address;
use crate::tests::harness;

/// A herd with addresses of its own.
pub(super) struct Stage {
    herd: Herd,
    places: Arc<dyn PlacesProvider>,
}

/// A member with its connections and links, without a server around them: no port is open, and no thread runs.
pub(super) struct Unserved {
    pub(super) member: Member,
    finder: Finder,
    herd: RwLock<Arc<Herd>>,
    watchers: Watchers,
    gate: Gate,
    dialling: OpenStreams,
    live: OpenStreams,
    neighbours: Vec<Address>,
    legacy: Whereabouts,
    pages: Pages,
}

impl Stage {
    pub(super) fn new() -> Stage {
        let name = |text| ServerName::parse(text).unwrap();
        let member = |text| config::Member::herd(name(text), free_address(), free_address());
        let legacy = config::Member::legacy(name("Classic"), free_address());
        let members = vec![member("Alford"), member("Bolden"), member("Hamilton"), legacy];
        let links = [("Alford", "Bolden"), ("Bolden", "Hamilton"), ("Hamilton", "Classic")];
        let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
        let herd = Herd::new(members, links, true).unwrap();
        Stage { herd, places: harness::catalogue() }
    }

    pub(super) fn config(&self, name: &str) -> Config {
        harness::config(&self.herd, name)
    }

    /// A server of the herd that does not run yet.
    pub(super) fn server(&self, name: &str) -> Server {
        Server::bind(&self.config(name), Arc::clone(&self.places)).unwrap()
    }

    /// A member of the herd with a journal in this folder, on this disk.
    pub(super) fn durable_member(
        &self,
        name: &str,
        durability: Durability,
        dir: &Path,
        disk: Arc<dyn Disk>,
    ) -> Member {
        let journal = JournalOptions { durability, dir: dir.to_owned() };
        self.member(&Config { journal, ..self.config(name) }, disk)
    }

    /// A member of the herd, with its connections and links.
    pub(super) fn unserved(&self, name: &str) -> Unserved {
        let config = self.config(name);
        Unserved {
            member: self.member(&config, Arc::new(RealDisk)),
            finder: Finder::default(),
            herd: RwLock::new(Arc::new(config.herd.clone())),
            watchers: Watchers::new(1),
            neighbours: config.herd.neighbours(&config.name).iter().map(|it| it.peer.clone()).collect(),
            legacy: Whereabouts::default(),
            gate: Gate::new(config.limits, Admission::default(), Vec::new(), Box::new(|_, _| ())),
            dialling: OpenStreams::default(),
            live: OpenStreams::default(),
            pages: Pages::new(&config.map, false, false),
        }
    }

    /// The peer port of a server that the scenario plays.
    pub(super) fn peer_port(&self, name: &str) -> TcpListener {
        TcpListener::bind(self.config(name).member().peer.literal().unwrap()).unwrap()
    }

    fn member(&self, config: &Config, disk: Arc<dyn Disk>) -> Member {
        let start = recover::start(config, disk).unwrap();
        Member::new(start, Arc::clone(&self.places), &config.limits)
    }
}

impl Unserved {
    /// A conversation with a client at the other end of this connection.
    pub(super) fn converse(&self, socket: TcpStream) {
        let Unserved { member, finder, gate, pages, .. } = self;
        let from: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
        let door = Door { protocol: Protocol::Line, class: Class::Client, tls: None };
        let admitted = gate.admission.admit(door.class, from, &gate.limits).unwrap();
        let stream = Arc::new(socket);
        let registered = gate.open.register(&stream);
        let output = Output::shared_out(gate.limits.output_bytes_max);
        let (herd, watchers) = (&self.herd, &self.watchers);
        let (stop, _) = bounded(1);
        let shared = connection::Shared {
            member,
            finder,
            herd,
            watchers,
            gate,
            output,
            legacy: &self.legacy,
            access: None,
            keys: None,
            base_path: "",
            pages,
            stop: &stop,
            sessions: &Sessions::default(),
        };
        frontend::serve(
            &shared,
            Box::new(Accepted { door, stream, tls: None, from, is_proxied: false, admitted, registered }),
        );
    }

    /// The neighbour with this index, whose link follows the change log from now on.
    pub(super) fn neighbour(&self, index: usize) -> Neighbour<'_> {
        let Unserved { member, gate, dialling, live, neighbours, legacy, .. } = self;
        let peers = &gate.admission.neighbours;
        let shared = Shared { member, conversations: &gate.open, dialling, live, wear: WEAR, peers, legacy };
        Neighbour::new(shared, index, neighbours[index].clone())
    }
}

/// Reports these clients one after the other, and returns those that were acknowledged.
pub(super) fn report(socket: TcpStream, clients: &[&'static str]) -> Vec<&'static str> {
    let mut acknowledged = Vec::new();
    for &client in clients {
        let line = format!("IAMAT {client} +34.068930-118.445127 1621464827.959498503\n");
        let mut reply = [0; 256];
        let replied = (&socket).write_all(line.as_bytes()).and_then(|()| (&socket).read(&mut reply));
        match replied {
            Ok(1..) => assert!(reply.starts_with(b"AT ")),
            Ok(0) | Err(_) => break,
        }
        acknowledged.push(client);
    }
    acknowledged
}
