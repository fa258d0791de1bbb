//! `mqtt`: the door of MQTT against mosquitto, which keeps nothing here, where ours has each report with the kernel
//! before it is acknowledged, and against one on tokio, where neither keeps anything: messages a second, one publisher
//! and a thousand subscribers, and what clients cost that are idle or do not read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::address::ALONE;
use super::bench::Bench;
use super::limits::connections_max;
use super::options::Name;
use super::paired_run::{Candidate, PairedRun, load_of, take_turns};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::variant::{self, Variant};
use crate::abusive_clients::watch::look;
use crate::load::Options;
use crate::load::clock;
use crate::load::mqtt;
use crate::load::owntracks::{self, Phone};

/// Connections that are always busy.
const CONNECTIONS: [u32; 2] = [16, 128];

/// What is told to ours, beside what is usual here: the durability that is its default.
const OURS: [&str; 2] = ["--durability", "os"];

/// Messages of quality 0 before each PINGREQ.
const UNACKNOWLEDGED: u32 = 16;

/// Messages of quality 1 that are in flight where a client sends what it has kept: fewer than the 20 that the libraries
/// of mosquitto and paho allow unless they are told otherwise.
const IN_FLIGHT: u32 = 16;

/// Subscribers that all read.
const SUBSCRIBERS: usize = 1_000;

/// What they are told.
const MESSAGES: u64 = 20;

/// Between two of them: a subscriber of a herd is told no more than ten times a second of one client.
const EVERY: Duration = Duration::from_millis(250);

/// What those are told who do not read: more than may be in flight, and less than mosquitto drops.
const UNREAD: u64 = 200;

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(20);

/// How long memory is left to settle before it is looked at.
const REST: Duration = Duration::from_millis(500);

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let (variants, missing) = variant::of_mqtt(&bench.programs);
    for (name, why) in missing {
        bench.skip(&name, &why)?;
    }
    let candidates = candidates(&variants);
    for &connections in bench.either(&CONNECTIONS[..1], &CONNECTIONS[..]) {
        let at = point(&[("connections", &connections)]);
        let load = load_of(connections, bench.window());
        PairedRun::new(bench, at, (1, 5), load.clone()).candidates(bench, candidates.clone())?;
        let at = point(&[("connections", &connections), ("depth", &IN_FLIGHT)]);
        let load = Options { depth: IN_FLIGHT, ..load };
        PairedRun::new(bench, at, (1, 5), load).candidates(bench, candidates.clone())?;
    }
    let at = point(&[("connections", &CONNECTIONS[0]), ("qos", &0), ("depth", &UNACKNOWLEDGED)]);
    let load = Options { qos: 0, depth: UNACKNOWLEDGED, ..load_of(CONNECTIONS[0], bench.window()) };
    PairedRun::new(bench, at, (1, 5), load).candidates(bench, candidates)?;
    // It tells no subscribers, and an idle task is measured in `memory`.
    let variants: Vec<Variant> = variants.into_iter().filter(|it| it.name != "tokio-mqtt").collect();
    let size = connections_max(Name::Mqtt, bench.scale()) as usize;
    let rounds = bench.rounds(1, 3);
    type Measure = fn(&Servers, SocketAddr, usize, u64) -> Result<Figures, String>;
    let (told, unread) = bench.either((MESSAGES / 4, UNREAD / 4), (MESSAGES, UNREAD));
    for (what, size, messages, measure) in [
        ("fan_out", SUBSCRIBERS, told, fan_out as Measure),
        ("idle", size, 0, idle),
        ("deaf", size, unread, deaf),
    ] {
        let at = point(&[(what, &size)]);
        let extra = OURS.map(str::to_owned);
        take_turns(bench, &at, &point(&[("rounds", &rounds)]), rounds, &variants, |bench, variant, _| {
            let servers = bench.start(variant, Start { shape: ALONE, extra: &extra, cpu: None })?;
            let figures = measure(&servers, door(&servers, variant)?, size, messages)?;
            servers.stop()?;
            bench
                .say(&format!("{what}={size} {}: {}", variant.name, words(&figures)))
                .map_err(|error| error.to_string())?;
            Ok(figures)
        })?;
    }
    Ok(())
}

/// Those that are compared under load. The one on tokio keeps nothing, so ours takes part without durability, too.
fn candidates(variants: &[Variant]) -> Vec<Candidate> {
    let of = |it: &Variant| match it.name.as_str() {
        "threads" => vec![Candidate::told(it, &it.name, &OURS), Candidate::told(it, "threads none", &[])],
        _ => vec![Candidate::plain(it.clone())],
    };
    variants.iter().flat_map(of).collect()
}

fn words(figures: &Figures) -> String {
    figures.iter().map(|(name, figure)| format!("{name} {figure:.1}")).collect::<Vec<_>>().join(", ")
}

fn door(servers: &Servers, variant: &Variant) -> Result<SocketAddr, String> {
    servers.options(0, variant).target.parse().map_err(|error| format!("no address: {error}"))
}

fn figures(all: &[(&str, f64)]) -> Figures {
    all.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
}

/// A client that has been let in.
fn joined(at: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect_timeout(&at, WAIT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(WAIT))?;
    let mut out = Vec::new();
    mqtt::push_connect(format!("client-{number}").as_bytes(), &mut out);
    socket.write_all(&out)?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    match answer == mqtt::ACCEPTED {
        true => Ok(socket),
        false => Err(io::Error::other(format!("it is not let in: {answer:?}"))),
    }
}

/// A client that has subscribed to everything, and has been told so.
fn subscribed(at: SocketAddr, number: usize, qos: u8) -> io::Result<TcpStream> {
    let mut socket = joined(at, number)?;
    let mut out = Vec::new();
    mqtt::push_subscribe(b"owntracks/#", qos, &mut out);
    socket.write_all(&out)?;
    let mut answer = [0; 5];
    socket.read_exact(&mut answer)?;
    match answer == [0x90, 3, 0, 1, qos] {
        true => Ok(socket),
        false => Err(io::Error::other(format!("it may not subscribe: {answer:?}"))),
    }
}

/// Publishes a place, and waits until it is acknowledged.
fn publish(socket: &mut TcpStream, number: u64) -> io::Result<()> {
    let time = (clock::wall_ns() / clock::NS_PER_SECOND - 1_000_000 + number).to_string();
    let phone = Phone { user: b"bench", device: b"phone", login: None };
    let (mut message, mut out) = (Vec::new(), Vec::new());
    owntracks::push_message(phone, ("34.0689", "-118.4451"), time.as_bytes(), &mut message);
    mqtt::push_publish(b"owntracks/bench/phone", Some(number as u16 + 1), &message, &mut out);
    socket.write_all(&out)?;
    let wanted = mqtt::answer_to(&out);
    let mut answer = vec![0; wanted.len()];
    socket.read_exact(&mut answer)?;
    match answer == wanted {
        true => Ok(()),
        false => Err(io::Error::other(format!("it is not acknowledged: {answer:?}"))),
    }
}

/// How long it takes until all subscribers have been told of a message, and what that costs the server.
fn fan_out(servers: &Servers, at: SocketAddr, size: usize, messages: u64) -> Result<Figures, String> {
    let pid = servers.pids()[0];
    let told = || look(pid).map(|look| look.cpu_seconds).ok_or("the server has ended");
    let mut audience = Audience::gather(at, size).map_err(|error| error.to_string())?;
    let mut publisher = joined(at, size).map_err(|error| error.to_string())?;
    let before = told()?;
    let mut times_ms = Vec::new();
    for number in 0..messages {
        let began_ns = clock::monotonic_ns();
        publish(&mut publisher, number).map_err(|error| error.to_string())?;
        audience.wait_for(number + 1, began_ns + clock::ns(WAIT)).map_err(|error| error.to_string())?;
        let took = Duration::from_nanos(clock::monotonic_ns() - began_ns);
        times_ms.push(took.as_secs_f64() * 1e3);
        thread::sleep(EVERY.saturating_sub(took));
    }
    let cpu_us = (told()? - before) * 1e6 / (messages as f64 * size as f64);
    times_ms.sort_by(f64::total_cmp);
    let (median, most) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
    let per_second = size as f64 / (median / 1e3);
    Ok(figures(&[
        ("all_told_p50_ms", median),
        ("all_told_max_ms", most),
        ("server_cpu_us", cpu_us),
        ("per_second", per_second),
    ]))
}

/// What a client costs that has said who it is, and no more.
fn idle(servers: &Servers, at: SocketAddr, size: usize, _: u64) -> Result<Figures, String> {
    let pid = servers.pids()[0];
    let rss_kib = || look(pid).map(|look| look.rss_kib as f64).ok_or("the server has ended");
    let before = rss_kib()?;
    let clients: io::Result<Vec<TcpStream>> = (0..size).map(|number| joined(at, number)).collect();
    let clients = clients.map_err(|error| error.to_string())?;
    thread::sleep(REST);
    let after = rss_kib()?;
    Ok(figures(&[("rss_kib_per_connection", (after - before) / clients.len() as f64)]))
}

/// What a subscriber costs that does not read, when much has been published.
fn deaf(servers: &Servers, at: SocketAddr, size: usize, messages: u64) -> Result<Figures, String> {
    let pid = servers.pids()[0];
    let rss_kib = || look(pid).map(|look| look.rss_kib as f64).ok_or("the server has ended");
    let clients: io::Result<Vec<TcpStream>> = (0..size).map(|number| subscribed(at, number, 1)).collect();
    let clients = clients.map_err(|error| error.to_string())?;
    thread::sleep(REST);
    let before = rss_kib()?;
    let mut publisher = joined(at, size).map_err(|error| error.to_string())?;
    let began_ns = clock::monotonic_ns();
    (0..messages)
        .try_for_each(|number| publish(&mut publisher, number))
        .map_err(|error| error.to_string())?;
    let seconds = (clock::monotonic_ns() - began_ns) as f64 / 1e9;
    thread::sleep(REST);
    let grown = (rss_kib()? - before) / clients.len() as f64;
    Ok(figures(&[("grown_kib_per_subscriber", grown), ("per_second", messages as f64 / seconds)]))
}

/// Subscribers that read, all in one thread.
struct Audience {
    poll: Poll,
    members: Vec<Member>,
}

struct Member {
    socket: mio::net::TcpStream,
    partial: Vec<u8>,
    /// The messages that it has been told.
    told: u64,
}

impl Audience {
    fn gather(at: SocketAddr, size: usize) -> io::Result<Audience> {
        let poll = Poll::new()?;
        let member = |number| {
            let socket = subscribed(at, number, 0)?;
            socket.set_nonblocking(true)?;
            let mut socket = mio::net::TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            Ok(Member { socket, partial: Vec::new(), told: 0 })
        };
        let members = (0..size).map(member).collect::<io::Result<Vec<_>>>()?;
        Ok(Audience { poll, members })
    }

    /// Reads until each has been told so many messages.
    fn wait_for(&mut self, messages: u64, end_ns: u64) -> io::Result<()> {
        let (mut events, mut scratch) = (Events::with_capacity(1_024), vec![0; 64 * 1_024]);
        let mut left = self.members.iter().filter(|member| member.told < messages).count();
        while left > 0 {
            if clock::monotonic_ns() > end_ns {
                return Err(io::Error::other(format!("{left} were not told of message {messages}")));
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in events.iter() {
                let member = &mut self.members[event.token().0];
                let before = member.told;
                member.read(&mut scratch)?;
                left -= usize::from(before < messages && member.told >= messages);
            }
        }
        Ok(())
    }
}

impl Member {
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return Err(io::Error::other("a subscriber was cut off")),
                Ok(count) => self.partial.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut rest = self.partial.as_slice();
        while let Some((_, _, behind)) = mqtt::split(rest) {
            self.told += 1;
            rest = behind;
        }
        let left = rest.len();
        self.partial.drain(..self.partial.len() - left);
        Ok(())
    }
}
