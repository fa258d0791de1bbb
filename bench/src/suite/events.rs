//! `events`: streams of Server-Sent Events over HTTP. How late they are told what is reported, what reports at the same
//! server wait for meanwhile, and what thousands of streams cost that are told nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::address::ALONE;
use super::bench::Bench;
use super::limits::connections_max;
use super::options::Name;
use super::paired_run::take_turns;
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::variant::{self, Variant};
use crate::abusive_clients::watch::look;
use crate::load::clock;

/// Clients, each of which reports once a second.
const CLIENTS: usize = 1_000;

/// The clients in the box of a watcher.
const CLIENTS_IN_A_BOX: usize = 10;

/// Streams that each watch such a box.
const WATCHERS: usize = 1_000;

/// How long is measured without watchers, and then with them, in the small and in the full form.
const WINDOW: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

/// How long streams are left to come to rest before anything is measured.
const REST: Duration = Duration::from_secs(1);

/// How long idle streams are looked at: once in the longer time the server finds out whether they are still there.
const IDLE: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(31)];

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(20);

/// What stands before the time of a client in an event.
const TIME: &[u8] = b"\"time\":\"";

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let (mut variants, missing) = variant::of_http(&bench.programs);
    for (name, why) in missing {
        bench.skip(&name, &why)?;
    }
    // The other one has no such streams.
    variants.retain(|variant| variant.name == "threads");
    let rounds = bench.rounds(1, 3);
    let idle_streams = connections_max(Name::Events, bench.scale()) as usize;
    type Measure = fn(&Servers, &Variant, usize, Duration) -> io::Result<Figures>;
    for (what, size, times, measure) in
        [("watchers", WATCHERS, WINDOW, watched as Measure), ("idle", idle_streams, IDLE, idle)]
    {
        let time = bench.either(times[0], times[1]);
        let at = point(&[(what, &size)]);
        let extra = ["--connections-max", "12000", "--watchers-max", "11000"].map(str::to_owned);
        take_turns(bench, &at, &point(&[("rounds", &rounds)]), rounds, &variants, |bench, variant, _| {
            let servers = bench.start(variant, Start { shape: ALONE, extra: &extra, cpu: None })?;
            let figures = measure(&servers, variant, size, time).map_err(|error| error.to_string())?;
            servers.stop()?;
            let words: Vec<String> =
                figures.iter().map(|(name, figure)| format!("{name} {figure:.2}")).collect();
            let said = bench.say(&format!("{what}={size} {}: {}", variant.name, words.join(", ")));
            said.map_err(|error| error.to_string())?;
            Ok(figures)
        })?;
    }
    Ok(())
}

/// Reports alone, and then beside watchers.
fn watched(servers: &Servers, variant: &Variant, watchers: usize, window: Duration) -> io::Result<Figures> {
    let mut reporter = Reporter::connect(servers)?;
    (0..CLIENTS).try_for_each(|client| reporter.report(client))?;
    let cpu = || cpu_seconds(servers);
    let before = cpu()?;
    let quiet_us = reporter.keep_reporting(window)?;
    let between = cpu()?;
    let mut audience = Audience::gather(door(servers, variant)?, watchers, |watcher| {
        let (latitude, longitude) = corner(watcher * CLIENTS_IN_A_BOX % CLIENTS);
        format!("?box={longitude},{latitude},{}.99,{latitude}.99", longitude)
    })?;
    audience.listen(REST, &AtomicBool::new(false))?;
    audience.delays_ms.clear();
    let is_over = AtomicBool::new(false);
    let began = cpu()?;
    let loud_us = thread::scope(|scope| {
        let listener = scope.spawn(|| audience.listen(WAIT, &is_over));
        let loud_us = reporter.keep_reporting(window);
        thread::sleep(REST);
        is_over.store(true, Ordering::Release);
        listener.join().expect("the listener does not panic")?;
        loud_us
    })?;
    let ended = cpu()?;
    let mut told_ms = std::mem::take(&mut audience.delays_ms);
    if told_ms.is_empty() {
        return Err(io::Error::other("no watcher was told anything"));
    }
    told_ms.sort_by(f64::total_cmp);
    let seconds = window.as_secs_f64();
    let (quiet_p99_us, loud_p99_us) = (part(&quiet_us, 0.99), part(&loud_us, 0.99));
    Ok(figures(&[
        ("quiet_p50_us", part(&quiet_us, 0.5)),
        ("quiet_p99_us", quiet_p99_us),
        ("watched_p50_us", part(&loud_us, 0.5)),
        ("watched_p99_us", loud_p99_us),
        ("p99_ratio", loud_p99_us / quiet_p99_us),
        ("quiet_cpu_percent", (between - before) * 100.0 / seconds),
        ("watched_cpu_percent", (ended - began) * 100.0 / (window + REST).as_secs_f64()),
        ("told_per_second", told_ms.len() as f64 / seconds),
        ("told_p50_ms", part(&told_ms, 0.5)),
        ("told_p99_ms", part(&told_ms, 0.99)),
        ("told_max_ms", part(&told_ms, 1.0)),
    ]))
}

/// Streams of everything at a server at which nothing happens.
fn idle(servers: &Servers, variant: &Variant, streams: usize, time: Duration) -> io::Result<Figures> {
    let rss_kib = || look(servers.pids()[0]).map(|look| look.rss_kib as f64).ok_or_else(ended);
    let empty = rss_kib()?;
    let mut audience = Audience::gather(door(servers, variant)?, streams, |_| String::new())?;
    audience.listen(REST, &AtomicBool::new(false))?;
    let (began, full) = (cpu_seconds(servers)?, rss_kib()?);
    audience.listen(time, &AtomicBool::new(false))?;
    let (cpu, later) = (cpu_seconds(servers)? - began, rss_kib()?);
    Ok(figures(&[
        ("cpu_percent", cpu * 100.0 / time.as_secs_f64()),
        ("kib_per_stream", (full - empty) / streams as f64),
        ("grown_kib_per_stream", (later - full) / streams as f64),
    ]))
}

fn cpu_seconds(servers: &Servers) -> io::Result<f64> {
    look(servers.pids()[0]).map(|look| look.cpu_seconds).ok_or_else(ended)
}

fn ended() -> io::Error {
    io::Error::other("the server has ended")
}

fn door(servers: &Servers, variant: &Variant) -> io::Result<SocketAddr> {
    servers.options(0, variant).target.parse().map_err(io::Error::other)
}

fn figures(all: &[(&str, f64)]) -> Figures {
    all.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
}

/// The value below which this part of them is.
fn part(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// The south-western corner of the degree that a client is in, which it shares with those of its box alone.
fn corner(client: usize) -> (usize, usize) {
    (10 + client / CLIENTS_IN_A_BOX / 100, client / CLIENTS_IN_A_BOX % 100)
}

/// One connection of the line protocol.
struct Reporter {
    lines: BufReader<TcpStream>,
    reply: String,
}

impl Reporter {
    fn connect(servers: &Servers) -> io::Result<Reporter> {
        let stream = TcpStream::connect(servers.herd.members()[0].client.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT))?;
        Ok(Reporter { lines: BufReader::new(stream), reply: String::new() })
    }

    /// Reports once for a client, and waits for the reply.
    fn report(&mut self, client: usize) -> io::Result<()> {
        let ((latitude, longitude), now_ns) = (corner(client), clock::wall_ns());
        let (seconds, nanos) = (now_ns / clock::NS_PER_SECOND, now_ns % clock::NS_PER_SECOND);
        let line = format!("IAMAT c{client} +{latitude}.5+{longitude}.5 {seconds}.{nanos:09}\n");
        self.lines.get_mut().write_all(line.as_bytes())?;
        self.reply.clear();
        self.lines.read_line(&mut self.reply)?;
        match self.reply.starts_with("AT ") {
            true => Ok(()),
            false => Err(io::Error::other(format!("a report was answered {}", self.reply))),
        }
    }

    /// Has each client report once a second for a while, and returns how many microseconds the reply to each report
    /// took, in ascending order.
    fn keep_reporting(&mut self, window: Duration) -> io::Result<Vec<f64>> {
        let mut late_us = Vec::new();
        let began_ns = clock::monotonic_ns();
        for number in 0..window.as_secs() as usize * CLIENTS {
            let due_ns = began_ns + number as u64 * clock::NS_PER_SECOND / CLIENTS as u64;
            thread::sleep(Duration::from_nanos(due_ns.saturating_sub(clock::monotonic_ns())));
            // Measured from here: that the sleep ends late is not the server's fault.
            let sent_ns = clock::monotonic_ns();
            self.report(number % CLIENTS)?;
            late_us.push((clock::monotonic_ns() - sent_ns) as f64 / 1e3);
        }
        late_us.sort_by(f64::total_cmp);
        Ok(late_us)
    }
}

/// Streams, all read by one thread.
struct Audience {
    poll: Poll,
    streams: Vec<(mio::net::TcpStream, Vec<u8>)>,
    /// How long after the report each event came that says a time.
    delays_ms: Vec<f64>,
}

impl Audience {
    fn gather(at: SocketAddr, size: usize, query: impl Fn(usize) -> String) -> io::Result<Audience> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for number in 0..size {
            let mut stream = TcpStream::connect_timeout(&at, WAIT)?;
            let request = format!("GET /v1/events{} HTTP/1.1\r\nHost: localhost\r\n\r\n", query(number));
            stream.write_all(request.as_bytes())?;
            stream.set_read_timeout(Some(WAIT))?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            if status != *b"HTTP/1.1 200" {
                let status = String::from_utf8_lossy(&status).into_owned();
                return Err(io::Error::other(format!("stream {number} was answered {status}")));
            }
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            streams.push((stream, Vec::new()));
        }
        Ok(Audience { poll, streams, delays_ms: Vec::new() })
    }

    /// Reads what comes, until it is over or has gone on for so long.
    fn listen(&mut self, time: Duration, is_over: &AtomicBool) -> io::Result<()> {
        let end_ns = clock::monotonic_ns() + clock::ns(time);
        let (mut events, mut scratch) = (Events::with_capacity(1_024), vec![0; 64 * 1_024]);
        while clock::monotonic_ns() < end_ns && !is_over.load(Ordering::Acquire) {
            self.poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            for event in events.iter() {
                self.read(event.token().0, &mut scratch)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, number: usize, scratch: &mut [u8]) -> io::Result<()> {
        let (stream, rest) = &mut self.streams[number];
        loop {
            match stream.read(scratch) {
                Ok(0) => return Err(io::Error::other("a stream was cut off")),
                Ok(count) => rest.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let now = clock::wall_ns() as f64 / 1e9;
        let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines = rest[..whole].split(|&byte| byte == b'\n');
        self.delays_ms.extend(lines.filter_map(time_of).map(|time| (now - time) * 1e3));
        rest.drain(..whole);
        Ok(())
    }
}

/// The time that a line of an event says.
fn time_of(line: &[u8]) -> Option<f64> {
    let at = line.windows(TIME.len()).position(|text| text == TIME)? + TIME.len();
    let end = line[at..].iter().position(|&byte| byte == b'"')?;
    std::str::from_utf8(&line[at..at + end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_found_in_an_event() {
        let line = br#"data: {"client":"c1","latitude":10.5,"time":"1700000000.25","server":"Alford"}"#;
        assert_eq!(time_of(line), Some(1_700_000_000.25));
        assert_eq!(time_of(b"event: client"), None);
        assert_eq!(time_of(b"data: {\"time\":\"17"), None);
    }

    #[test]
    fn boxes_hold_their_clients_and_no_others() {
        let in_same_box =
            |client: usize| (0..CLIENTS).filter(|&other| corner(other) == corner(client)).count();
        assert!((0..CLIENTS).step_by(97).all(|client| in_same_box(client) == CLIENTS_IN_A_BOX));
    }
}
