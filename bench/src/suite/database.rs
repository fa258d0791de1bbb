//! `database`: a server with a core database, which is a Redis that this suite starts: reports a second with and
//! without it, how fast it is written, how soon a server without data has read it, and what clients wait for while
//! something happens to it.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::address::ALONE;
use super::bench::{Bench, how};
use super::paired_run::{Candidate, PairedRun, load_of, take_turns};
use super::redis::{Answer, Connection, Redis, push_command};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::variant::{Variant, is_program};
use crate::abusive_clients::watch::look;
use crate::load::{self, Options, clock};

/// Connections of the reports that are counted, the clients of each, and the reports that are on the way at once.
const CONNECTIONS: u32 = 16;
const CLIENTS_EACH: u32 = 1_000;
const DEPTHS: [u32; 2] = [1, 16];

/// Connections that make clients known, and what is on the way on each.
const CROWD: (u32, u32) = (100, 64);

/// How long that may go on: a million clients take two seconds.
const CROWD_TIME: Duration = Duration::from_secs(3);

/// How many clients a batch of the server has, and its script: what is compared with it has the same.
const BATCH: usize = 128;
const PUT: &str = include_str!("../../../src/database/redis/put.lua");

/// Clients that are known when something happens to the database, and their reports a second, well below what a server
/// takes, over so many connections.
const FAULT_CLIENTS: u32 = 100_000;
const FAULT_RATE: f64 = 2_000.0;
const FAULT_CONNECTIONS: u32 = 50;

/// How long reports are measured without a fault, and longer with one than it lasts.
const QUIET: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(3);

/// How long the database may take to have what it should, and for how long nothing may be written for that.
const WAIT: Duration = Duration::from_secs(100);
const REST: Duration = Duration::from_millis(1_500);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What happens to a database.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Freeze,
    Flush,
    Full,
    ReadOnly,
}

const FAULTS: [Fault; 5] = [Fault::Kill, Fault::Freeze, Fault::Flush, Fault::Full, Fault::ReadOnly];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let Some(threads) = bench.variant("threads") else {
        return bench.skip("a database", "the threaded server is not there");
    };
    for (program, package) in [("redis-server", "redis-server"), ("chrt", "util-linux")] {
        if !is_program(Path::new(program)) {
            let why = format!("it is not installed (Debian: apt-get install {package})");
            return bench.skip(program, &why);
        }
    }
    reports(bench, &threads)?;
    let (few, many) = (bench.either(100_000, 400_000), bench.either(100_000, 1_000_000));
    measured(bench, &threads, ("written", &few), (1, 3), |bench, threads| writer(bench, threads, few))?;
    measured(bench, &threads, ("read", &many), (1, 3), |bench, threads| cold_start(bench, threads, many))?;
    for &fault in bench.either(&FAULTS[..1], &FAULTS[..]) {
        let name = format!("{fault:?}").to_lowercase();
        measured(bench, &threads, ("fault", &name), (1, 3), |bench, threads| fault.measure(bench, threads))?;
    }
    Ok(())
}

/// Reports a second with a database, which is either as eager as the server or runs only when nothing else wants to,
/// and without.
fn reports(bench: &mut Bench<'_>, threads: &Variant) -> io::Result<()> {
    let (depths, priorities) =
        bench.either((&DEPTHS[..1], &["idle"][..]), (&DEPTHS[..], &["idle", "same"][..]));
    for (&depth, &priority) in
        depths.iter().flat_map(|depth| priorities.iter().map(move |priority| (depth, priority)))
    {
        let redis = Redis::start(bench.scratch(), priority == "idle")?;
        let url = redis.url();
        let with = |name: &str, more: &[&str]| {
            let words = [&["--durability", "os", "--database", &url], more].concat();
            Candidate::told(threads, name, &words)
        };
        let candidates = vec![
            Candidate::told(threads, "none", &["--durability", "os"]),
            with("database", &[]),
            with("history", &["--history", "1h", "--history-points-max", "100"]),
        ];
        let at = point(&[("depth", &depth), ("redis", &priority)]);
        let load = Options { depth, clients: CLIENTS_EACH, ..load_of(CONNECTIONS, bench.window()) };
        let run = PairedRun { fresh: true, ..PairedRun::new(bench, at, (1, 5), load) };
        run.candidates(bench, candidates)?;
    }
    Ok(())
}

/// Measures one thing, round by round.
fn measured(
    bench: &mut Bench<'_>,
    threads: &Variant,
    at: (&str, &dyn std::fmt::Display),
    rounds: (u32, u32),
    measure: impl Fn(&Bench<'_>, &Variant) -> io::Result<Figures>,
) -> io::Result<()> {
    let rounds = bench.rounds(rounds.0, rounds.1);
    let options = how(rounds, QUIET);
    take_turns(
        bench,
        &point(&[at]),
        &options,
        rounds,
        std::slice::from_ref(threads),
        |bench, threads, _| {
            let figures = measure(bench, threads).map_err(|error| error.to_string())?;
            let words: Vec<String> =
                figures.iter().map(|(name, figure)| format!("{name} {figure:.2}")).collect();
            let said = bench.say(&format!("{}={} {}", at.0, at.1, words.join(", ")));
            said.map_err(|error| error.to_string())?;
            Ok(figures)
        },
    )?;
    Ok(())
}

/// How fast a server writes clients, and how fast a plain loop writes the same batches.
fn writer(bench: &Bench<'_>, threads: &Variant, clients: u32) -> io::Result<Figures> {
    let redis = Redis::start(bench.scratch(), false)?;
    let servers = start(bench, threads, &redis, &[])?;
    // The clients come while nothing can be written.
    redis.signal(Signal::STOP);
    fill(&servers, threads, clients)?;
    redis.signal(Signal::CONT);
    let cpu = || {
        look(servers.pids()[0]).map(|look| look.cpu_seconds).ok_or_else(|| io::Error::other("it has ended"))
    };
    let before = cpu()?;
    let mut redis_says = redis.connect()?;
    let samples = watch(&mut redis_says, clients)?;
    let cpu_us = (cpu()? - before) * 1e6 / f64::from(clients);
    let at = |part: f64| samples.iter().find(|(_, calls)| *calls >= f64::from(clients) * part);
    let (Some(first), Some(last)) = (at(0.1), at(0.9)) else {
        return Err(io::Error::other("nothing was written"));
    };
    let writer = (last.1 - first.1) / (last.0 - first.0);
    let script_us = redis_says.info("commandstats", "cmdstat_evalsha:calls=")?;
    let script_us = redis_says.info("cpu", "used_cpu_user:")? * 1e6 / script_us.max(1.0);
    servers.stop().map_err(io::Error::other)?;
    let plain = plain_loop(&redis)?;
    Ok(figures(&[
        ("writer_per_second", writer),
        ("plain_per_second", plain),
        ("of_plain", writer / plain),
        ("server_cpu_us", cpu_us),
        ("redis_cpu_us", script_us),
    ]))
}

/// When how many scripts had run, in seconds, until no more do.
fn watch(redis: &mut Connection, clients: u32) -> io::Result<Vec<(f64, f64)>> {
    let (end_ns, mut samples) = (clock::monotonic_ns() + clock::ns(WAIT), Vec::<(f64, f64)>::new());
    loop {
        let calls = redis.info("commandstats", "cmdstat_evalsha:calls=")?;
        let now = clock::monotonic_ns() as f64 / 1e9;
        let changed = samples.iter().find(|(_, before)| *before == calls).map_or(now, |(at, _)| *at);
        samples.push((now, calls));
        if calls >= f64::from(clients) && now - changed > REST.as_secs_f64() {
            return Ok(samples);
        }
        if clock::monotonic_ns() > end_ns {
            return Err(io::Error::other(format!("only {calls} scripts had run")));
        }
        thread::sleep(LOOK);
    }
}

/// Waits until so many clients are there.
fn wait_for(redis: &mut Connection, clients: u32) -> io::Result<()> {
    let end_ns = clock::monotonic_ns() + clock::ns(WAIT);
    loop {
        let keys = redis.ask(&["DBSIZE"])?;
        if matches!(keys, Answer::Number(keys) if keys > i64::from(clients)) {
            return Ok(());
        }
        if clock::monotonic_ns() > end_ns {
            return Err(io::Error::other(format!("{clients} clients are known, and there are {keys:?}")));
        }
        thread::sleep(LOOK);
    }
}

/// Writes all that is there again into an empty database, in batches on one connection, each when the one before is
/// answered, as redis-benchmark does. How many clients a second that are.
fn plain_loop(redis: &Redis) -> io::Result<f64> {
    let mut connection = redis.connect()?;
    let Answer::Text(sha) = connection.ask(&["SCRIPT", "LOAD", PUT])? else {
        return Err(io::Error::other("the script was not loaded"));
    };
    let (mut batches, mut batch, mut count, mut clients) = (Vec::new(), Vec::new(), 0, 0);
    for (key, value) in all_values(&mut connection)? {
        let history = [b"h".as_slice(), &key[1..]].concat();
        push_command(&[b"EVALSHA", &sha, b"2", &key, &history, &value, b"0", b"0", b"0"], &mut batch);
        (count, clients) = (count + 1, clients + 1);
        if count == BATCH {
            batches.push((std::mem::take(&mut batch), std::mem::take(&mut count)));
        }
    }
    batches.push((batch, count));
    connection.ask(&["FLUSHALL"])?;
    let began_ns = clock::monotonic_ns();
    for (batch, count) in &batches {
        connection.send(batch)?;
        for _ in 0..*count {
            connection.receive()?;
        }
    }
    Ok(f64::from(clients) / ((clock::monotonic_ns() - began_ns) as f64 / 1e9))
}

/// The keys and values of all clients.
fn all_values(connection: &mut Connection) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut all, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page = connection.ask(&["SCAN", &cursor, "MATCH", "p:*", "COUNT", "1000"])?;
        let Answer::All(page) = page else { return Ok(all) };
        let [Answer::Text(next), Answer::All(keys)] = &page[..] else { return Ok(all) };
        for key in keys {
            let Answer::Text(key) = key else { continue };
            let name = String::from_utf8_lossy(key).into_owned();
            if let Answer::Text(value) = connection.ask(&["GET", &name])? {
                all.push((key.clone(), value));
            }
        }
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            return Ok(all);
        }
    }
}

/// How long a server without data takes until it answers, and what memory its clients take in both.
fn cold_start(bench: &Bench<'_>, threads: &Variant, clients: u32) -> io::Result<Figures> {
    let redis = Redis::start(bench.scratch(), false)?;
    let mut redis_says = redis.connect()?;
    let empty = redis_says.info("memory", "used_memory:")?;
    let servers = start(bench, threads, &redis, &[])?;
    fill(&servers, threads, clients)?;
    watch(&mut redis_says, clients)?;
    let Answer::Number(keys) = redis_says.ask(&["DBSIZE"])? else { return Err(io::Error::other("no size")) };
    servers.stop().map_err(io::Error::other)?;
    let full = redis_says.info("memory", "used_memory:")?;
    let began_ns = clock::monotonic_ns();
    let servers = start(bench, threads, &redis, &["--log-level", "info"])?;
    let seconds = (clock::monotonic_ns() - began_ns) as f64 / 1e9;
    let line = servers.logged("the database knows").into_iter().next().unwrap_or_default();
    let known = line.split(" knows ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    let known = known.unwrap_or_default();
    if known < f64::from(clients) {
        return Err(io::Error::other(format!("not all clients were read: {line}")));
    }
    let rss_kib = look(servers.pids()[0]).map_or(0.0, |look| look.rss_kib as f64);
    servers.stop().map_err(io::Error::other)?;
    Ok(figures(&[
        ("start_seconds", seconds),
        ("clients_per_second", known / seconds),
        ("rss_mib", rss_kib / 1024.0),
        ("bytes_per_client", rss_kib * 1024.0 / known),
        ("redis_mib", full / 1048576.0),
        ("redis_bytes_per_client", (full - empty) / keys as f64),
    ]))
}

impl Fault {
    /// What reports wait for without the fault and with it, its end included.
    fn measure(self, bench: &Bench<'_>, threads: &Variant) -> io::Result<Figures> {
        // On another machine, as it were: what it does to have everything again would keep the processors from reports.
        let mut redis = Redis::start(bench.scratch(), true)?;
        let servers = start(bench, threads, &redis, &[])?;
        fill(&servers, threads, FAULT_CLIENTS)?;
        watch(&mut redis.connect()?, FAULT_CLIENTS)?;
        let load = |duration| Options {
            rate: Some(FAULT_RATE),
            connections: FAULT_CONNECTIONS,
            clients: FAULT_CLIENTS / FAULT_CONNECTIONS,
            warm_up: Duration::from_millis(500),
            duration,
            ..servers.options(0, threads)
        };
        let (quiet, load) = (load(QUIET), load(self.lasts() + AFTER));
        let quiet = load::run(&quiet).map_err(io::Error::other)?;
        let during = thread::scope(|scope| {
            let reports = scope.spawn(|| load::run(&load));
            thread::sleep(load.warm_up);
            self.happen(&mut redis)?;
            thread::sleep(self.lasts());
            self.end(&mut redis)?;
            let during = reports.join().map_err(|_| io::Error::other("the generator has a bug"))?;
            during.map_err(io::Error::other)
        })?;
        let (quiet, during) = (quiet.latency, during.latency);
        // At the end the database has all again.
        wait_for(&mut redis.connect()?, FAULT_CLIENTS)?;
        servers.stop().map_err(io::Error::other)?;
        Ok(figures(&[
            ("quiet_p50_us", quiet.p50_us),
            ("quiet_p99_us", quiet.p99_us),
            ("during_p50_us", during.p50_us),
            ("during_p99_us", during.p99_us),
            ("during_max_us", during.max_us),
            ("p99_ratio", during.p99_us / quiet.p99_us),
        ]))
    }

    fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Fault::Freeze => 10,
            Fault::Kill | Fault::Flush | Fault::Full | Fault::ReadOnly => 3,
        })
    }

    fn happen(self, redis: &mut Redis) -> io::Result<()> {
        let ask = |words: &[&str]| redis.connect()?.ask(words).map(drop);
        match self {
            Fault::Kill => redis.kill(),
            Fault::Freeze => {
                redis.signal(Signal::STOP);
                Ok(())
            }
            Fault::Flush => ask(&["FLUSHALL"]),
            Fault::Full => ask(&["CONFIG", "SET", "maxmemory", "1"]),
            // A replica of nothing.
            Fault::ReadOnly => ask(&["REPLICAOF", "127.0.0.1", "1"]),
        }
    }

    fn end(self, redis: &mut Redis) -> io::Result<()> {
        let ask = |words: &[&str]| redis.connect()?.ask(words).map(drop);
        match self {
            Fault::Kill => redis.start_again(),
            Fault::Freeze => {
                redis.signal(Signal::CONT);
                Ok(())
            }
            Fault::Flush => Ok(()),
            Fault::Full => ask(&["CONFIG", "SET", "maxmemory", "0"]),
            Fault::ReadOnly => ask(&["REPLICAOF", "NO", "ONE"]),
        }
    }
}

fn start(bench: &Bench<'_>, threads: &Variant, redis: &Redis, more: &[&str]) -> io::Result<Servers> {
    let url = redis.url();
    let extra: Vec<String> = [&["--durability", "os", "--database", &url], more]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect();
    bench.start(threads, Start { shape: ALONE, extra: &extra, cpu: None }).map_err(io::Error::other)
}

/// Makes so many clients known.
fn fill(servers: &Servers, threads: &Variant, clients: u32) -> io::Result<()> {
    let (connections, depth) = CROWD;
    let crowd = Options {
        connections,
        clients: clients / connections,
        depth,
        duration: CROWD_TIME,
        ..servers.options(0, threads)
    };
    load::run(&crowd).map(drop).map_err(io::Error::other)
}

fn figures(all: &[(&str, f64)]) -> Figures {
    all.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
}
