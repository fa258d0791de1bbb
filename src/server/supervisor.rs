//! What the supervisor that started the process (systemd) is told: that the server is ready, reads files again, stops,
//! and how it is.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// The variable in which the supervisor says where it listens.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// How long a message may wait for room. A supervisor that hangs must not keep a server from hearing of its stop.
const SEND_WAIT_MAX: Duration = Duration::from_secs(1);

/// The time that a start which goes on may take before it says so again.
const START_MORE_USEC: u32 = 60_000_000;

/// Where the supervisor listens, if there is one.
///
/// The messages are those of the crate `sd-notify`. It does not send them, because it knows no abstract sockets and
/// waits without a bound for a supervisor that reads nothing.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    socket: Option<SocketAddr>,
}

impl Supervisor {
    /// That of this process, as its environment names it. One that cannot be told anything is warned of.
    pub(super) fn of_this_process() -> Supervisor {
        Supervisor::at(env::var_os(NOTIFY_SOCKET).as_deref())
    }

    /// The one that listens at a path, or, after `@`, at an abstract name.
    fn at(socket: Option<&OsStr>) -> Supervisor {
        let Some(named) = socket.filter(|named| !named.is_empty()) else { return Supervisor::default() };
        match address(named.as_bytes()) {
            Ok(socket) => Supervisor { socket: Some(socket) },
            Err(error) => {
                log::warn!("the supervisor is told nothing: {NOTIFY_SOCKET} is {named:?}: {error}");
                Supervisor::default()
            }
        }
    }

    /// What was begun is complete: the ports are open, or files are asked to be read again.
    pub(super) fn ready(&self, status: &str) {
        // A start that is not heard of is taken for one that hangs, and the server is killed for it.
        if let Err(error) = self.send(&[NotifyState::Ready, NotifyState::Status(status)]) {
            log::warn!("the supervisor cannot be told that the server is ready: {error}");
        }
    }

    /// The server has not started yet, and needs more time for that.
    pub(super) fn starting(&self, status: &str) {
        self.say(&[NotifyState::ExtendTimeoutUsec(START_MORE_USEC), NotifyState::Status(status)]);
    }

    /// How the server is.
    pub(super) fn status(&self, status: &str) {
        self.say(&[NotifyState::Status(status)]);
    }

    /// The server stops.
    pub(super) fn stopping(&self, status: &str) {
        self.say(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Tells that files are read again, while `ask` asks for that.
    pub fn reloading(&self, ask: impl FnOnce()) {
        // A unit of `Type=notify-reload` needs the time, so that no answer to an older request is taken for this one.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.say(&[NotifyState::Reloading, now]);
        }
        ask();
        self.say(&[NotifyState::Ready]);
    }

    /// Tells what is good to know and harmless to miss.
    fn say(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = self.send(states) {
            log::debug!("the supervisor cannot be told {states:?}: {error}");
        }
    }

    /// Each message has a socket of its own, so that a supervisor that has begun again is told, too.
    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(supervisor) = &self.socket else { return Ok(()) };
        let lines: Vec<String> = states.iter().map(NotifyState::to_string).collect();
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_WAIT_MAX))?;
        socket.send_to_addr(lines.join("\n").as_bytes(), supervisor).map(drop)
    }
}

fn address(named: &[u8]) -> io::Result<SocketAddr> {
    match named {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(OsStr::from_bytes(named)),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor begins with @")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(supervisor: &UnixDatagram) -> String {
        let mut message = [0; 1024];
        let bytes = supervisor.recv(&mut message).unwrap();
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn supervisor_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("proxyherd-{}", dir.path().display());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (listens, named) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let supervisor = Supervisor::at(Some(&named));
            supervisor.ready("3 clients");
            assert_eq!(told(&listens), "READY=1\nSTATUS=3 clients");
            supervisor.status("4 clients");
            assert_eq!(told(&listens), "STATUS=4 clients");
            supervisor.reloading(|| {
                let begun = told(&listens);
                let usec = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
                assert!(usec.parse::<u64>().unwrap() > 0);
            });
            assert_eq!(told(&listens), "READY=1");
            supervisor.stopping("stops");
            assert_eq!(told(&listens), "STOPPING=1\nSTATUS=stops");
        }
    }

    #[test]
    fn supervisor_that_is_none_is_gone_or_hangs_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone").into_os_string();
        let long = dir.path().join("l".repeat(200)).into_os_string();
        for named in [None, Some(OsStr::new("")), Some(OsStr::new("vsock:2:1")), Some(&gone), Some(&long)] {
            let supervisor = Supervisor::at(named);
            supervisor.ready("");
            let mut asked = false;
            supervisor.reloading(|| asked = true);
            assert!(asked);
        }
        assert!(Supervisor::at(Some(&gone)).send(&[NotifyState::Ready]).is_err());

        let path = dir.path().join("hangs");
        let _listens = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(Some(path.as_os_str()));
        let refused = std::iter::repeat_with(|| supervisor.send(&[NotifyState::Ready])).find_map(Result::err);
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
