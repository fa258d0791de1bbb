//! A herd of real processes, in a folder and on addresses of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use proxyherd::config::{self, Member};
use proxyherd::proto::model::name::ServerName;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process, pidfd_open, prlimit};
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::transcripts::run::{Herd, Talk};
use crate::transcripts::sockets::Addresses;
pub(crate) use crate::transcripts::sockets::{Connection, WAIT};

/// The servers and links of the default herd.
pub(crate) const FIVE: [&str; 5] = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];
pub(crate) const FIVE_LINKS: [(&str, &str); 5] = [
    ("Alford", "Parker"),
    ("Alford", "Powell"),
    ("Bolden", "Parker"),
    ("Bolden", "Powell"),
    ("Hamilton", "Parker"),
];

/// A herd whose servers are processes. All that run are killed when it is dropped.
pub(crate) struct RealHerd {
    herd: config::Herd,
    folder: TempDir,
    options: Vec<String>,
    running: BTreeMap<String, Child>,
    addresses: Addresses,
}

impl RealHerd {
    /// All servers running and answering, with these options of `proxyherd serve` for each.
    pub(crate) fn start(names: &[&str], links: &[(&str, &str)], options: &[&str]) -> RealHerd {
        let mut herd = RealHerd::new(names, links, options);
        for name in names {
            herd.spawn(name);
        }
        names.iter().for_each(|name| herd.wait_until_ready(name));
        herd
    }

    /// The default herd.
    pub(crate) fn five(options: &[&str]) -> RealHerd {
        RealHerd::start(&FIVE, &FIVE_LINKS, options)
    }

    /// A herd none of whose servers has been started.
    pub(crate) fn new(names: &[&str], links: &[(&str, &str)], options: &[&str]) -> RealHerd {
        RealHerd::of(names, links, options, || None)
    }

    /// A herd that speaks HTTP, too, none of whose servers has been started.
    pub(crate) fn with_http(names: &[&str], links: &[(&str, &str)], options: &[&str]) -> RealHerd {
        RealHerd::of(names, links, options, || Some(free_address()))
    }

    fn of(
        names: &[&str],
        links: &[(&str, &str)],
        options: &[&str],
        http: impl Fn() -> Option<SocketAddr>,
    ) -> RealHerd {
        let name = |text: &str| ServerName::parse(text).unwrap();
        let member = |text: &&str| Member {
            http: http().map(Into::into),
            ..Member::herd(name(text), free_address(), free_address())
        };
        let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
        let herd = config::Herd::new(names.iter().map(member).collect(), links, true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("herd.toml"), proxyherd::config::to_toml(&herd)).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let addresses =
            herd.members().iter().map(|member| (member.name.to_string(), member.client.literal().unwrap()));
        let addresses = Addresses::new(addresses);
        RealHerd { herd, folder, options, running: BTreeMap::new(), addresses }
    }

    /// Where a server is for its clients.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.herd.member(name).unwrap().client.literal().unwrap()
    }

    /// Where a server listens for its neighbours.
    pub(crate) fn peer(&self, name: &str) -> SocketAddr {
        self.herd.member(name).unwrap().peer.resolve().unwrap()
    }

    /// Where a server speaks HTTP.
    pub(crate) fn http(&self, name: &str) -> SocketAddr {
        self.herd.member(name).unwrap().http.as_ref().unwrap().literal().unwrap()
    }

    /// Starts a server with options of its own.
    pub(crate) fn spawn_with_options(&mut self, name: &str, options: &[&str]) {
        let shared = self.options.len();
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self.spawn(name);
        self.options.truncate(shared);
    }

    /// Starts a server through another program, which becomes it.
    pub(crate) fn spawn_through(&mut self, name: &str, program: &str) {
        let mut command = Command::new(program);
        command.arg(env!("CARGO_BIN_EXE_proxyherd"));
        self.spawn_with(name, command);
    }

    /// Starts a server whose hosts file is this one, in a namespace of its own. It takes root.
    pub(crate) fn spawn_with_hosts(&mut self, name: &str, hosts: &str) {
        self.spawn_with_files(name, &[(hosts, "/etc/hosts")]);
    }

    /// Starts a server that sees these files of the herd's folder where others are, in a namespace of its own. It
    /// takes root.
    pub(crate) fn spawn_with_files(&mut self, name: &str, files: &[(&str, &str)]) {
        let mut command = Command::new("unshare");
        let mount = |(file, at): &(&str, &str)| format!("mount --bind {file} {at} && ");
        let script = files.iter().map(mount).collect::<String>() + "exec \"$@\"";
        command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_proxyherd")]);
        self.spawn_with(name, command);
    }

    /// Starts a server from a shell that runs `before` first.
    pub(crate) fn spawn_in_shell(&mut self, name: &str, before: &str) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before} exec \"$@\""), "sh", env!("CARGO_BIN_EXE_proxyherd")]);
        self.spawn_with(name, command);
    }

    /// Starts a server, and does not wait for it.
    pub(crate) fn spawn(&mut self, name: &str) {
        self.spawn_with(name, Command::new(env!("CARGO_BIN_EXE_proxyherd")));
    }

    fn spawn_with(&mut self, name: &str, mut command: Command) {
        // Its own complaints are of interest where a test fails.
        command.args(["serve", name, "--herd", "herd.toml"]).args(&self.options);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let complaints = fs::File::create(self.folder.path().join(format!("{name}.stderr"))).unwrap();
        let child = command.stderr(complaints).spawn().unwrap();
        assert!(self.running.insert(name.to_owned(), child).is_none(), "{name} is running");
    }

    /// Runs the program with these words, in the folder of the herd, to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxyherd"));
        command.args(words).current_dir(self.folder.path()).output().unwrap()
    }

    /// Waits until a server answers.
    pub(crate) fn wait_until_ready(&mut self, name: &str) {
        let address = self.address(name);
        eventually(&format!("{name} answers"), || {
            let ended = self.child(name).try_wait().unwrap();
            assert!(ended.is_none(), "{name} has ended: {ended:?}: {}", self.complaints(name));
            TcpStream::connect(address).ok().map(drop)
        });
    }

    /// Starts a server and waits until it answers.
    pub(crate) fn start_one(&mut self, name: &str) {
        self.spawn(name);
        self.wait_until_ready(name);
    }

    /// A connection to a server's client port.
    pub(crate) fn client(&self, name: &str) -> Connection {
        Connection::to(self.address(name)).unwrap()
    }

    /// Sends a signal to a server.
    pub(crate) fn signal(&mut self, name: &str, signal: Signal) {
        let child = self.child(name);
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits for a server to end by itself; returns how it ended and how long that took.
    pub(crate) fn ended(&mut self, name: &str) -> (ExitStatus, Duration) {
        let since = now();
        assert!(self.ends_within(name, WAIT), "{name} does not end");
        (self.running.remove(name).unwrap().wait().unwrap(), since.elapsed())
    }

    /// Waits this long for a server to end, and says whether it has.
    pub(crate) fn ends_within(&mut self, name: &str, wait: Duration) -> bool {
        let process = pidfd_open(Pid::from_child(self.child(name)), PidfdFlags::empty()).unwrap();
        let mut polled = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut polled, Some(&wait.try_into().unwrap())).unwrap() > 0
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self, name: &str) -> (ExitStatus, Duration) {
        self.signal(name, Signal::TERM);
        self.ended(name)
    }

    /// SIGKILL: the server has no chance to say or save anything.
    pub(crate) fn kill_one(&mut self, name: &str) {
        let mut child = self.running.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGKILL to several at one moment.
    pub(crate) fn kill_all(&mut self, names: &[&str]) {
        let mut children: Vec<Child> = names.iter().map(|name| self.running.remove(*name).unwrap()).collect();
        children.iter_mut().for_each(|child| child.kill().unwrap());
        for child in &mut children {
            child.wait().unwrap();
        }
    }

    /// A file of the herd's folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// What a server has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap()
    }

    /// What a server has logged, if it has begun to.
    pub(crate) fn log_so_far(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The number of a server's process.
    pub(crate) fn process_id(&mut self, name: &str) -> u32 {
        self.child(name).id()
    }

    /// What a server has said on its standard error.
    pub(crate) fn complaints(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.stderr"))).unwrap()
    }

    /// Sets what the system grants a server that runs.
    pub(crate) fn limit(&mut self, name: &str, resource: Resource, limit: Rlimit) {
        prlimit(Some(Pid::from_child(self.child(name))), resource, limit).unwrap();
    }

    /// The memory that a server has in use, in bytes.
    pub(crate) fn resident_bytes(&mut self, name: &str) -> u64 {
        self.status(name, "VmRSS:") * 1024
    }

    /// The most memory that a server has had in use, in bytes.
    pub(crate) fn peak_resident_bytes(&mut self, name: &str) -> u64 {
        self.status(name, "VmHWM:") * 1024
    }

    /// The addresses that a server has in use, in bytes.
    pub(crate) fn address_space_bytes(&mut self, name: &str) -> u64 {
        self.status(name, "VmSize:") * 1024
    }

    /// A number that the system knows of a server; sizes are in KiB.
    fn status(&mut self, name: &str, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child(name).id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The `AT` lines with which a server answers questions about these clients, `?` lines for unknown ones.
    pub(crate) fn answers(&self, server: &str, clients: &[String]) -> Vec<String> {
        let mut talk = self.client(server);
        let mut answers = Vec::new();
        for some in clients.chunks(100) {
            let questions: String = some.iter().map(|client| format!("WHATSAT {client} 1 1\n")).collect();
            talk.send(questions.as_bytes()).unwrap();
            for _ in some {
                let line = line(&mut talk);
                while line.starts_with("AT ") && !self::line(&mut talk).is_empty() {}
                answers.push(line);
            }
        }
        answers
    }

    /// Waits until all these servers give the same answers; returns these, and how long it took.
    pub(crate) fn wait_until_agreed(
        &self,
        servers: &[&str],
        clients: &[String],
        expected: Option<&[String]>,
    ) -> (Vec<String>, Duration) {
        let since = now();
        let agreed = eventually(&format!("{servers:?} agree"), || {
            let first = self.answers(servers[0], clients);
            let right = expected.is_none_or(|expected| first == expected)
                && first.iter().all(|answer| answer.starts_with("AT "))
                && servers[1..].iter().all(|server| self.answers(server, clients) == first);
            right.then_some(first)
        });
        (agreed, since.elapsed())
    }

    fn child(&mut self, name: &str) -> &mut Child {
        self.running.get_mut(name).unwrap()
    }
}

impl Drop for RealHerd {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // One that has ended cannot be killed any more.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The next line of a reply, as text.
pub(crate) fn line(talk: &mut Connection) -> String {
    String::from_utf8(talk.line().unwrap().unwrap()).unwrap()
}

/// Sends a line and returns the one that comes back.
pub(crate) fn ask(talk: &mut Connection, request: &str) -> String {
    talk.send(format!("{request}\n").as_bytes()).unwrap();
    line(talk)
}

/// Looks again and again until there is something to be found.
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let since = now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(since.elapsed() < WAIT, "not within {WAIT:?}: {what}");
        thread::yield_now();
    }
}

/// The clock, for deadlines and for what is printed.
#[expect(clippy::disallowed_methods, reason = "a test that waits needs a deadline")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Herd for RealHerd {
    type Talk = Connection;

    fn connect(&mut self, server: &str) -> Result<Connection, String> {
        self.addresses.connect(server)
    }

    fn connect_as_peer(&mut self, server: &str) -> Result<Connection, String> {
        let member = self.herd.member(server).ok_or_else(|| format!("no server is named {server}"))?;
        Connection::to(member.peer.literal().unwrap())
    }

    fn ask_again(&mut self, times: u64) -> bool {
        self.addresses.ask_again(times)
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        self.kill_one(server);
        Ok(())
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        self.start_one(server);
        Ok(())
    }
}

/// Says what was measured, if the tests run with `--nocapture`.
#[expect(clippy::print_stderr, reason = "a measurement is for people")]
pub(crate) fn note(what: std::fmt::Arguments<'_>) {
    eprintln!("{what}");
}
