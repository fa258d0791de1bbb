//! Probes: well-behaved clients beside a fleet: fresh ones at a fixed rate, each a whole conversation, and one that
//! stays.
//!
//! Several threads take the fresh ones in turn, so that one which has to wait does not keep the others from coming.
//! A conversation that begins late because the one before it lasted too long counts from when it should have begun.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::script::{is_answer, report};
use crate::load::clock;
use crate::load::mqtt;
use crate::suite::propagation::Conversation;

/// Between two fresh clients.
const EVERY: Duration = Duration::from_millis(20);

/// Threads that are one at a time.
const THREADS: u32 = 8;

/// Between two reports of the client that stays.
const STEADY_EVERY: Duration = Duration::from_millis(50);

/// Where the first of them comes from. No fleet has these addresses.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// One report of a probe, with everything that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// When it began, or should have.
    pub(crate) began_ns: u64,
    /// Until the client was done with it.
    pub(crate) took_ns: u64,
    /// Why it was not served.
    pub(crate) trouble: Option<String>,
}

/// All visits of a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probes {
    /// Of fresh clients: connect, report, reply, close.
    pub(crate) fresh: Vec<Probe>,
    /// Of the one that stays: report, reply.
    pub(crate) steady: Vec<Probe>,
}

/// Does `work` while probes visit a server's port for lines, and that for MQTT if it has one.
pub(crate) fn beside<T>(
    lines: SocketAddr,
    mqtt: Option<SocketAddr>,
    work: impl FnOnce() -> T,
) -> (T, Probes) {
    let is_over = &AtomicBool::new(false);
    let began_ns = clock::monotonic_ns();
    thread::scope(|scope| {
        let turns: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || fresh(lines, mqtt, number, began_ns, is_over)))
            .collect();
        let steady = scope.spawn(move || steady(lines, is_over));
        // Others must end whatever happens here, or the scope would wait for them for ever.
        let _end = OnDrop(|| is_over.store(true, Ordering::Relaxed));
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        let fresh = turns.into_iter().filter_map(|turn| turn.join().ok()).flatten().collect();
        (done, Probes { fresh, steady: steady.join().unwrap_or_default() })
    })
}

fn fresh(
    lines: SocketAddr,
    mqtt: Option<SocketAddr>,
    number: u32,
    began_ns: u64,
    is_over: &AtomicBool,
) -> Vec<Probe> {
    let source = Ipv4Addr::from(u32::from(FIRST_SOURCE) + number);
    let every_ns = clock::ns(EVERY) * u64::from(THREADS);
    let mut due_ns = began_ns + clock::ns(EVERY) * u64::from(number);
    let mut probes = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let now_ns = clock::monotonic_ns();
        // How late a thread is woken is not the server's doing.
        let began_ns = match due_ns.checked_sub(now_ns) {
            Some(wait_ns) => {
                thread::sleep(Duration::from_nanos(wait_ns));
                clock::monotonic_ns()
            }
            None => due_ns,
        };
        let name = format!("probe-{number}");
        let visited = match mqtt {
            None => Conversation::from(source, lines).and_then(|mut it| report_checked(&mut it, &name)),
            Some(mqtt) => Conversation::from(source, mqtt).and_then(|mut it| publish_checked(&mut it, &name)),
        };
        probes.push(Probe::over(began_ns, visited));
        due_ns += every_ns;
    }
    probes
}

fn steady(server: SocketAddr, is_over: &AtomicBool) -> Vec<Probe> {
    let source = Ipv4Addr::from(u32::from(FIRST_SOURCE) + THREADS);
    let mut probes = Vec::new();
    let mut conversation = None;
    while !is_over.load(Ordering::Relaxed) {
        let began_ns = clock::monotonic_ns();
        let connected = conversation.take().map_or_else(|| Conversation::from(source, server), Ok);
        let reported = connected.and_then(|mut connected| {
            report_checked(&mut connected, "steady")?;
            Ok(connected)
        });
        probes.push(Probe::over(began_ns, reported.map(|open| conversation = Some(open))));
        thread::sleep(STEADY_EVERY);
    }
    probes
}

impl Probe {
    /// One that began then, is over now, and has come to this.
    pub(super) fn over(began_ns: u64, visited: io::Result<()>) -> Probe {
        let took_ns = clock::monotonic_ns().saturating_sub(began_ns);
        Probe { began_ns, took_ns, trouble: visited.err().map(|error| error.to_string()) }
    }
}

/// Reports, and checks every byte of the reply that can be known.
fn report_checked(conversation: &mut Conversation, name: &str) -> io::Result<()> {
    let report = report(name, clock::wall_ns());
    match is_answer(conversation.tell(&report)?.trim_ascii_end(), &report) {
        true => Ok(()),
        false => Err(conversation.odd()),
    }
}

/// Says who it is, publishes, and checks both answers.
fn publish_checked(conversation: &mut Conversation, name: &str) -> io::Result<()> {
    let time_s = clock::wall_ns() / clock::NS_PER_SECOND;
    let message = format!("{{\"_type\":\"location\",\"lat\":34.0689,\"lon\":-118.4451,\"tst\":{time_s}}}");
    let mut out = Vec::new();
    mqtt::push_connect(name.as_bytes(), &mut out);
    mqtt::push_publish(format!("owntracks/probe/{name}").as_bytes(), Some(1), message.as_bytes(), &mut out);
    let wanted = mqtt::answer_to(&out);
    match conversation.exchange(&out, wanted.len())? == wanted {
        true => Ok(()),
        false => Err(conversation.odd()),
    }
}

/// Runs a closure when it goes out of scope, on a panic too.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
