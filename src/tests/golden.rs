//! The golden transcripts against servers in threads of this process.

use std::collections::BTreeMap;

use super::harness::{TestServer, catalogue, herd};
use super::transcripts::run::{Herd, run};
use super::transcripts::sockets::{Addresses, Connection};
use super::transcripts::{each_transcript, format::Transcript, transcript};
use crate::config;

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let transcript = transcript(stringify!($name)).unwrap();
            for piece_bytes in [usize::MAX, 5] {
                let held = run(&transcript, &mut Threads::start(&transcript), piece_bytes);
                held.unwrap_or_else(|why| panic!("{}.txt:{why}", stringify!($name)));
            }
        }
    )*};
}
each_transcript!(tests);

/// A herd in this process.
struct Threads {
    herd: config::Herd,
    servers: BTreeMap<String, TestServer>,
    addresses: Addresses,
}

impl Threads {
    fn start(transcript: &Transcript) -> Threads {
        let names: Vec<&str> = transcript.servers.iter().map(String::as_str).collect();
        let links: Vec<_> = transcript.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let herd = herd(&names, &links, true);
        let start = |name: &&str| ((*name).to_owned(), TestServer::start(&herd, name, catalogue()));
        let servers: BTreeMap<_, _> = names.iter().map(start).collect();
        let addresses = Addresses::new(servers.iter().map(|(name, server)| (name.clone(), server.clients)));
        Threads { herd, servers, addresses }
    }
}

impl Herd for Threads {
    type Talk = Connection;

    fn connect(&mut self, server: &str) -> Result<Connection, String> {
        self.addresses.connect(server)
    }

    fn connect_as_peer(&mut self, server: &str) -> Result<Connection, String> {
        let server = self.servers.get(server).ok_or_else(|| format!("{server} is dead"))?;
        Connection::to(server.peers)
    }

    fn ask_again(&mut self, times: u64) -> bool {
        self.addresses.ask_again(times)
    }

    /// Threads cannot be killed, so the server is stopped.
    fn kill(&mut self, server: &str) -> Result<(), String> {
        self.servers.remove(server).map(TestServer::stop).ok_or_else(|| format!("{server} is dead"))
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        self.servers.insert(server.to_owned(), TestServer::start(&self.herd, server, catalogue()));
        Ok(())
    }
}
