//! A herd of ours and of others: they speak the classic dialect, and we speak it to them.
//!
//! ```text
//! Alford (ours) ---- Bolden (ours)
//!    |                  |
//! Hamilton (classic) - Parker (classic)
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use proxyherd::config::{Herd, Member};
use proxyherd::proto::model::name::ServerName;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::herd::{Process, Variant};
use crate::talk::Talk;
use crate::talk::eventually;
use crate::threaded::threaded_server;

const OURS: [&str; 2] = ["Alford", "Bolden"];
const THEIRS: [&str; 2] = ["Hamilton", "Parker"];
const LINKS: [(&str, &str); 4] =
    [("Alford", "Bolden"), ("Alford", "Hamilton"), ("Bolden", "Parker"), ("Hamilton", "Parker")];

/// They run until it is dropped.
struct Mixed {
    herd: Herd,
    ours: Vec<Child>,
    theirs: Vec<Process>,
    _folder: TempDir,
}

impl Mixed {
    fn start(variants: [Variant; 2]) -> Mixed {
        let ours = OURS.map(|our| Member::herd(name(our), free_address(), free_address()));
        let theirs = THEIRS.map(|their| Member::legacy(name(their), home_address()));
        let links = LINKS.iter().map(|(a, b)| (name(a), name(b))).collect();
        let herd = Herd::new(ours.into_iter().chain(theirs).collect(), links, true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("herd.toml"), proxyherd::config::to_toml(&herd)).unwrap();
        let ours = OURS.map(|our| serve(folder.path(), our)).into_iter().collect();
        let theirs = THEIRS.iter().zip(variants).map(|(their, variant)| {
            let neighbours: Vec<String> = herd
                .neighbours(&name(their))
                .into_iter()
                .map(|member| format!("{}={}", member.name, member.client))
                .collect();
            Process::start(variant, their, herd.member(their).unwrap().client.resolve().unwrap(), &neighbours)
        });
        let theirs = theirs.collect();
        let mixed = Mixed { herd, ours, theirs, _folder: folder };
        OURS.iter().chain(&THEIRS).for_each(|server| mixed.wait_until_ready(server));
        mixed
    }

    fn wait_until_ready(&self, server: &str) {
        let address = self.address(server);
        eventually(&format!("{server} is ready"), || TcpStream::connect(address).ok());
    }

    fn address(&self, server: &str) -> SocketAddr {
        self.herd.member(server).unwrap().client.resolve().unwrap()
    }

    fn talk(&self, server: &str) -> Talk {
        Talk::with(self.address(server))
    }

    /// Waits until these servers answer with this `AT` line.
    fn wait_for(&self, servers: &[&str], client: &str, line: &str) {
        for server in servers {
            let mut talk = self.talk(server);
            eventually(&format!("{line} at {server}"), || {
                let answer = talk.ask(&format!("WHATSAT {client} 10 1"));
                if answer.starts_with("AT ") {
                    talk.json();
                }
                (answer == line).then_some(())
            });
        }
    }
}

impl Drop for Mixed {
    fn drop(&mut self) {
        for our in &mut self.ours {
            our.kill().unwrap();
            our.wait().unwrap();
        }
    }
}

fn serve(folder: &Path, server: &str) -> Child {
    Command::new(threaded_server(env!("CARGO_BIN_EXE_tokio")))
        .args(["serve", server, "--herd", "herd.toml", "--log-level", "warn"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// A free address on the one host that connections to loopback come from: a classic neighbour is known by it.
fn home_address() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).into()).unwrap();
    socket.local_addr().unwrap().as_socket().unwrap()
}

pub(crate) fn every_server_knows_what_any_was_told(variants: [Variant; 2]) {
    let mixed = Mixed::start(variants);
    let all = [OURS, THEIRS].concat();
    for (at, server) in all.iter().enumerate() {
        let client = format!("client-{at}");
        let line = mixed.talk(server).ask(&format!("IAMAT {client} +34.0689300-118.445127 162146482{at}.50"));
        assert!(line.starts_with(&format!("AT {server} +")), "{line}");
        mixed.wait_for(&all, &client, &line);
    }
    let later = mixed.talk("Parker").ask("IAMAT client-0 +1+1 1621464900");
    mixed.wait_for(&all, "client-0", &later);
    let latest = mixed.talk("Alford").ask("IAMAT client-0 +2+2 1621464900.000000001");
    mixed.wait_for(&all, "client-0", &latest);
}

pub(crate) fn a_classic_neighbour_that_was_away_is_told_what_it_missed(variants: [Variant; 2]) {
    let mut mixed = Mixed::start(variants);
    let first = mixed.talk("Alford").ask("IAMAT kiwi +1+1 5");
    mixed.wait_for(&[OURS, THEIRS].concat(), "kiwi", &first);
    mixed.theirs[0].stop();
    let missed = mixed.talk("Bolden").ask("IAMAT kiwi +2+2 6");
    mixed.wait_for(&["Alford", "Bolden", "Parker"], "kiwi", &missed);
    mixed.theirs[0].start_again();
    mixed.wait_until_ready("Hamilton");
    mixed.wait_for(&["Hamilton"], "kiwi", &missed);
}

/// Only its address makes a classic neighbour; a process elsewhere is a client, and is not believed.
pub(crate) fn a_stranger_elsewhere_is_not_believed(variants: [Variant; 2]) {
    let mixed = Mixed::start(variants);
    let forged = "AT Hamilton +0.5 mallory +1+1 5";
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 9, 9, 9], 0)).into()).unwrap();
    socket.connect(&mixed.address("Alford").into()).unwrap();
    let mut stranger = Talk::over(socket.into());
    assert_eq!(stranger.ask(forged), format!("? {forged}"));
    // From where the classic neighbours are it is believed, whichever process says it; and it is not answered.
    let mut neighbour = mixed.talk("Alford");
    neighbour.send(format!("{forged}\r\n"));
    assert_eq!(neighbour.ask("x"), "? x");
    mixed.wait_for(&[OURS, THEIRS].concat(), "mallory", forged);
    // Equal times are no news from there, for some rewrite what they pass on.
    neighbour.send("AT Parker +9.5 mallory +1+1 5 Parker\n");
    assert_eq!(neighbour.ask("x"), "? x");
    mixed.wait_for(&OURS, "mallory", forged);
}
