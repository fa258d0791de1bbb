//! What /proc says about a server's process and about the kernel's memory.

use std::fs;

use serde::{Deserialize, Serialize};

/// Clock ticks in a second, which is how /proc counts processor time.
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Process {
    /// Processor time so far, in seconds, to a hundredth; threads that have ended included.
    pub cpu_seconds: f64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// Page tables in KiB: kernel memory that belongs to this process.
    pub page_tables_kib: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// Looks at a process; `None` if it has ended.
    pub fn look(pid: u32) -> Option<Process> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // A process that has ended and was not waited for yet is still listed.
        if status.lines().any(|line| line.starts_with("State:") && line.contains('Z')) {
            return None;
        }
        Some(Process {
            cpu_seconds: cpu_seconds(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
            rss_kib: field(&status, "VmRSS:").unwrap_or(0),
            page_tables_kib: field(&status, "VmPTE:").unwrap_or(0),
            threads: field(&status, "Threads:")?,
        })
    }
}

/// Context switches of the threads that a process has: voluntary (it had to wait) and not (its turn was over).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Switches {
    /// It had to wait.
    pub voluntary: u64,
    /// Its turn was over.
    pub involuntary: u64,
}

impl Switches {
    /// Of either kind.
    pub fn all(self) -> u64 {
        self.voluntary + self.involuntary
    }

    /// Counts those of a process. With thousands of threads this takes a tenth of a second.
    pub fn look(pid: u32) -> Switches {
        let mut sum = Switches::default();
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return sum };
        for thread in threads.flatten() {
            // A thread may end meanwhile.
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
            sum.voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            sum.involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        sum
    }
}

/// The kernel's memory in KiB, of the whole machine: both ends of every connection and whatever else runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Kernel {
    /// Objects: sockets, descriptors, threads, epoll's entries.
    pub slab_kib: u64,
    /// Stacks of threads inside the kernel.
    pub stacks_kib: u64,
    /// Page tables of all processes.
    pub page_tables_kib: u64,
    /// Bytes waiting in TCP's buffers.
    pub tcp_buffers_kib: u64,
}

impl Kernel {
    /// Reads /proc/meminfo (Slab, KernelStack, PageTables) and /proc/net/sockstat (TCP mem, in pages).
    pub fn look() -> Kernel {
        const PAGE_KIB: u64 = 4;
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let pages = tcp.split(' ').skip_while(|word| *word != "mem").nth(1);
        Kernel {
            slab_kib: field(&memory, "Slab:").unwrap_or(0),
            stacks_kib: field(&memory, "KernelStack:").unwrap_or(0),
            page_tables_kib: field(&memory, "PageTables:").unwrap_or(0),
            tcp_buffers_kib: pages.and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_KIB,
        }
    }

    /// All of it together.
    pub fn sum_kib(&self) -> u64 {
        self.slab_kib + self.stacks_kib + self.page_tables_kib + self.tcp_buffers_kib
    }
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time of a line of /proc/PID/stat, whose second field may have spaces and brackets in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_shows_what_it_uses() {
        let own = Process::look(std::process::id()).unwrap();
        assert!(own.threads >= 1 && own.rss_kib > 100, "{own:?}");
        assert!(Process::look(u32::MAX).is_none());
        let switches = Switches::look(std::process::id());
        assert!(switches.voluntary + switches.involuntary > 0);
        assert!(Kernel::look().sum_kib() > 0);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 5 6 7";
        assert!((cpu_seconds(stat).unwrap() - 200.0 / ticks_per_second()).abs() < 1e-9);
        assert_eq!(cpu_seconds("7 (a"), None);
    }
}
