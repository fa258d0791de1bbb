//! The five processes of a herd, each in the namespace of its name: started, killed, frozen, and never left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use proxyherd::config::Herd;
use rustix::process::Signal;

use super::network::{Network, within};
use crate::load::clock;
use crate::suite::propagation::Conversation;
use crate::suite::server::{STOP_MAX, last_line, signal, wait, wrapped};

/// The variable that a server takes the secret of its herd from. With it, all links are encrypted.
const SECRET_VARIABLE: &str = "PROXYHERD_SECRET";

/// How long the servers may take to listen.
const START_WAIT_MAX: Duration = Duration::from_secs(15);

/// Between two attempts to reach one that does not listen yet.
const LOOK: Duration = Duration::from_millis(10);

/// The servers of one trial. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Servers<'a> {
    network: &'a Network,
    program: &'a Path,
    folder: PathBuf,
    secret: String,
    children: Vec<Child>,
}

impl<'a> Servers<'a> {
    /// Starts all of them; `folder` is where their files go.
    ///
    /// # Errors
    /// If one cannot be started.
    pub(super) fn start(
        network: &'a Network,
        program: &'a Path,
        folder: &Path,
    ) -> Result<Servers<'a>, String> {
        let unwritable = |error| format!("cannot write to {}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(unwritable)?;
        let folder = folder.canonicalize().map_err(unwritable)?;
        fs::write(folder.join("herd.toml"), proxyherd::config::to_toml(&network.herd)).map_err(unwritable)?;
        let secret = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
        let mut servers = Servers { network, program, folder, secret, children: Vec::new() };
        for at in 0..network.herd.members().len() {
            let child = servers.spawn(at)?;
            servers.children.push(child);
        }
        Ok(servers)
    }

    /// Kills a server as `kill -9` does, and waits until it is gone.
    pub(super) fn kill(&mut self, at: usize) -> Result<(), String> {
        let child = &mut self.children[at];
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| format!("cannot kill: {error}"))
    }

    /// Starts a server again that was killed.
    pub(super) fn restart(&mut self, at: usize) -> Result<(), String> {
        self.children[at] = self.spawn(at)?;
        Ok(())
    }

    /// Stops a server as SIGSTOP does.
    pub(super) fn freeze(&self, at: usize) {
        signal(&self.children[at], Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub(super) fn thaw(&self, at: usize) {
        signal(&self.children[at], Signal::CONT);
    }

    /// Whether all are running.
    ///
    /// # Errors
    /// If one has ended by itself; the sentence says which, how, and what it said last.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for at in 0..self.children.len() {
            if let Ok(Some(status)) = self.children[at].try_wait() {
                return Err(format!("{} ended with {status}: {}", self.name(at), self.said(at)));
            }
        }
        Ok(())
    }

    /// Ends the servers and counts the warnings in their logs.
    ///
    /// # Errors
    /// If one does not end well, or its log says that it is broken.
    pub(super) fn stop(mut self) -> Result<u64, String> {
        self.check()?;
        self.children.iter().for_each(|child| signal(child, Signal::TERM));
        let mut warnings = 0;
        for at in 0..self.children.len() {
            match wait(&mut self.children[at], STOP_MAX) {
                Some(status) if status.success() => {}
                Some(status) => {
                    return Err(format!("{} ended with {status}: {}", self.name(at), self.said(at)));
                }
                None => return Err(format!("{} did not end within {} s", self.name(at), STOP_MAX.as_secs())),
            }
            let log = fs::read_to_string(self.folder.join(format!("{}.log", self.name(at))));
            let log = log.map_err(|error| format!("the log of {} cannot be read: {error}", self.name(at)))?;
            if let Some(line) = log.lines().find(|line| line.contains("ERROR")) {
                return Err(format!("{} is broken: {line}", self.name(at)));
            }
            warnings += log.lines().filter(|line| line.contains("WARN")).count() as u64;
        }
        Ok(warnings)
    }

    fn spawn(&self, at: usize) -> Result<Child, String> {
        let name = self.name(at);
        let mut words: Vec<String> = within(name).map(str::to_owned).to_vec();
        words.extend([self.program.display().to_string(), "serve".to_owned(), name.to_owned()]);
        words.extend(["--herd".to_owned(), self.folder.join("herd.toml").display().to_string()]);
        words.extend(["--log-dir".to_owned(), self.folder.display().to_string()]);
        words.extend(["--log-level", "warn"].map(str::to_owned));
        words.extend(["--data-dir".to_owned(), self.folder.join("data").join(name).display().to_string()]);
        let said = File::options().create(true).append(true).open(self.said_file(at));
        let said = said.map_err(|error| format!("cannot write to {}: {error}", self.folder.display()))?;
        let mut command = wrapped(&words, None);
        command.env(SECRET_VARIABLE, &self.secret).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        command.spawn().map_err(|error| format!("cannot start {name}: {error}"))
    }

    fn name(&self, at: usize) -> &str {
        self.network.herd.members()[at].name.as_str()
    }

    fn said_file(&self, at: usize) -> PathBuf {
        self.folder.join(format!("{}.said", self.name(at)))
    }

    fn said(&self, at: usize) -> String {
        last_line(&self.said_file(at))
    }
}

impl Drop for Servers<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended long ago.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until each server knows what each other is told: all links are up.
pub(super) fn wait_until_linked(herd: &Herd) -> io::Result<()> {
    let end_ns = clock::monotonic_ns() + clock::ns(START_WAIT_MAX);
    for from in herd.members() {
        let marker = format!("marker-{}", from.name);
        let mut conversation = loop {
            match from.client.resolve().and_then(Conversation::with) {
                Ok(conversation) => break conversation,
                Err(error) if clock::monotonic_ns() > end_ns => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
        };
        conversation.report(&marker)?;
    }
    for to in herd.members() {
        let mut conversation = Conversation::with(to.client.resolve()?)?;
        for from in herd.members() {
            conversation.wait_for(&format!("marker-{}", from.name))?;
        }
    }
    Ok(())
}
