//! The golden conversations of the server, with herds of each variant.

use std::collections::BTreeSet;

use crate::kinds::{CURRENT, CURRENT_TWO, Kind, LOOP, NAIVE, SINGLE, TEXTBOOK, TUNED, TWO_LOOPS};
use crate::processes::Processes;
use crate::transcripts::format::{Step, Transcript};
use crate::transcripts::run::{Herd, run};
use crate::transcripts::sockets::{Addresses, Connection};
use crate::transcripts::{each_transcript, transcript};

/// A herd of one variant, whose servers can be killed and started.
struct Real {
    processes: Processes,
    addresses: Addresses,
}

impl Herd for Real {
    type Talk = Connection;

    fn connect(&mut self, server: &str) -> Result<Connection, String> {
        self.addresses.connect(server)
    }

    fn connect_as_peer(&mut self, server: &str) -> Result<Connection, String> {
        Connection::to(self.processes.peers(server))
    }

    fn ask_again(&mut self, times: u64) -> bool {
        self.addresses.ask_again(times)
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        self.processes.kill(server);
        Ok(())
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        self.processes.start(server);
        Ok(())
    }
}

macro_rules! tests {
    ($($name:ident)*) => {
        mod tokio_tuned { $(#[test] fn $name() { super::holds(super::TUNED, stringify!($name)); })* }
        mod tokio_textbook { $(#[test] fn $name() { super::holds(super::TEXTBOOK, stringify!($name)); })* }
        mod tokio_current { $(#[test] fn $name() { super::holds(super::CURRENT, stringify!($name)); })* }
        mod tokio_current_two { $(#[test] fn $name() { super::holds(super::CURRENT_TWO, stringify!($name)); })* }
        mod epoll { $(#[test] fn $name() { super::holds(super::LOOP, stringify!($name)); })* }
        mod epoll_two { $(#[test] fn $name() { super::holds(super::TWO_LOOPS, stringify!($name)); })* }
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}
each_transcript!(tests);

#[test]
fn single_where_one_client_talks_to_one_server() {
    let fitting: Vec<_> = NAMES.iter().filter(|name| has_one_talker(&transcript(name).unwrap())).collect();
    assert!(fitting.len() > 3, "only {fitting:?}");
    fitting.into_iter().for_each(|name| holds(SINGLE, name));
}

#[test]
fn naive_but_for_what_it_says_it_cannot() {
    // Their lines are not UTF-8, longer than allowed, or no lines.
    let cannot = ["client_names", "error_lines", "long_names", "over_long_line", "other_protocols", "telnet"];
    let able = NAMES.iter().filter(|name| !cannot.contains(name));
    let alone = |transcript: &Transcript| transcript.servers.len() == 1;
    able.filter(|name| alone(&transcript(name).unwrap())).for_each(|name| holds(NAIVE, name));
}

fn has_one_talker(transcript: &Transcript) -> bool {
    let talkers = transcript.steps.iter().filter_map(|(_, step)| match step {
        Step::Talk(who, _) => Some(who),
        Step::Kill(_) | Step::Start(_) => None,
    });
    talkers.collect::<BTreeSet<_>>().len() == 1
}

fn holds(kind: Kind, name: &str) {
    // It reads lines, and so has nothing of what stands before a line until that is there.
    if kind == TEXTBOOK && matches!(name, "other_protocols" | "telnet") {
        return;
    }
    let transcript = transcript(name).unwrap();
    let names: Vec<&str> = transcript.servers.iter().map(String::as_str).collect();
    let links: Vec<_> = transcript.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let processes = Processes::start_all(&names, &links, &vec![kind; names.len()]);
    let addresses = names.iter().map(|name| ((*name).to_owned(), processes.clients(name)));
    let mut herd = Real { addresses: Addresses::new(addresses), processes };
    let held = run(&transcript, &mut herd, usize::MAX);
    held.unwrap_or_else(|why| panic!("{name}.txt:{why}"));
}
