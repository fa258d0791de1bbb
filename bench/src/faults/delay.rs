//! Every packet between servers held back for a while: a thread in the namespace of each server reads the kernel's
//! queue of packets and lets each go when its time has come.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope};
use std::time::Duration;

use crossbeam_channel::Sender;
use nfq::{Queue, Verdict};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespace::{OWN_FOLDER, is_installed};
use super::network::{Network, SERVERS_NET, command, within};
use crate::load::clock;

/// The queue's number within its namespace.
const QUEUE: u16 = 0;

/// Packets of one server that may be held back; the kernel drops more, as a full router would. It is ten times what
/// the servers send in the delay.
const HELD_PACKETS_MAX: u32 = 8_192;

/// Bytes of each packet that are shown to us: the least that is possible, for only its time matters.
const SHOWN_BYTES: u16 = 64;

/// Between two looks at the queue: the grain of the delay.
const LOOK: Duration = Duration::from_millis(1);

/// Whether this machine can do it.
///
/// # Errors
/// If not; the sentence says what is missing.
pub(super) fn probe(network: &Network) -> Result<(), String> {
    if !is_installed("iptables") {
        return Err("install what is missing: `iptables` (package iptables)".to_owned());
    }
    let name = network.herd.members()[0].name.as_str();
    rule(name, "-A").and_then(|()| rule(name, "-D"))
}

/// Delays every packet that a server sends to another, until `over`; then [`end`] must be called. Returns when all
/// packets are delayed.
///
/// # Errors
/// If the system refuses; the sentence says what.
pub(super) fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    network: &'scope Network,
    wait: Duration,
    over: &'scope AtomicBool,
) -> Result<(), String> {
    for member in network.herd.members() {
        let name = member.name.as_str();
        let (ready, is_ready) = crossbeam_channel::bounded(1);
        let hold = move || hold(name, wait, over, &ready);
        let spawned = Builder::new().name(format!("delay-{name}")).spawn_scoped(scope, hold);
        spawned.map_err(|error| format!("no thread: {error}"))?;
        match is_ready.recv() {
            Ok(Ok(())) => rule(name, "-A")?,
            Ok(Err(error)) => return Err(format!("the packet queue of {name} cannot be read: {error}")),
            Err(_) => return Err(format!("the reader of the packet queue of {name} has ended")),
        }
    }
    Ok(())
}

/// Sends nothing through the queues any more.
///
/// # Errors
/// If the system refuses; the sentence says what.
pub(super) fn end(network: &Network) -> Result<(), String> {
    network.herd.members().iter().try_for_each(|member| rule(member.name.as_str(), "-D"))
}

/// Adds (`-A`) or removes (`-D`) the rule by which packets are queued; without a reader they pass.
fn rule(name: &str, how: &str) -> Result<(), String> {
    let queue = QUEUE.to_string();
    let [program, words @ ..] = within(name);
    let rule = ["iptables", "-w", how, "OUTPUT", "-d", SERVERS_NET, "-j", "NFQUEUE"];
    let queue = ["--queue-num", &queue, "--queue-bypass"];
    command(program, &[&words[..], &rule[..], &queue[..]].concat())
}

fn hold(name: &str, wait: Duration, over: &AtomicBool, ready: &Sender<io::Result<()>>) {
    let mut queue = match open(name) {
        Ok(queue) => {
            // The other end waits for it.
            let _ = ready.send(Ok(()));
            queue
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let mut held = VecDeque::new();
    loop {
        let now_ns = clock::monotonic_ns();
        if !over.load(Ordering::Relaxed) {
            // Whatever error this ends with, the next look comes soon.
            while let Ok(packet) = queue.recv() {
                held.push_back((now_ns + clock::ns(wait), packet));
            }
        } else if held.is_empty() {
            return;
        }
        while held.front().is_some_and(|(due_ns, _)| *due_ns <= now_ns) {
            let Some((_, mut packet)) = held.pop_front() else { break };
            packet.set_verdict(Verdict::Accept);
            // A packet that cannot be let go is lost, which networks are free to do.
            let _ = queue.verdict(packet);
        }
        std::thread::sleep(LOOK);
    }
}

/// Moves this thread into the namespace of a server for good, and opens its queue.
fn open(name: &str) -> io::Result<Queue> {
    let namespace = File::open(format!("{OWN_FOLDER}/netns/{name}"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_copy_range(QUEUE, SHOWN_BYTES)?;
    queue.set_queue_max_len(QUEUE, HELD_PACKETS_MAX)?;
    // One notice may stand for many packets; a packet of the kernel's own making need not be cut up for us.
    queue.set_recv_gso(QUEUE, true)?;
    queue.set_recv_enobufs(false)?;
    queue.set_nonblocking(true);
    Ok(queue)
}
