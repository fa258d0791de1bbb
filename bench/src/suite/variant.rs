//! Every server that can be measured, and how it is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proxyherd::config::{Herd, Member};
use serde::Deserialize;

use crate::load::Protocol;
use crate::load::machine::said_by;

/// A server that can be measured.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// What it is called in results.
    pub(super) name: String,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// How it is started.
    launch: Launch,
    /// What it can do.
    pub(super) able: Able,
    /// What prints the version of what it is made with, if that is not of this project.
    version: Vec<String>,
}

/// What a variant can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Able {
    /// Several of it form a herd.
    pub(super) herd: bool,
    /// It takes part where 1000 and more connections send.
    pub(super) crowds: bool,
    /// It takes part where thousands of connections are open and few send.
    pub(super) idlers: bool,
    /// It serves more than one client at a time.
    pub(super) many: bool,
    /// It asks a provider of places over the network.
    pub(super) places: bool,
    /// A thread of its own serves each connection.
    pub(super) threads: bool,
    /// Its herd has a secret, by which links are encrypted. It is measured where links are.
    pub(super) encrypted: bool,
}

#[derive(Clone, Debug)]
enum Launch {
    /// A program of this project: `[serve] NAME --herd FILE ...`.
    Ours { program: PathBuf, before: Vec<&'static str>, after: Vec<&'static str> },
    /// A command with words to be filled in.
    Template(Vec<String>),
}

/// The start of variants that are not of this project.
#[derive(Debug, Default, Deserialize)]
struct Field {
    #[serde(default)]
    variant: Vec<FieldVariant>,
    #[serde(default)]
    reference: Vec<FieldVariant>,
}

#[derive(Debug, Deserialize)]
struct FieldVariant {
    name: String,
    command: Vec<String>,
    #[serde(default)]
    version: Vec<String>,
}

/// Starts mosquitto without persistence and without a log, for as many clients as come; its host, its port and its file
/// follow. It keeps the user, because it would lose the bond to who has started it with that.
const MOSQUITTO: &str = "printf 'listener %s %s\\nallow_anonymous true\\npersistence false\\nlog_type error\\n\
     set_tcp_nodelay true\\nuser root\\n' \"$1\" \"$0\" >\"$2\" && exec mosquitto -c \"$2\"";

/// The threaded server of an earlier commit, which `scripts/bench.sh --before COMMIT` has built. Without that it is not
/// there, and not missed.
pub(super) const BEFORE: &str = "before";

/// The file, in the root of the project, that names the servers of other makers.
const FIELD_FILE: &str = "bench/field/variants.toml";

impl Variant {
    /// The words of the command that starts `member` of `herd`, whose file is at `herd_file`.
    pub(super) fn command(
        &self,
        herd: &Herd,
        member: &Member,
        herd_file: &Path,
        extra: &[String],
    ) -> Vec<String> {
        match &self.launch {
            Launch::Ours { program, before, after } => {
                let folder = herd_file.parent().unwrap_or(Path::new("."));
                let mut words = vec![program.display().to_string()];
                words.extend(before.iter().map(ToString::to_string));
                words.push(member.name.to_string());
                words.extend(["--herd".to_owned(), herd_file.display().to_string()]);
                words.extend(["--log-dir".to_owned(), folder.display().to_string()]);
                if !extra.iter().any(|word| word == "--connections-max") {
                    words.extend(["--connections-max".to_owned(), "12000".to_owned()]);
                }
                words.extend(after.iter().map(ToString::to_string));
                if before.contains(&"serve") {
                    let data = folder.join("data").join(member.name.as_str());
                    if !extra.iter().any(|word| word == "--data-dir") {
                        words.extend(["--data-dir".to_owned(), data.display().to_string()]);
                    }
                    // The others keep nothing either.
                    if !extra.iter().any(|word| word == "--durability") {
                        words.extend(["--durability".to_owned(), "none".to_owned()]);
                    }
                }
                if !extra.iter().any(|word| word == "--log-level") {
                    words.extend(["--log-level".to_owned(), "warn".to_owned()]);
                }
                words.extend(extra.iter().cloned());
                words
            }
            Launch::Template(words) => {
                let neighbours = herd.neighbours(&member.name).into_iter();
                let neighbours: Vec<String> =
                    neighbours.map(|it| format!("{}={}", it.name, it.client)).collect();
                let at = member.mqtt.as_ref().unwrap_or(&member.client);
                let address = at.literal();
                let folder = herd_file.parent().unwrap_or(Path::new("."));
                let fill = |word: &String| match word.as_str() {
                    "{neighbours}" => neighbours.clone(),
                    word => vec![
                        word.replace("{name}", member.name.as_str())
                            .replace("{client}", &member.client.to_string())
                            .replace("{folder}", &folder.display().to_string())
                            .replace("{host}", &address.map(|it| it.ip().to_string()).unwrap_or_default())
                            .replace("{port}", &at.port().to_string()),
                    ],
                };
                words.iter().flat_map(fill).collect()
            }
        }
    }

    /// The variant with all links eager, if it is of this project: others know of no trees.
    pub(super) fn with_eager_links(&self) -> Variant {
        let mut variant = self.clone();
        if let Launch::Ours { after, .. } = &mut variant.launch {
            after.push("--eager-links");
        }
        variant
    }

    /// The variant under another name.
    pub(super) fn named(self, name: &str) -> Variant {
        Variant { name: name.to_owned(), ..self }
    }

    /// The variant at its door of HTTP in TLS.
    pub(super) fn in_tls(&self) -> Variant {
        Variant { protocol: Protocol::Https, ..self.clone() }
    }

    /// The variant at the door of MQTT.
    pub(super) fn at_mqtt(&self) -> Variant {
        Variant { protocol: Protocol::Mqtt, ..self.clone() }
    }

    /// The version of what it is made with; empty for what is of this project.
    pub(super) fn version(&self) -> String {
        let Some((program, arguments)) = self.version.split_first() else { return String::new() };
        said_by(program, arguments)
    }

    /// Why it cannot be started on this machine.
    fn missing(&self) -> Option<String> {
        let (program, advice) = match &self.launch {
            Launch::Ours { program, .. } => (program.clone(), "it has not been built"),
            Launch::Template(words) => (PathBuf::from(&words[0]), "it is not installed"),
        };
        match is_program(&program) {
            true => None,
            false => Some(format!("{advice}: {} is missing", program.display())),
        }
    }
}

/// All variants, in the order in which results are shown: those that can be started, and why the others cannot.
/// `programs` is the folder of this project's programs.
pub(super) fn all(programs: &Path) -> (Vec<Variant>, BTreeMap<String, String>) {
    let (ready, missing): (Vec<_>, Vec<_>) =
        ours(programs).into_iter().chain(field()).partition(|variant| variant.missing().is_none());
    let why = |variant: Variant| variant.missing().map(|why| (variant.name, why));
    (ready, missing.into_iter().filter(|variant| variant.name != BEFORE).filter_map(why).collect())
}

/// What only passes on, which is what a chain of servers is compared with. It takes part nowhere else.
pub(super) fn relay(programs: &Path) -> Variant {
    let launch = Launch::Ours { program: programs.join("relay"), before: Vec::new(), after: Vec::new() };
    let (able, protocol) = (Able::default(), Protocol::Echo);
    Variant { name: "relay".to_owned(), protocol, launch, able, version: Vec::new() }
}

/// The servers at the door of HTTP, that of this project first: those that can be started, and why the others cannot.
pub(super) fn of_http(programs: &Path) -> (Vec<Variant>, Vec<(String, String)>) {
    let variant = |name: &str, program: &str, before: &[&'static str], after: &[&'static str]| {
        let (program, before, after) = (programs.join(program), before.to_vec(), after.to_vec());
        let launch = Launch::Ours { program, before, after };
        let (able, protocol) = (Able::default(), Protocol::Http);
        Variant { name: name.to_owned(), protocol, launch, able, version: Vec::new() }
    };
    // The variant knows no friends.
    let alone = ["--friends-max", "0"];
    let all = [variant("threads", "proxyherd", &["serve"], &alone), variant("hyper", "hyper", &[], &[])];
    let (ready, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|variant| variant.missing().is_none());
    let why = |variant: Variant| Some((variant.name.clone(), variant.missing()?));
    (ready, missing.into_iter().filter_map(why).collect())
}

/// The servers at the door of MQTT, that of this project first, and why mosquitto is not among them if it is missing.
pub(super) fn of_mqtt(programs: &Path) -> (Vec<Variant>, Vec<(String, String)>) {
    let variant = |name: &str, launch: Launch, version: &[&str]| {
        let version = version.iter().map(ToString::to_string).collect();
        Variant { name: name.to_owned(), protocol: Protocol::Mqtt, launch, able: Able::default(), version }
    };
    let ours = Launch::Ours { program: programs.join("proxyherd"), before: vec!["serve"], after: Vec::new() };
    let tokio = Launch::Ours { program: programs.join("tokio-mqtt"), before: Vec::new(), after: Vec::new() };
    let mosquitto = ["sh", "-c", MOSQUITTO, "{host}", "{port}", "{folder}/mosquitto.conf"];
    let mosquitto = Launch::Template(mosquitto.map(str::to_owned).to_vec());
    let all = [
        variant("threads", ours, &[]),
        variant("tokio-mqtt", tokio, &[]),
        variant("mosquitto", mosquitto, &["sh", "-c", "mosquitto -h | head -n 1"]),
    ];
    let why = |variant: &Variant| match variant.missing() {
        None if variant.name == "mosquitto" && !is_program(Path::new("mosquitto")) => {
            Some("it is not installed (Debian: apt-get install mosquitto)".to_owned())
        }
        why => why,
    };
    let (ready, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|variant| why(variant).is_none());
    let missing = missing.into_iter().filter_map(|variant| Some((variant.name.clone(), why(&variant)?)));
    (ready, missing.collect())
}

fn ours(programs: &Path) -> Vec<Variant> {
    let full = Able { herd: true, crowds: true, idlers: true, many: true, places: true, ..Able::default() };
    let echo = Able { crowds: true, idlers: true, many: true, ..Able::default() };
    let (herd, line) = (Protocol::Herd, Protocol::Echo);
    let variant =
        |name: &str, program: &str, before: &[&'static str], after: &[&'static str], protocol, able| {
            let launch = Launch::Ours {
                program: programs.join(program),
                before: before.to_vec(),
                after: after.to_vec(),
            };
            Variant { name: name.to_owned(), protocol, launch, able, version: Vec::new() }
        };
    // As many loops as the machine that this is made for has processors. What makes a herd is the same as with one.
    let two = Able { herd: false, places: false, ..full };
    let textbook = Able { crowds: false, ..full };
    // It takes two descriptors for a connection, and ten thousand times two are more than many a system grants.
    let naive = Able { many: true, threads: true, ..Able::default() };
    vec![
        variant("threads", "proxyherd", &["serve"], &[], herd, Able { threads: true, ..full }),
        variant(
            "encrypted",
            "proxyherd",
            &["serve"],
            &[],
            herd,
            Able { herd: true, encrypted: true, ..Able::default() },
        ),
        variant(BEFORE, BEFORE, &["serve"], &[], herd, Able { threads: true, ..full }),
        variant("tokio", "tokio", &[], &["--flavor", "multi", "--style", "tuned"], herd, full),
        variant("tokio-current", "tokio", &[], &["--flavor", "current", "--style", "tuned"], herd, full),
        variant(
            "tokio-textbook",
            "tokio",
            &[],
            &["--flavor", "multi", "--style", "textbook"],
            herd,
            textbook,
        ),
        variant("tokio-2", "tokio", &[], &["--flavor", "current", "--threads", "2"], herd, two),
        variant("epoll", "epoll", &[], &[], herd, full),
        variant("epoll-2", "epoll", &[], &["--threads", "2"], herd, two),
        variant("naive", "naive", &[], &[], herd, naive),
        variant("single", "single", &[], &[], herd, Able::default()),
        variant("echo", "echo", &[], &[], line, Able { threads: true, ..echo }),
        variant("echo-epoll", "echo-epoll", &[], &[], line, echo),
    ]
}

fn field() -> Vec<Variant> {
    let text = std::fs::read_to_string(FIELD_FILE).unwrap_or_default();
    let Field { variant, reference } = toml::from_str(&text).unwrap_or_default();
    let herd = Able { herd: true, idlers: true, many: true, ..Able::default() };
    let store = Able { herd: false, ..herd };
    let make = |it: FieldVariant, able| {
        let protocol = match it.name.as_str() {
            "redis" => Protocol::Redis,
            "memcached" => Protocol::Memcached,
            _ => Protocol::Herd,
        };
        let launch = Launch::Template(it.command);
        Variant { name: it.name, protocol, launch, able, version: it.version }
    };
    let herds = variant.into_iter().filter(|it| !it.command.is_empty()).map(|it| make(it, herd));
    let stores = reference.into_iter().filter(|it| !it.command.is_empty()).map(|it| make(it, store));
    herds.chain(stores).collect()
}

/// Whether a program is there: at its path, or for a bare name anywhere in PATH.
pub(super) fn is_program(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::super::address::SEED;
    use super::*;

    #[test]
    fn commands_are_filled_in() {
        let herd = SEED.herd().unwrap();
        let member = &herd.members()[2];
        let words = ["python", "{name}", "{client}", "{neighbours}", "{host}:{port}"].map(str::to_owned);
        let variant = Variant {
            name: "x".to_owned(),
            protocol: Protocol::Herd,
            launch: Launch::Template(words.to_vec()),
            able: Able::default(),
            version: Vec::new(),
        };
        let client = member.client.to_string();
        let parker = format!("Parker={}", herd.members()[3].client);
        let command = variant.command(&herd, member, Path::new("h/herd.toml"), &[]);
        assert_eq!(command, ["python", "Hamilton", &client, &parker, &client]);
        let threads = &ours(Path::new("bin"))[0];
        let command = threads.command(&herd, member, Path::new("h/herd.toml"), &["--x".to_owned()]);
        let start = ["bin/proxyherd", "serve", "Hamilton", "--herd", "h/herd.toml", "--log-dir", "h"];
        assert_eq!(command[..7], start);
        assert_eq!(command[9..13], ["--data-dir", "h/data/Hamilton", "--durability", "none"]);
        assert_eq!(command[13..], ["--log-level", "warn", "--x"]);
        let kept = threads.command(&herd, member, Path::new("h/herd.toml"), &["--durability".to_owned()]);
        assert!(!kept.contains(&"none".to_owned()), "{kept:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let (ready, missing) = all(Path::new("no/such/folder"));
        assert!(missing["threads"].contains("no/such/folder/proxyherd"), "{missing:?}");
        assert!(ready.iter().all(|variant| variant.name != "threads"));
        assert!(!missing.contains_key(BEFORE));
        assert!(is_program(Path::new("sh")) && !is_program(Path::new("no-such-program-anywhere")));
    }
}
