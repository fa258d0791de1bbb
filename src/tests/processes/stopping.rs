//! Signals: how a server ends, and what it has promised by then.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::real::{RealHerd, WAIT, ask, eventually, note};

/// What a server may take to stop, on any machine. The usual time is printed.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// Connections that report while the server is stopped, and clients that each of them reports.
const CONNECTIONS: usize = 4;
const CLIENTS_EACH: usize = 10;

/// Replies that must have come on each connection before the server is stopped.
const REPLIES_BEFORE: usize = 1_000;

/// More than the buffers of a connection over loopback hold in both kernels' queues.
const FULL_BYTES: usize = 48 << 20;

#[test]
fn an_idle_server_ends_with_0_when_told_to() {
    let mut herd = RealHerd::five(&[]);
    let mut idle = herd.client("Parker");
    assert_eq!(ask(&mut idle, "x"), "? x");
    for name in ["Parker", "Alford", "Bolden"] {
        let (status, took) = herd.terminate(name);
        note(format_args!("{name} ended {took:?} after SIGTERM"));
        assert_eq!(status.code(), Some(0), "{}", herd.complaints(name));
        assert!(took < STOPPED_WITHIN / 2, "{took:?}");
    }
    herd.signal("Powell", Signal::INT);
    assert_eq!(herd.ended("Powell").0.code(), Some(0), "an interrupt from the terminal is no different");
}

#[test]
fn what_was_acknowledged_before_the_end_is_known_to_a_neighbour() {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--log-level", "info"]);
    let sockets: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(herd.address("Alford")).unwrap()).collect();
    // The link is up: no other server can know what was reported to one that never had a link.
    let marker = ask(&mut herd.client("Alford"), "IAMAT marker +1+1 1");
    herd.wait_until_agreed(&["Alford", "Bolden"], &["marker".to_owned()], Some(&[marker]));
    let bytes = [const { AtomicUsize::new(0) }; CONNECTIONS];
    let replies = thread::scope(|scope| {
        let mut readers = Vec::new();
        for (at, (socket, bytes)) in sockets.iter().zip(&bytes).enumerate() {
            socket.set_read_timeout(Some(WAIT)).unwrap();
            socket.set_write_timeout(Some(WAIT)).unwrap();
            scope.spawn(move || report_until_it_ends(socket, at));
            readers.push(scope.spawn(move || everything_from(socket, bytes)));
        }
        let enough = REPLIES_BEFORE * "AT Alford +0.000000000 0-0 +1+1 1\n".len();
        eventually("the server is busy", || {
            bytes.iter().all(|bytes| bytes.load(Ordering::Relaxed) > enough).then_some(())
        });
        let (status, took) = herd.terminate("Alford");
        note(format_args!("a busy server ended {took:?} after SIGTERM"));
        assert_eq!(status.code(), Some(0), "{}", herd.complaints("Alford"));
        assert!(took < STOPPED_WITHIN, "{took:?}");
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });

    let mut acknowledged = BTreeMap::new();
    for replies in &replies {
        let text = std::str::from_utf8(replies).unwrap();
        assert!(text.ends_with('\n'), "a reply was cut: {:?}", text.lines().last());
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            assert!(line.starts_with("AT Alford +") && fields.len() == 6, "{line}");
            acknowledged.insert(fields[3].to_owned(), fields[5].parse::<u64>().unwrap());
        }
    }
    assert_eq!(acknowledged.len(), CONNECTIONS * CLIENTS_EACH);
    let clients: Vec<String> = acknowledged.keys().cloned().collect();
    for (answer, (client, time)) in herd.answers("Bolden", &clients).iter().zip(&acknowledged) {
        let known = answer.rsplit(' ').next().unwrap().parse::<u64>();
        assert!(known.is_ok_and(|known| known >= *time), "{client} was acknowledged at {time}: {answer}");
    }
}

/// Reports, one after another, the places of some clients, without waiting for replies.
fn report_until_it_ends(mut socket: &TcpStream, connection: usize) {
    for time in 1.. {
        let reports: String = (0..CLIENTS_EACH)
            .map(|client| format!("IAMAT {connection}-{client} +34.068930-118.445127 {time}\n"))
            .collect();
        if socket.write_all(reports.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads until the server is gone, in whichever way.
fn everything_from(mut socket: &TcpStream, bytes: &AtomicUsize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut some = [0; 16 * 1024];
    loop {
        match socket.read(&mut some) {
            Ok(0) => break,
            Ok(count) => {
                all.extend_from_slice(&some[..count]);
                bytes.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    // A thread that still writes must notice, too.
    let _ = socket.shutdown(Shutdown::Both);
    all
}

#[test]
fn a_second_signal_ends_a_server_that_is_busy_stopping() {
    let mut herd = herd_with_a_full_link();
    herd.signal("Alford", Signal::TERM);
    eventually("the server is stopping", || herd.log("Alford").contains(" stopping\n").then_some(()));
    herd.signal("Alford", Signal::TERM);
    let (status, took) = herd.ended("Alford");
    note(format_args!("a stuck server ended {took:?} after the second signal"));
    assert_eq!(status.code(), Some(130), "the first signal alone ends it with 0, after the time to finish");
}

#[test]
fn neither_a_client_nor_a_neighbour_that_does_not_read_keeps_a_server_from_stopping() {
    let mut herd = herd_with_a_full_link();
    let deaf = TcpStream::connect(herd.address("Alford")).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let line = format!("{}\n", "x".repeat(4000));
    while (&deaf).write_all(line.as_bytes()).is_ok() {}
    let (status, took) = herd.terminate("Alford");
    note(format_args!("a server whose client does not read ended {took:?} after SIGTERM"));
    assert_eq!(status.code(), Some(0));
    assert!(took < STOPPED_WITHIN, "{took:?}");
    // The time to finish is over, or before that the neighbour has been silent for too long.
    let log = herd.log("Alford");
    let ends = [" WARN 1 links did not finish", " WARN link to Bolden: it has said nothing for 4s"];
    assert!(ends.iter().any(|end| log.contains(end)), "{log}");
}

/// Alford has more to tell than fits into the connection to Bolden, which stands still.
fn herd_with_a_full_link() -> RealHerd {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--log-level", "info"]);
    let mut talk = herd.client("Alford");
    ask(&mut talk, "IAMAT kiwi +1+1 1");
    herd.wait_until_agreed(&["Alford", "Bolden"], &["kiwi".to_owned()], None);
    herd.signal("Bolden", Signal::STOP);
    let long = "k".repeat(4000);
    for client in 0..FULL_BYTES / long.len() {
        ask(&mut talk, &format!("IAMAT {client}-{long} +1+1 1"));
    }
    herd
}
