//! A neighbour of a server that comes again and again, as after lost connections, and how long it takes to get in.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxyherd::config::Member;
use proxyherd::proto::model::epoch::Epoch;
use proxyherd::proto::peering::grammar::Greeting;

use super::probe::Probe;
use crate::load::clock;
use crate::suite::propagation::Conversation;

/// Between two attempts, as a server begins them.
const ATTEMPT_EVERY: Duration = Duration::from_millis(25);

/// How long it tries to get in.
const TRIES_FOR: Duration = Duration::from_secs(10);

/// From one visit to the next.
const VISIT_EVERY: Duration = Duration::from_millis(100);

/// Visits `server` as `neighbour`, from its address, until all is over.
pub(crate) fn visits(server: &Member, neighbour: &Member, is_over: &AtomicBool) -> Vec<Probe> {
    let mut visits = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let began_ns = clock::monotonic_ns();
        let entered = loop {
            match enter(server, neighbour) {
                Err(_) if clock::monotonic_ns() < began_ns + clock::ns(TRIES_FOR) => {
                    thread::sleep(ATTEMPT_EVERY);
                }
                entered => break entered,
            }
        };
        visits.push(Probe::over(began_ns, entered));
        thread::sleep(VISIT_EVERY);
    }
    visits
}

/// Becomes a neighbour in a herd without a secret, and leaves.
fn enter(server: &Member, neighbour: &Member) -> io::Result<()> {
    let source = match neighbour.peer.resolve()?.ip() {
        IpAddr::V4(source) => source,
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    let mut conversation = Conversation::from(source, server.peer.resolve()?)?;
    let (from, to) = (neighbour.name.clone(), server.name.clone());
    let mut hello = Vec::new();
    Greeting { from, to, epoch: Some(Epoch(1)) }.push_to(&mut hello);
    let hello = String::from_utf8_lossy(&hello).into_owned();
    for (line, answer) in [(hello.as_str(), "HELLO "), ("READY\n", "WELCOME ")] {
        if !conversation.tell(line)?.starts_with(answer.as_bytes()) {
            return Err(conversation.odd());
        }
    }
    Ok(())
}
