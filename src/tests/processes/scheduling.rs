//! The policy under which the threads of a server share the processors, as the system has it.

use std::collections::BTreeMap;
use std::fs;

use crate::real::{RealHerd, ask};

/// `SCHED_OTHER` and `SCHED_BATCH` of sched(7).
const NORMAL: &str = "0";
const BATCH: &str = "3";

/// Where the policy stands behind the name of a thread: it is the 41st field of all, see proc_pid_stat(5).
const POLICY: usize = 38;

/// The policies of threads, by their names without numbers.
fn policies(process: u32) -> BTreeMap<String, String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let policy = |thread: std::io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let name = name.trim_end_matches(|byte: char| byte.is_ascii_digit());
        (name.to_owned(), rest.split_whitespace().nth(POLICY).unwrap().to_owned())
    };
    threads.map(policy).collect()
}

#[test]
fn threads_of_clients_interrupt_no_others_unless_they_are_told_to() {
    for (options, expected) in [(&[][..], BATCH), (&["--scheduling", "normal"], NORMAL)] {
        let mut herd = RealHerd::start(&["Alford"], &[], options);
        let mut client = herd.client("Alford");
        ask(&mut client, "IAMAT kiwi +1+1 1");
        let policies = policies(herd.process_id("Alford"));
        assert_eq!(policies["connection-"], expected, "{policies:?}");
        for other in ["accept-client", "journal", "spawn"] {
            assert_eq!(policies[other], NORMAL, "{policies:?}");
        }
    }
}
