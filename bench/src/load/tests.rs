//! Whole runs against small servers in this process that are right, wrong, slow or rude.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, scope};
use std::time::Duration;

use super::options::{Options, Protocol};
use super::{LoadError, Outcome, clock, run};

/// What a server does with a line: the bytes to send, or hang up.
type Answer<'a> = dyn Fn(&str) -> Option<Vec<u8>> + Sync + 'a;

/// Runs `load` against a server with a thread for each connection.
fn drive(options: &Options, answer: &Answer<'_>) -> Result<Outcome, LoadError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    scope(|scope| {
        let accept = || {
            while let Ok((socket, _)) = listener.accept() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                Builder::new().spawn_scoped(scope, move || serve(socket, answer)).unwrap();
            }
        };
        Builder::new().spawn_scoped(scope, accept).unwrap();
        let outcome = run(&Options { target: address.to_string(), ..options.clone() });
        stop.store(true, Ordering::Relaxed);
        TcpStream::connect(address).unwrap();
        outcome
    })
}

fn serve(mut socket: TcpStream, answer: &Answer<'_>) {
    socket.set_nodelay(true).unwrap();
    let lines = BufReader::new(socket.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        match answer(&line) {
            Some(reply) if socket.write_all(&reply).is_ok() => {}
            Some(_) | None => return,
        }
    }
}

fn echo(line: &str) -> Option<Vec<u8>> {
    Some(format!("{line}\n").into_bytes())
}

fn at(line: &str) -> Option<Vec<u8>> {
    Some(line.replacen("IAMAT", "AT Alford +0.000000001", 1).into_bytes()).map(|mut reply| {
        reply.push(b'\n');
        reply
    })
}

fn short() -> Options {
    let time = Duration::from_millis(300);
    Options { warm_up: Duration::from_millis(50), duration: time, ..Options::default() }
}

#[test]
fn every_pace_finds_right_replies_right() {
    let closed = Options { connections: 8, active: Some(4), depth: 16, clients: 3, ..short() };
    let open = Options { rate: Some(2_000.0), connections: 4, depth: 1, ..short() };
    let churn = Options { churn: true, connections: 4, ..short() };
    let storm = Options { storm: true, connections: 50, ..short() };
    let threads = Options { threads: 3, connections: 7, ..short() };
    let ramp = Options { ramp: Duration::from_millis(100), connections: 7, ..short() };
    for options in [closed, open, churn, storm, threads, ramp] {
        let outcome = drive(&options, &at).unwrap();
        assert!(outcome.replies >= 10, "{options:?}: {outcome:?}");
        assert!(outcome.latency.p50_us > 0.0 && outcome.latency.max_us >= outcome.latency.p999_us);
        assert_eq!(outcome.unanswered, 0, "{options:?}");
    }
    let echoed = drive(&Options { protocol: Protocol::Echo, depth: 4, ..short() }, &echo).unwrap();
    assert!(echoed.replies >= 10, "{echoed:?}");
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let options =
        Options { rate: Some(1_000.0), connections: 10, duration: Duration::from_secs(1), ..short() };
    let outcome = drive(&options, &at).unwrap();
    // Requests count by when they were due, so this is exact however slow the machine is.
    assert!((999..=1_001).contains(&outcome.replies), "{outcome:?}");
    assert_eq!(outcome.unanswered, 0, "{outcome:?}");
}

/// A server that stops for a while holds up one request of a closed loop, but in truth everybody who would
/// have asked in that time.
#[test]
fn a_stall_counts_for_all_who_would_have_asked_in_it() {
    let stall = Duration::from_millis(600);
    let stalling = || {
        let from_ns = clock::monotonic_ns() + 200_000_000;
        let done = AtomicBool::new(false);
        move |line: &str| {
            if clock::monotonic_ns() > from_ns && !done.swap(true, Ordering::Relaxed) {
                std::thread::park_timeout(stall);
            }
            at(line)
        }
    };
    let options = Options { duration: Duration::from_millis(1_200), ..short() };
    let closed = drive(&options, &stalling()).unwrap();
    assert!(closed.latency.max_us > 500_000.0, "{closed:?}");
    assert!(closed.latency.p90_us < 100_000.0, "{closed:?}");
    let open = drive(&Options { rate: Some(500.0), ..options }, &stalling()).unwrap();
    assert!(open.latency.p90_us > 300_000.0, "{open:?}");
}

#[test]
fn a_server_that_answers_wrongly_is_reported() {
    let wrong = |line: &str| at(&line.replace("client-0-0", "client-0-1"));
    let error = drive(&short(), &wrong).unwrap_err();
    assert!(matches!(&error, LoadError::Wrong { reply, .. } if reply.contains("client-0-1")), "{error}");
    let unasked = |line: &str| at(line).map(|reply| [reply.as_slice(), b"AT more\n"].concat());
    let error = drive(&short(), &unasked).unwrap_err();
    assert!(matches!(&error, LoadError::Wrong { why, .. } if why.contains("nothing was asked")), "{error}");
    let error = drive(&Options { protocol: Protocol::Echo, ..short() }, &at).unwrap_err();
    assert!(matches!(error, LoadError::Wrong { .. }), "{error}");
    // Only the hundredth reply is wrong.
    let count = std::sync::atomic::AtomicU32::new(0);
    let once = |line: &str| match count.fetch_add(1, Ordering::Relaxed) {
        100 => Some(b"? what\n".to_vec()),
        _ => at(line),
    };
    let error = drive(&short(), &once).unwrap_err();
    assert!(matches!(&error, LoadError::Wrong { reply, .. } if reply == "? what"), "{error}");
}

#[test]
fn a_server_that_hangs_up_is_reported() {
    let error = drive(&short(), &|_: &str| None).unwrap_err();
    assert!(matches!(error, LoadError::HungUp { .. }), "{error}");
    let unused: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(&Options { target: unused.to_string(), ..short() }).unwrap_err();
    assert!(matches!(error, LoadError::Connect { .. }), "{error}");
}

#[test]
fn a_process_that_is_gone_is_named() {
    let error = drive(&Options { pid: vec![u32::MAX], ..short() }, &at).unwrap_err();
    assert!(matches!(error, LoadError::Died(u32::MAX)), "{error}");
}

#[test]
fn foreign_targets_are_refused_before_a_byte_is_sent() {
    let error = run(&Options { target: "192.0.2.1:1".to_owned(), ..short() }).unwrap_err();
    assert!(error.to_string().contains("--allow-any-target"), "{error}");
}
