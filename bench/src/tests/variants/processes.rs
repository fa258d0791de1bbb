//! Servers as processes, on addresses that nothing else uses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};

use proxyherd::config::{Herd, Member};
use proxyherd::proto::model::name::ServerName;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::kinds::Kind;
use crate::talk::{Talk, WAIT, eventually};

/// The five servers of the course, and their links.
pub(crate) const FIVE: [&str; 5] = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("Alford", "Parker"),
    ("Alford", "Powell"),
    ("Bolden", "Parker"),
    ("Bolden", "Powell"),
    ("Hamilton", "Parker"),
];

/// Servers of one herd, each a process while it runs.
pub(crate) struct Processes {
    dir: TempDir,
    herd: Herd,
    kinds: BTreeMap<String, Kind>,
    args: Vec<String>,
    running: BTreeMap<String, Child>,
}

impl Processes {
    /// The five servers, each of its kind, all running.
    pub(crate) fn five(kinds: [Kind; 5]) -> Processes {
        Processes::start_all(&FIVE, &LINKS, &kinds)
    }

    /// The five servers, where each reaches its neighbours at other addresses than those they listen on: those that
    /// `dialled` gives for the first name's link to the second, which listens at the address.
    pub(crate) fn five_over(
        kinds: [Kind; 5],
        dialled: impl FnMut(&str, &str, SocketAddr) -> SocketAddr,
    ) -> Processes {
        let mut processes = Processes::new(&FIVE, &LINKS, &kinds, &[]);
        processes.rewire(dialled);
        processes.start_those(&FIVE);
        processes
    }

    /// One server without neighbours.
    pub(crate) fn alone(kind: Kind) -> Processes {
        Processes::alone_with(kind, &[])
    }

    /// One server without neighbours, with these further arguments.
    pub(crate) fn alone_with(kind: Kind, args: &[&str]) -> Processes {
        let mut processes = Processes::new(&["Alford"], &[], &[kind], args);
        processes.start("Alford");
        processes
    }

    /// Servers with these names and links, each of its kind, all running.
    pub(crate) fn start_all(names: &[&str], links: &[(&str, &str)], kinds: &[Kind]) -> Processes {
        let mut processes = Processes::new(names, links, kinds, &[]);
        processes.start_those(names);
        processes
    }

    /// Servers with these names and links, each of its kind, none running.
    pub(crate) fn new(names: &[&str], links: &[(&str, &str)], kinds: &[Kind], args: &[&str]) -> Processes {
        let name = |text: &str| ServerName::parse(text).unwrap();
        let member = |text: &&str| Member::herd(name(text), free_address(), free_address());
        let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
        let herd = Herd::new(names.iter().map(member).collect(), links, true).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(format!("{name}.toml")), proxyherd::config::to_toml(&herd))
                .unwrap();
        }
        let kinds = names.iter().map(|name| (*name).to_owned()).zip(kinds.iter().copied()).collect();
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Processes { dir, herd, kinds, args, running: BTreeMap::new() }
    }

    /// Gives each server a herd file of its own.
    fn rewire(&self, mut dialled: impl FnMut(&str, &str, SocketAddr) -> SocketAddr) {
        for from in self.kinds.keys() {
            let neighbours = self.herd.neighbours(&self.herd.member(from).unwrap().name);
            let mut members = self.herd.members().to_vec();
            for member in members.iter_mut().filter(|member| neighbours.contains(&&**member)) {
                member.peer = dialled(from, member.name.as_str(), member.peer.resolve().unwrap()).into();
            }
            let herd = Herd::new(members, self.herd.links().to_vec(), self.herd.catch_up).unwrap();
            std::fs::write(self.dir.path().join(format!("{from}.toml")), proxyherd::config::to_toml(&herd))
                .unwrap();
        }
    }

    fn start_those(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.launch(name));
        names.iter().for_each(|name| self.wait_until_up(name));
    }

    /// Starts a server, and waits until clients can connect.
    pub(crate) fn start(&mut self, name: &str) {
        self.launch(name);
        self.wait_until_up(name);
    }

    /// Kills a server at once.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks a server to stop, as `kill` does without options; returns its exit code.
    pub(crate) fn terminate(&mut self, name: &str) -> Option<i32> {
        self.ask_to_stop(name);
        self.ended(name)
    }

    /// Asks a server to stop.
    pub(crate) fn ask_to_stop(&self, name: &str) {
        kill_process(Pid::from_child(&self.running[name]), Signal::TERM).unwrap();
    }

    /// Waits until a server has ended; returns its exit code.
    pub(crate) fn ended(&mut self, name: &str) -> Option<i32> {
        let mut child = self.running.remove(name).unwrap();
        let ended = eventually("it ends", || child.try_wait().unwrap());
        ended.code()
    }

    /// Where clients talk to a server.
    pub(crate) fn clients(&self, name: &str) -> SocketAddr {
        self.herd.member(name).unwrap().client.resolve().unwrap()
    }

    /// Where a server's neighbours talk to it.
    pub(crate) fn peers(&self, name: &str) -> SocketAddr {
        self.herd.member(name).unwrap().peer.resolve().unwrap()
    }

    /// A conversation with a server.
    pub(crate) fn client(&self, name: &str) -> Talk {
        Talk::with(self.clients(name))
    }

    /// What a server has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap()
    }

    /// What a server that has stopped has counted.
    pub(crate) fn counted(&self, name: &str, counter: &str) -> u64 {
        let log = self.log(name);
        let (_, counts) = log.rsplit_once("stopped: ").unwrap();
        let prefix = format!("{counter}=");
        counts.split_whitespace().find_map(|count| count.strip_prefix(&prefix)).unwrap().parse().unwrap()
    }

    fn launch(&mut self, name: &str) {
        let errors = File::create(self.dir.path().join(format!("{name}.err"))).unwrap();
        let child = self.kinds[name]
            .command(name)
            .arg("--herd")
            .arg(self.dir.path().join(format!("{name}.toml")))
            .arg("--log-dir")
            .arg(self.dir.path())
            .args(["--log-level", "info"])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        self.running.insert(name.to_owned(), child);
    }

    fn wait_until_up(&mut self, name: &str) {
        let address = self.clients(name);
        let errors = self.dir.path().join(format!("{name}.err"));
        let child = self.running.get_mut(name).unwrap();
        eventually(&format!("{name} is up"), || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{name} ended with {status}: {}", std::fs::read_to_string(&errors).unwrap());
            }
            TcpStream::connect_timeout(&address, WAIT).ok().map(drop)
        });
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (name, child) in &mut self.running {
            // It may have ended by itself.
            let ended = child.try_wait();
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                say_what_was_left(name, &ended, self.dir.path());
            }
        }
    }
}

/// Shows what one of the servers of a failed test has said.
#[expect(clippy::print_stderr, reason = "the folder is gone when the test has ended")]
fn say_what_was_left(name: &str, ended: &io::Result<Option<ExitStatus>>, dir: &Path) {
    for kind in ["err", "log"] {
        let text = std::fs::read_to_string(dir.join(format!("{name}.{kind}"))).unwrap_or_default();
        eprintln!("{name}.{kind} (ended: {ended:?}):\n{text}");
    }
}
