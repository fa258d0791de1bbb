//! What a link costs that was cut for a while: what changed meanwhile, and not what was known before.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::free_address::free_address;
use super::harness::{Talk, TestServer, catalogue, config, eventually};
use crate::config::{Herd, Member};
use crate::proto::model::name::ServerName;

/// The clients that are known when the link is cut, and those that change meanwhile.
const CLIENTS: usize = 5_000;
const CHANGED: usize = 1_000;

/// Says how many clients to begin with, for those who have more time.
const CLIENTS_VARIABLE: &str = "PROXYHERD_RESEND_CLIENTS";

/// Lines of a client that are on their way at once.
const WINDOW: usize = 500;

/// Passes on what one server says to another, until it is cut.
struct Relay {
    listener: TcpListener,
    to: SocketAddr,
    open: AtomicBool,
    stopping: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    at_lines: AtomicUsize,
    connections: AtomicUsize,
}

impl Relay {
    fn to(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Relay {
            listener,
            to,
            open: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            sockets: Mutex::default(),
            at_lines: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    fn run(&self) {
        thread::scope(|scope| {
            for caller in self.listener.incoming() {
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                let caller = caller.unwrap();
                if !self.open.load(Ordering::Acquire) {
                    continue;
                }
                // As long as no server listens there, connections here end at once.
                let Ok(callee) = TcpStream::connect(self.to) else { continue };
                self.connections.fetch_add(1, Ordering::AcqRel);
                let clones = || [caller.try_clone().unwrap(), callee.try_clone().unwrap()];
                self.sockets.lock().extend(clones());
                let [back_to, back_from] = clones();
                scope.spawn(move || self.copy(&back_from, &back_to, false));
                scope.spawn(move || self.copy(&caller, &callee, true));
            }
        });
    }

    fn copy(&self, mut from: &TcpStream, mut to: &TcpStream, counts: bool) {
        let (mut bytes, mut begins) = (vec![0; 64 * 1024], true);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let passed = &bytes[..count];
            if counts {
                // Every line that begins with an A is an `AT` line: the others have words of other letters.
                let follows = passed.windows(2).filter(|pair| *pair == b"\nA").count();
                let first = usize::from(begins && passed[0] == b'A');
                self.at_lines.fetch_add(follows + first, Ordering::AcqRel);
                begins = passed.ends_with(b"\n");
            }
            if to.write_all(passed).is_err() {
                break;
            }
        }
        for socket in [from, to] {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn cut(&self) {
        self.open.store(false, Ordering::Release);
        for socket in self.sockets.lock().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn heal(&self) {
        self.open.store(true, Ordering::Release);
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.cut();
        drop(TcpStream::connect(self.listener.local_addr().unwrap()));
    }
}

/// Reports many clients, with at most `WINDOW` reports on their way at once.
fn report(talk: &mut Talk, clients: usize, time: u32) {
    for first in (0..clients).step_by(WINDOW) {
        let some = first..clients.min(first + WINDOW);
        let lines: String =
            some.clone().map(|client| format!("IAMAT client-{client} +1+1 {time}\n")).collect();
        talk.send(lines);
        some.for_each(|_| assert!(talk.line().starts_with("AT ")));
    }
}

fn knows(talk: &mut Talk, client: usize, time: u32) -> bool {
    let answer = talk.ask(&format!("WHATSAT client-{client} 1 1"));
    let known = answer.starts_with("AT ");
    if known {
        talk.json();
    }
    known && answer.ends_with(&format!(" {time}"))
}

#[test]
fn a_link_that_was_cut_carries_what_changed_meanwhile() {
    let clients = std::env::var(CLIENTS_VARIABLE).map_or(CLIENTS, |text| text.parse().unwrap());
    let name = |text| ServerName::parse(text).unwrap();
    let [alford, bolden] =
        ["Alford", "Bolden"].map(|n| Member::herd(name(n), free_address(), free_address()));
    let relay = Relay::to(bolden.peer.resolve().unwrap());
    let behind_relay = Member { peer: relay.listener.local_addr().unwrap().into(), ..bolden.clone() };
    let herd_with = |bolden: Member| {
        Herd::new(vec![alford.clone(), bolden], vec![(name("Alford"), name("Bolden"))], true).unwrap()
    };
    thread::scope(|scope| {
        scope.spawn(|| relay.run());
        let near = TestServer::with(&config(&herd_with(behind_relay), "Alford"), catalogue());
        let far = TestServer::with(&config(&herd_with(bolden.clone()), "Bolden"), catalogue());
        let (mut at_near, mut at_far) = (near.client(), far.client());
        report(&mut at_near, clients, 1);
        eventually("the far server knows all", || knows(&mut at_far, clients - 1, 1).then_some(()));
        eventually("every line has passed", || {
            (relay.at_lines.load(Ordering::Acquire) >= clients).then_some(()) //
        });
        // What is acknowledged by the next beat is not sent again. Without it up to 64 lines would be.
        relay.cut();
        let before = relay.at_lines.load(Ordering::Acquire);
        report(&mut at_near, CHANGED, 2);
        let connections = relay.connections.load(Ordering::Acquire);
        relay.heal();
        eventually("the far server has caught up", || knows(&mut at_far, CHANGED - 1, 2).then_some(()));
        assert!(relay.connections.load(Ordering::Acquire) > connections);
        let again = relay.at_lines.load(Ordering::Acquire) - before;
        let _ = writeln!(
            std::io::stderr(),
            "{clients} clients, {CHANGED} changed: {again} lines were sent when the link was back"
        );
        assert!((CHANGED..2 * CHANGED).contains(&again), "{again} lines for {CHANGED} that changed");
        near.stop();
        far.stop();
        relay.stop();
    });
}
