//! What is seen from outside meanwhile: memory of the server and of the kernel, and what the kernel drops.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::load::clock;
use crate::load::process::{Kernel, Process};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) at_ns: u64,
    /// Resident memory of the server.
    pub(crate) rss_kib: u64,
    /// Bytes in TCP's buffers, of the whole machine.
    pub(crate) tcp_kib: u64,
    /// Processor time of the server.
    pub(crate) cpu_seconds: f64,
}

/// Looks until it is over; the looks end when the process does.
pub(crate) fn watch(pid: u32, is_over: &AtomicBool) -> Vec<Look> {
    let mut looks = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let Some(look) = look(pid) else { break };
        looks.push(look);
        thread::sleep(EVERY);
    }
    looks
}

/// One look now; `None` if the process has ended.
pub(crate) fn look(pid: u32) -> Option<Look> {
    let Process { rss_kib, cpu_seconds, .. } = Process::look(pid)?;
    Some(Look { at_ns: clock::monotonic_ns(), rss_kib, tcp_kib: Kernel::look().tcp_buffers_kib, cpu_seconds })
}

/// What the kernel counts of connections that found no room at a listener, on the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The queue of connections to be accepted was full.
    pub(crate) overflows: u64,
    /// Of these and for other reasons, SYNs that were dropped.
    pub(crate) drops: u64,
}

impl Dropped {
    /// As of now.
    pub(crate) fn look() -> Dropped {
        Dropped::read(&fs::read_to_string("/proc/net/netstat").unwrap_or_default())
    }

    /// Since an earlier look.
    pub(crate) fn since(self, earlier: Dropped) -> Dropped {
        Dropped {
            overflows: self.overflows.saturating_sub(earlier.overflows),
            drops: self.drops.saturating_sub(earlier.drops),
        }
    }

    /// A line of names, then one of numbers.
    fn read(netstat: &str) -> Dropped {
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, counts) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let of = |wanted: &str| {
            let mut pairs = names.split_whitespace().zip(counts.split_whitespace());
            pairs.find_map(|(name, count)| (name == wanted).then(|| count.parse().ok())?).unwrap_or(0)
        };
        Dropped { overflows: of("ListenOverflows"), drops: of("ListenDrops") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_names() {
        let netstat = "TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 7 9\nIpExt: ListenDrops\nIpExt: 5\n";
        let dropped = Dropped::read(netstat);
        assert_eq!(dropped, Dropped { overflows: 7, drops: 9 });
        assert_eq!(dropped.since(Dropped { overflows: 3, drops: 9 }), Dropped { overflows: 4, drops: 0 });
        assert_eq!(Dropped::read(""), Dropped::default());
    }
}
