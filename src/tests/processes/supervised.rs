//! A server that a supervisor has started tells it when it is ready, how it is, and when it stops.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;

use crate::real::{RealHerd, WAIT, ask, eventually};

/// The next message to the supervisor.
fn told(supervisor: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let bytes = supervisor.recv(&mut message).unwrap();
    String::from_utf8(message[..bytes].to_vec()).unwrap()
}

/// The next message that is more than the status.
fn told_more(supervisor: &UnixDatagram) -> String {
    std::iter::repeat_with(|| told(supervisor)).find(|message| !message.starts_with("STATUS=")).unwrap()
}

/// Plays the supervisor of a server that is started with `NOTIFY_SOCKET` set to `named`.
fn manage(supervisor: &UnixDatagram, named: &str) {
    supervisor.set_read_timeout(Some(WAIT)).unwrap();
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--status-every", "1s"]);
    // The second start has something to recover before it is ready.
    for known in [0, 1] {
        herd.spawn_in_shell("Alford", &format!("export NOTIFY_SOCKET='{named}';"));
        let ready = format!("READY=1\nSTATUS=clients known: {known}, connected: 0; links up: 0 of 1");
        assert_eq!(told(supervisor), ready);
        // Once it is ready no client has to come twice.
        assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 5").starts_with("AT "));
        eventually("the status comes again", || {
            told(supervisor).starts_with("STATUS=clients known: 1, ").then_some(())
        });
        herd.signal("Alford", Signal::HUP);
        let reloading = told_more(supervisor);
        let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(told_more(supervisor), "READY=1");
        assert_eq!(herd.terminate("Alford").0.code(), Some(0));
        let stopping = told_more(supervisor);
        assert!(stopping.starts_with("STOPPING=1\nSTATUS=stopping"), "{stopping}");
    }
    assert!(!herd.log("Alford").contains("the supervisor"), "{}", herd.log("Alford"));
}

#[test]
fn a_supervisor_at_a_path_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    manage(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
}

#[test]
fn a_supervisor_at_an_abstract_name_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("proxyherd{}", dir.path().display());
    let supervisor = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manage(&supervisor, &format!("@{name}"));
}

#[test]
fn a_supervisor_that_is_gone_or_cannot_be_told_stops_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    drop(UnixDatagram::bind(&gone).unwrap());
    let long = OsString::from(dir.path().join("l".repeat(200)));
    for (named, why) in [
        (gone.to_str().unwrap(), "cannot be told that the server is ready: "),
        ("@nobody-listens-here", "cannot be told that the server is ready: "),
        (long.to_str().unwrap(), "is told nothing: NOTIFY_SOCKET is "),
        ("vsock:2:1234", "it is neither a path nor begins with @"),
    ] {
        let mut herd = RealHerd::new(&["Alford"], &[], &[]);
        herd.spawn_in_shell("Alford", &format!("export NOTIFY_SOCKET='{named}';"));
        herd.wait_until_ready("Alford");
        assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 5").starts_with("AT "));
        eventually("it is logged", || herd.log("Alford").contains(why).then_some(()));
        assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    }
}
