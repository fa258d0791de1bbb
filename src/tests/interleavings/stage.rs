//! What the scenarios play on: the herd Alford – Bolden – Hamilton – Classic, of which each starts the servers that it
//! needs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::model::{TcpListener, TcpStream};
use crate::config::{Config, Durability, Herd, JournalOptions, Member};
use crate::places::PlacesProvider;
use crate::proto::model::name::ServerName;
use crate::server::accept::Accepted;
use crate::server::listen::Port;
use crate::server::shared::Shared;
use crate::server::{Server, conversation};
use crate::tests::free_address::free_address;
use crate::tests::harness;

/// A herd with addresses of its own.
pub(super) struct Stage {
    herd: Herd,
    places: Arc<dyn PlacesProvider>,
}

impl Stage {
    pub(super) fn new() -> Stage {
        let name = |text| ServerName::parse(text).unwrap();
        let member = |text| Member::herd(name(text), free_address(), free_address());
        let classic = Member::legacy(name("Classic"), free_address());
        let members = vec![member("Alford"), member("Bolden"), member("Hamilton"), classic];
        let links = [("Alford", "Bolden"), ("Bolden", "Hamilton"), ("Hamilton", "Classic")];
        let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
        let herd = Herd::new(members, links, true).unwrap();
        Stage { herd, places: harness::catalogue() }
    }

    pub(super) fn config(&self, name: &str) -> Config {
        harness::config(&self.herd, name)
    }

    /// A server of the herd, which nobody runs yet.
    pub(super) fn server(&self, name: &str) -> Server {
        Server::bind(&self.config(name), Arc::clone(&self.places)).unwrap()
    }

    /// The same, which keeps what it acknowledges in this folder.
    pub(super) fn server_that_keeps(&self, name: &str, dir: &Path) -> Server {
        let journal =
            JournalOptions { durability: Durability::Sync, dir: dir.to_owned(), ..Default::default() };
        let config = Config { journal, ..self.config(name) };
        Server::bind(&config, Arc::clone(&self.places)).unwrap()
    }

    /// The peer port of a server that the scenario plays.
    pub(super) fn peer_port(&self, name: &str) -> TcpListener {
        TcpListener::bind(self.config(name).member().peer).unwrap()
    }
}

/// A conversation with a client at the other end of this connection, without a server around it.
pub(super) fn converse(shared: &Shared, socket: TcpStream) {
    let from: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    let admitted = shared.admission.admit(Port::Client, from, &shared.limits).unwrap();
    let socket = Arc::new(socket);
    let registered = shared.conversations.register(&socket);
    conversation::serve(shared, Accepted { port: Port::Client, socket, from, admitted, registered });
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
