//! The variants of `bench/field/variants.toml`, and herds of them as processes of this test.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::free_address::free_address;
use crate::talk::{Talk, eventually};

/// The links of the default herd.
const LINKS: [(&str, &str); 5] = [
    ("Alford", "Parker"),
    ("Alford", "Powell"),
    ("Bolden", "Parker"),
    ("Bolden", "Powell"),
    ("Hamilton", "Parker"),
];

/// Its servers.
pub(crate) const NAMES: [&str; 5] = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];

/// One server of another maker that can be started here.
#[derive(Clone)]
pub(crate) struct Variant {
    name: String,
    command: Vec<String>,
}

impl Variant {
    /// The variant with this name; `None`, and a sentence on the standard error stream, if it is not installed.
    pub(crate) fn installed(name: &str) -> Option<Variant> {
        let text = std::fs::read_to_string(root().join("bench/field/variants.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let entries = manifest["variant"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["name"].as_str() == Some(name)).unwrap();
        let words = |key: &str| -> Vec<String> {
            entry[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let version = words("version");
        let answer = Command::new(&version[0]).args(&version[1..]).current_dir(root()).output();
        if answer.is_ok_and(|answer| answer.status.success()) {
            return Some(Variant { name: name.to_owned(), command: words("command") });
        }
        say_once(format!("field: {name} is skipped, it is not installed: run bench/field/setup.sh\n"));
        None
    }

    fn start(&self, member: &Member, neighbours: &[String]) -> Child {
        let mut words = Vec::new();
        for word in &self.command {
            match word.as_str() {
                "{neighbours}" => words.extend_from_slice(neighbours),
                word => words.push(
                    word.replace("{name}", &member.name).replace("{client}", &member.address.to_string()),
                ),
            }
        }
        let log = File::create(member.log(&self.name)).unwrap();
        Command::new(&words[0])
            .args(&words[1..])
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

/// Tells people who run the tests. Not by a macro, for what macros print is captured.
fn say_once(sentence: String) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap();
    if !said.contains(&sentence) {
        std::io::stderr().write_all(sentence.as_bytes()).unwrap();
        said.insert(sentence);
    }
}

struct Member {
    name: String,
    address: SocketAddr,
    process: Option<Child>,
}

impl Member {
    /// What the server says on its standard error stream: kept for those who look into a failure.
    fn log(&self, variant: &str) -> PathBuf {
        let file = format!("{variant}-{}-{}.log", self.name, self.address.to_string().replace(':', "-"));
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(file)
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// One process that knows its neighbours. It is killed when it is dropped.
pub(crate) struct Process {
    variant: Variant,
    member: Member,
    neighbours: Vec<String>,
}

impl Process {
    /// A server of this name and address; neighbours are like `Alford=127.0.0.1:12550`.
    pub(crate) fn start(variant: Variant, name: &str, address: SocketAddr, neighbours: &[String]) -> Process {
        let member = Member { name: name.to_owned(), address, process: None };
        let mut process = Process { variant, member, neighbours: neighbours.to_vec() };
        process.start_again();
        process
    }

    /// Ends it without a word to anybody.
    pub(crate) fn stop(&mut self) {
        self.member.stop();
    }

    /// Starts it once more.
    pub(crate) fn start_again(&mut self) {
        self.member.process = Some(self.variant.start(&self.member, &self.neighbours));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.member.stop();
    }
}

/// Processes that know each other. They are killed when it is dropped.
pub(crate) struct Herd {
    variant: Variant,
    members: Vec<Member>,
    links: Vec<(String, String)>,
}

impl Herd {
    /// The five servers of the default herd, each ready for clients.
    pub(crate) fn of_five(variant: Variant) -> Herd {
        Herd::start(variant, &NAMES, &LINKS)
    }

    /// Servers with these names and links, on addresses that nothing else uses, each ready for clients.
    pub(crate) fn start(variant: Variant, names: &[&str], links: &[(&str, &str)]) -> Herd {
        let member =
            |name: &&str| Member { name: (*name).to_owned(), address: free_address(), process: None };
        let mut herd = Herd {
            variant,
            members: names.iter().map(member).collect(),
            links: links.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        names.iter().for_each(|name| herd.spawn(name));
        names.iter().for_each(|name| herd.wait_for(name));
        herd
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.members[self.index(name)].address
    }

    /// A new connection to this server.
    pub(crate) fn client(&self, name: &str) -> Talk {
        Talk::with(self.address(name))
    }

    /// Ends a server without a word to anybody.
    pub(crate) fn kill(&mut self, name: &str) {
        let index = self.index(name);
        self.members[index].stop();
    }

    /// Starts a server that was killed, and waits until it is ready.
    pub(crate) fn start_again(&mut self, name: &str) {
        self.spawn(name);
        self.wait_for(name);
    }

    /// Ends a server politely and returns its exit code.
    pub(crate) fn terminate(&mut self, name: &str) -> Option<i32> {
        let index = self.index(name);
        let mut process = self.members[index].process.take().unwrap();
        let sent = Command::new("sh").args(["-c", &format!("kill {}", process.id())]).status().unwrap();
        assert!(sent.success());
        eventually("a server that is told to end ends", || process.try_wait().unwrap()).code()
    }

    fn index(&self, name: &str) -> usize {
        self.members.iter().position(|member| member.name == name).unwrap()
    }

    fn spawn(&mut self, name: &str) {
        let neighbours: Vec<String> = self
            .links
            .iter()
            .filter_map(|(a, b)| match name {
                name if name == a => Some(b),
                name if name == b => Some(a),
                _ => None,
            })
            .map(|other| format!("{other}={}", self.address(other)))
            .collect();
        let index = self.index(name);
        let process = self.variant.start(&self.members[index], &neighbours);
        self.members[index].process = Some(process);
    }

    fn wait_for(&mut self, name: &str) {
        let index = self.index(name);
        let log = self.members[index].log(&self.variant.name);
        let Member { address, process, .. } = &mut self.members[index];
        let process = process.as_mut().unwrap();
        eventually(&format!("{name} is ready"), || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("{name} ended with {status}: {}", std::fs::read_to_string(&log).unwrap());
            }
            TcpStream::connect(*address).ok()
        });
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::stop);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the repository")
}
