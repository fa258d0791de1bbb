//! What has gone over the connections between the servers of a herd, as the kernel counts it for every socket.

use std::collections::BTreeSet;
use std::process::Command;

/// What processes have sent to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Payload.
    pub(super) bytes: u64,
    /// Packets with payload: messages, if one is sent at a time.
    pub(super) packets: u64,
}

/// One end of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End<'a> {
    local: &'a str,
    remote: &'a str,
    pid: Option<u32>,
    sent: Traffic,
}

/// What the processes `pids` have sent to each other over connections that are still open; `None` without the
/// program `ss`, of Debian's package iproute2.
pub(super) fn traffic(pids: &[u32]) -> Option<Traffic> {
    let output = Command::new("ss").args(["-Htinp", "state", "established"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| between(&text, pids))
}

fn between(text: &str, pids: &[u32]) -> Traffic {
    let ends = ends(text);
    let ours: Vec<&End<'_>> =
        ends.iter().filter(|end| end.pid.is_some_and(|pid| pids.contains(&pid))).collect();
    let locals: BTreeSet<&str> = ours.iter().map(|end| end.local).collect();
    let mut sum = Traffic::default();
    for end in ours.iter().filter(|end| locals.contains(end.remote)) {
        sum.bytes += end.sent.bytes;
        sum.packets += end.sent.packets;
    }
    sum
}

/// Every connection has a line with its addresses and, indented below it, one with its counters.
fn ends(text: &str) -> Vec<End<'_>> {
    let mut ends: Vec<End<'_>> = Vec::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            let Some(end) = ends.last_mut() else { continue };
            let count = |name: &str| {
                line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok()).unwrap_or(0)
            };
            end.sent = Traffic { bytes: count("bytes_sent:"), packets: count("data_segs_out:") };
            continue;
        }
        let mut words = line.split_whitespace().skip_while(|word| word.parse::<u64>().is_err()).skip(2);
        let (Some(local), Some(remote)) = (words.next(), words.next()) else { continue };
        let pid = line
            .split_once("pid=")
            .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        ends.push(End { local, remote, pid, sent: Traffic::default() });
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_between_the_processes_counts() {
        let text = concat!(
            "0 0 127.0.0.1:100 127.0.0.1:5000 users:((\"a\",pid=1,fd=3))\n",
            "\t cubic rto:204 bytes_sent:10 bytes_acked:10 segs_out:3 data_segs_out:2 rcv_space:1\n",
            "0 0 127.0.0.1:5000 127.0.0.1:100 users:((\"b\",pid=2,fd=9))\n",
            "\t cubic bytes_sent:5 data_segs_out:1\n",
            "0 0 127.0.0.1:100 127.0.0.1:6000 users:((\"a\",pid=1,fd=4))\n",
            "\t cubic bytes_sent:1000 data_segs_out:100\n",
            "0 0 127.0.0.1:6000 127.0.0.1:100 users:((\"load\",pid=3,fd=4))\n",
            "\t cubic bytes_sent:1000 data_segs_out:100\n",
        );
        assert_eq!(between(text, &[1, 2]), Traffic { bytes: 15, packets: 3 });
        assert_eq!(between(text, &[1]), Traffic::default());
        let with_state = text.replace("0 0 127", "ESTAB 0 0 127");
        assert_eq!(between(&with_state, &[1, 2]), Traffic { bytes: 15, packets: 3 });
    }
}
