//! Servers as processes: started, waited for, stopped, and never left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proxyherd::config::{Herd, SECRET_VARIABLE};
use rustix::process::{Pid, Signal, kill_process};

use super::address::Shape;
use super::variant::{Variant, is_program};
use crate::load::{self, Options, Protocol, clock};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(15);

/// How long a server may take to end when told to: it may have ten thousand connections to close.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(15);

/// The certificate of servers that speak TLS, and its key, in their folder.
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// The processes of one herd, or of one server on its own. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Servers {
    variant: String,
    children: Vec<Child>,
    folder: PathBuf,
    /// Their names and addresses.
    pub(super) herd: Herd,
}

/// How servers are started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// Their shape.
    pub(super) shape: Shape,
    /// Options for them beside the usual.
    pub(super) extra: &'a [String],
    /// The processor they stay on.
    pub(super) cpu: Option<usize>,
}

impl Servers {
    /// Starts them and waits until each answers as it should. `scratch` is a folder for their files.
    ///
    /// # Errors
    /// If one cannot be started, ends, or does not answer; the text says which and what it said.
    pub(super) fn start(variant: &Variant, start: Start<'_>, scratch: &Path) -> Result<Servers, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = scratch.join(format!("{}-{}-{number}", variant.name, std::process::id()));
        let unwritable = |error: io::Error| format!("cannot write {}: {error}", folder.display());
        let herd = start.shape.herd_for(variant.protocol);
        let herd = herd.map_err(|error| format!("no free addresses: {error}"))?;
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let herd_file = folder.join("herd.toml");
        fs::write(&herd_file, proxyherd::config::to_toml(&herd)).map_err(unwritable)?;
        let mut servers =
            Servers { variant: variant.name.clone(), children: Vec::new(), folder: folder.clone(), herd };
        let mut extra = start.extra.to_vec();
        if variant.protocol == Protocol::Https {
            extra.extend(certificate(&folder)?);
        }
        let present = servers.herd.members().len() - start.shape.absent;
        for member in &servers.herd.members()[..present] {
            let words = variant.command(&servers.herd, member, &herd_file, &extra);
            let said = File::create(folder.join(format!("{}.said", member.name))).map_err(unwritable)?;
            let mut command = wrapped(&words, start.cpu);
            if variant.able.encrypted {
                command.env(SECRET_VARIABLE, "the secret of this herd, which no other has");
            }
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(said)
                .env("PROXYHERD_GOOGLE_KEY", "key-of-a-test")
                .spawn()
                .map_err(|error| format!("cannot start {}: {error}", words[0]))?;
            servers.children.push(child);
        }
        for at in 0..servers.children.len() {
            servers.wait_for(at, variant)?;
        }
        Ok(servers)
    }

    /// The numbers of the processes, in the order of the herd.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Options that drive the server with this number, and watch it.
    pub(super) fn options(&self, at: usize, variant: &Variant) -> Options {
        let member = &self.herd.members()[at];
        let door = match variant.protocol {
            Protocol::Http => member.http.as_ref(),
            Protocol::Https => member.https.as_ref(),
            Protocol::Mqtt => member.mqtt.as_ref(),
            Protocol::Herd | Protocol::Echo | Protocol::Redis | Protocol::Memcached => None,
        };
        let target = door.unwrap_or(&member.client);
        Options {
            target: target.to_string(),
            protocol: variant.protocol,
            ca: (variant.protocol == Protocol::Https).then(|| self.folder.join(CERTIFICATE_FILE)),
            pid: vec![self.children[at].id()],
            ..Options::default()
        }
    }

    /// Ends the processes and returns what each one's log says of what it has counted; empty if nothing.
    ///
    /// # Errors
    /// If one had to be killed or did not end well.
    pub(super) fn stop(mut self) -> Result<Vec<String>, String> {
        let mut bad = Vec::new();
        for child in &self.children {
            signal(child, Signal::TERM);
        }
        for at in 0..self.children.len() {
            let name = self.herd.members()[at].name.clone();
            match wait(&mut self.children[at], STOP_MAX) {
                None => bad.push(format!("{name} did not end within {} s", STOP_MAX.as_secs())),
                // Some end by the signal itself, the others with 0.
                Some(status) if status.success() || status.code().is_none() => {}
                Some(status) => bad.push(format!("{name} ended with {status}: {}", self.said(name.as_str()))),
            }
        }
        let lines = self.logged("stopped: ");
        match bad.is_empty() {
            true => Ok(lines),
            false => Err(format!("{}: {}", self.variant, bad.join("; "))),
        }
    }

    /// Kills the server with this number.
    pub(super) fn kill(&mut self, at: usize) -> io::Result<()> {
        self.children[at].kill()
    }

    /// The latest line of each one's log that has these words; empty if there is none.
    pub(super) fn logged(&self, words: &str) -> Vec<String> {
        let latest = |name: &str| {
            let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            log.lines().rfind(|line| line.contains(words)).unwrap_or_default().to_owned()
        };
        self.herd.members().iter().map(|member| latest(member.name.as_str())).collect()
    }

    /// The bytes of the log of the server with this number, those of its rotated files included.
    pub(super) fn log_bytes(&self, at: usize) -> u64 {
        let log = format!("{}.log", self.herd.members()[at].name);
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let of_log = files.filter(|file| file.file_name().to_string_lossy().starts_with(&log));
        of_log.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
    }

    fn wait_for(&mut self, at: usize, variant: &Variant) -> Result<(), String> {
        let name = self.herd.members()[at].name.to_string();
        // One report on one connection, checked like any other.
        let probe =
            Options { storm: true, pid: Vec::new(), name: "probe".to_owned(), ..self.options(at, variant) };
        let end_ns = clock::monotonic_ns() + clock::ns(START_MAX);
        loop {
            let error = match load::run(&probe) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Ok(Some(status)) = self.children[at].try_wait() {
                return Err(format!("{name} ended at once with {status}: {}", self.said(&name)));
            }
            if clock::monotonic_ns() > end_ns || !matches!(error, load::LoadError::Connect { .. }) {
                return Err(format!("{name} does not answer: {error}"));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn said(&self, name: &str) -> String {
        last_line(&self.folder.join(format!("{name}.said")))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended long ago.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a certificate for `localhost`, signed by itself; returns the options that name it.
fn certificate(folder: &Path) -> Result<[String; 4], String> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } =
        made.map_err(|error| format!("cannot make a certificate: {error}"))?;
    let [cert_file, key_file] = [CERTIFICATE_FILE, KEY_FILE].map(|name| folder.join(name));
    let written =
        fs::write(&cert_file, cert.pem()).and_then(|()| fs::write(&key_file, signing_key.serialize_pem()));
    written.map_err(|error| format!("cannot write a certificate: {error}"))?;
    let option = |name: &str| format!("--tls-{name}");
    Ok([option("cert"), cert_file.display().to_string(), option("key"), key_file.display().to_string()])
}

/// The command, kept on a processor if wanted, and ended by the system if we are killed.
pub(crate) fn wrapped(words: &[String], cpu: Option<usize>) -> Command {
    let mut all: Vec<String> = Vec::new();
    if is_program(Path::new("setpriv")) {
        all.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned));
    }
    if let Some(cpu) = cpu {
        all.extend(["taskset", "--cpu-list", &cpu.to_string()].map(str::to_owned));
    }
    all.extend(words.iter().cloned());
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]);
    command
}

/// The end of what a server has said on standard error.
pub(crate) fn last_line(said: &Path) -> String {
    let said = fs::read_to_string(said).unwrap_or_default();
    said.lines().next_back().unwrap_or("it said nothing").to_owned()
}

/// Sends a signal to a process that we started.
pub(crate) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may be gone.
        let _ = kill_process(pid, signal);
    }
}

/// How a process has ended, if it does within a time.
pub(crate) fn wait(child: &mut Child, wait: Duration) -> Option<std::process::ExitStatus> {
    let end_ns = clock::monotonic_ns() + clock::ns(wait);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if clock::monotonic_ns() > end_ns {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}
