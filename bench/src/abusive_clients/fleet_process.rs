//! The process that is a fleet, seen from the one that measures.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::behaviour::Behaviour;
use super::count::Count;
use super::fleet::GATHERED;

/// How long a fleet may take to gather: a SYN that was dropped is sent again after 1, 3 and 7 seconds.
const GATHER_MAX: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// How long it may take to end when told to.
const END_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A fleet. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FleetProcess {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl FleetProcess {
    /// Starts a fleet and waits until all its clients have been connected.
    ///
    /// # Errors
    /// If it cannot be started or does not gather; the text says why.
    pub(crate) fn gather(
        behaviour: Behaviour,
        size: u32,
        target: SocketAddr,
    ) -> Result<FleetProcess, String> {
        let behaviour = behaviour.to_possible_value().ok_or("a fleet of no name")?;
        let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut child = Command::new(own)
            .args(["fleet", behaviour.get_name(), &size.to_string(), &target.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a fleet: {error}"))?;
        let said = child.stdout.take().ok_or("the fleet has no standard output")?;
        let mut fleet = FleetProcess { child, said: BufReader::new(said) };
        let line = fleet.line(GATHER_MAX).ok_or("the fleet did not gather")?;
        match line.trim_end() {
            GATHERED => Ok(fleet),
            other => Err(format!("the fleet ended at once: {other}")),
        }
    }

    /// Tells it to end, and returns what it has counted.
    ///
    /// # Errors
    /// If it does not say so in time.
    pub(crate) fn end(mut self) -> Result<Count, String> {
        drop(self.child.stdin.take());
        let line = self.line(END_MAX).ok_or("the fleet did not end when told to")?;
        serde_json::from_str(&line).map_err(|error| format!("the fleet said what is no count: {error}"))
    }

    /// The next line; `None` if none comes in time.
    fn line(&mut self, wait: Timespec) -> Option<String> {
        let mut line = String::new();
        if self.said.buffer().is_empty() {
            let mut polled = [PollFd::new(self.said.get_ref(), PollFlags::IN)];
            if poll(&mut polled, Some(&wait)) == Ok(0) {
                return None;
            }
        }
        // A line is written at once.
        self.said.by_ref().take(u64::from(u16::MAX)).read_line(&mut line).ok()?;
        (!line.is_empty()).then_some(line)
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
