//! One server with a further port, for HTTP or MQTT.

use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use proxyherd::config::{Address, Herd, Member, to_toml};
use proxyherd::proto::model::name::ServerName;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::kinds::Kind;
use crate::talk::{WAIT, eventually};

/// A server with such a port. It ends with the test.
pub(crate) struct Served {
    child: Child,
    at: SocketAddr,
    dir: TempDir,
}

impl Served {
    /// Starts a server, for which `door` makes its port of an address.
    pub(crate) fn start(kind: Kind, door: impl FnOnce(Member, Address) -> Member) -> Served {
        let (dir, at) = (tempfile::tempdir().unwrap(), free_address());
        let member = Member::herd(ServerName::parse("Alford").unwrap(), free_address(), free_address());
        let herd = Herd::new(vec![door(member, at.into())], Vec::new(), true).unwrap();
        let file = dir.path().join("herd.toml");
        std::fs::write(&file, to_toml(&herd)).unwrap();
        let mut command = kind.command("Alford");
        command.arg("--herd").arg(file).arg("--log-dir").arg(dir.path()).args(["--log-level", "info"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut served = Served { child: child.unwrap(), at, dir };
        eventually("it is up", || {
            assert_eq!(served.child.try_wait().unwrap(), None, "it has ended");
            TcpStream::connect_timeout(&at, WAIT).ok().map(drop)
        });
        served
    }

    /// A connection to the port.
    pub(crate) fn talk(&self) -> BufReader<TcpStream> {
        let socket = TcpStream::connect_timeout(&self.at, WAIT).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        BufReader::new(socket)
    }

    /// Asks it to stop, and returns what it has logged.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let ended = eventually("it ends", || self.child.try_wait().unwrap());
        assert!(ended.success(), "{ended}");
        std::fs::read_to_string(self.dir.path().join("Alford.log")).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
