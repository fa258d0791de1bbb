//! What the system grants this process, and how many clients that leaves room for besides neighbours, links and log.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, Member};

/// Descriptors of the server itself: standard streams, log and its successor, up to seven listeners and the socket of
/// the administrator, what each keeps in spare, what `accept` takes before a connection is there, the files of the
/// journal, twice while it is rewritten, the bell that all subscribers of MQTT share and the one before, and a few that
/// libraries open.
const OWN_DESCRIPTORS: u64 = 64;

/// Descriptors for each neighbour: our link, its link, of ours one more that is being made again, and its places.
const NEIGHBOUR_DESCRIPTORS: u64 = 3 + NEIGHBOUR_PLACES as u64;

/// Refused connections that each thread which refuses some keeps for a moment.
pub const REFUSED_MAX: usize = 32;

/// Connections that have given way to newcomers and whose threads have not ended yet: these end at once, so this many
/// are seen only in a storm, and then newcomers are refused.
pub const DISPLACED_MAX: u32 = 32;

/// Connections of proxies that are let in when the server is full, until the proxy says whose they are.
pub const UNNAMED_MAX: u32 = 32;

/// Unauthenticated connections that are kept for each neighbour at its address: its link, the one before, and two that
/// may be cut by others there.
pub const NEIGHBOUR_PLACES: u32 = 4;

/// Threads of the server itself.
const OWN_THREADS: u64 = 16;

/// Threads for each neighbour: our link, its watcher, the lookup of its name, the conversation of its link, and those
/// in its places.
const NEIGHBOUR_THREADS: u64 = 4 + NEIGHBOUR_PLACES as u64;

/// Mappings of memory of a thread: its stack, its signal stack, and a guard for each.
const THREAD_MAPPINGS: u64 = 4;

/// Mappings of the process without its threads, generously.
const OWN_MAPPINGS: u64 = 500;

/// Memory of the server itself, its journal's buffers, its log and its links, in KiB.
const OWN_KIB: u64 = 24 * 1024;

/// Memory of a client's connection, in KiB: the stacks of its thread, its buffers, and what the kernel has of it.
/// Replies that it does not take come on top.
const CONNECTION_KIB: u64 = 48;

/// The most of them that wait in the server, where the rest waits in the kernel.
const REPLIES_KIB_MAX: u64 = 64;

/// The least that the kernel may keep of replies for a client: it has no smaller buffers that are of use.
const KERNEL_BYTES_FLOOR: usize = 24 * 1024;

/// Whom the rest is kept for, most often.
const OTHERS: &str = "neighbours, links and log";

/// What the system grants, and what is kept for others than connections of clients.
struct Room {
    /// What it is, and how to get more of it.
    what: &'static str,
    granted: u64,
    reserved: u64,
    /// What that is for.
    kept_for: &'static str,
    /// For each client.
    each: u64,
}

impl Room {
    fn clients(&self) -> u64 {
        self.granted.saturating_sub(self.reserved) / self.each
    }
}

/// Raises what the system lets every process raise, and returns how many clients may be connected: as many as were
/// asked for if there is room for them beside the memory of all that are known, else fewer, with a warning. There is
/// always room for one.
pub fn connections_max(config: &Config, calls_network: bool, memory_bytes_max: Option<u64>) -> u32 {
    raise_open_files_limit();
    let asked = config.limits.connections_max;
    warn_of_threads(config);
    let memory =
        memory_bytes_max.and_then(|bytes_max| memory(u64::from(config.limits.output_bytes_max), bytes_max));
    let rooms = [descriptors(config, calls_network), mappings(config), memory];
    let Some(least) = rooms.iter().flatten().min_by_key(|room| room.clients()) else { return asked };
    if least.clients() >= u64::from(asked) {
        return asked;
    }
    let lowered = least.clients().max(1) as u32;
    log::warn!(
        "only {lowered} clients can be connected, not {asked} (--connections-max): the system grants {} {}, and {} \
         of them are kept for {}",
        least.granted,
        least.what,
        least.reserved,
        least.kept_for
    );
    lowered
}

/// What the kernel may keep of replies for each of so many clients, in bytes: what was asked for, or less if all of it
/// together would be more than half of what it keeps for TCP before it begins to drop what others send.
pub fn kernel_bytes_max(asked: usize, connections_max: u32) -> usize {
    let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default();
    let Some(granted) = tcp_bytes(&limits, rustix::param::page_size() as u64) else { return asked };
    let share = granted / 2 / u64::from(connections_max.max(1));
    let lowered = usize::try_from(share).unwrap_or(usize::MAX).max(KERNEL_BYTES_FLOOR);
    if lowered >= asked {
        return asked;
    }
    log::info!(
        "the kernel keeps {} KiB of replies for a client, not {} (--output-bytes-max): it has {} MiB for TCP before it \
         drops what others send, and {connections_max} clients share half of that (raise net.ipv4.tcp_mem, or lower \
         --connections-max)",
        lowered >> 10,
        asked >> 10,
        granted >> 20
    );
    lowered
}

/// The second of three numbers of pages, from which on the kernel is under pressure.
fn tcp_bytes(limits: &str, page_bytes: u64) -> Option<u64> {
    limits.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(page_bytes)
}

/// Every connection needs a descriptor, so the limit is raised as far as the system lets every process raise it.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it is refused the server runs with what it has.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn descriptors(config: &Config, calls_network: bool) -> Option<Room> {
    let granted = getrlimit(Resource::Nofile).current?;
    let neighbours = config.herd.neighbours(&config.name).len() as u64;
    let calls = if calls_network { u64::from(config.places.calls_max) } else { 0 };
    let reserved = OWN_DESCRIPTORS
        + NEIGHBOUR_DESCRIPTORS * neighbours
        + u64::from(config.limits.hello_pending_max)
        + extra(config)
        + refusers(config) * REFUSED_MAX as u64
        + calls;
    let what = "open files (raise the limit: ulimit -n)";
    Some(Room { what, granted, reserved, kept_for: OTHERS, each: 1 })
}

/// Threads that refuse connections and keep some of them for a moment: one that accepts for each port, and the one that
/// starts threads.
fn refusers(config: &Config) -> u64 {
    let Member { http, https, client_tls, mqtt, mqtts, .. } = config.member();
    let ports = [http, https, client_tls, mqtt, mqtts].into_iter().flatten().count() as u64;
    2 + ports + 1
}

/// Connections beyond the clients that may be connected, for a moment.
fn extra(config: &Config) -> u64 {
    let unnamed = if config.proxy_from.is_empty() { 0 } else { UNNAMED_MAX };
    u64::from(DISPLACED_MAX + unnamed)
}

/// A thread that finds no memory mapping left for its own needs ends the process, so none is started that might.
fn mappings(config: &Config) -> Option<Room> {
    let granted = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let reserved = OWN_MAPPINGS + THREAD_MAPPINGS * threads_reserved(config);
    let what = "memory mappings, four for each thread (raise vm.max_map_count)";
    Some(Room { what, granted, reserved, kept_for: OTHERS, each: THREAD_MAPPINGS })
}

/// Where memory is short, a crowd of connections would end the process, because records may take what they may.
fn memory(output_bytes_max: u64, bytes_max: u64) -> Option<Room> {
    let what = "KiB of memory (raise the limit of its control group, or lower --memory-max)";
    let kept_for = "the places of clients (--memory-max), and for the server itself";
    let granted = granted_bytes()? / 1024;
    // Who lets places take all of it means to have clients, too.
    let reserved = (bytes_max / 1024 + OWN_KIB).min(granted / 16 * 15);
    let each = CONNECTION_KIB + (output_bytes_max / 4 / 1024).min(REPLIES_KIB_MAX);
    Some(Room { what, granted, reserved, kept_for, each })
}

/// The memory that clients may take if nothing else is asked for: three quarters of what this process may have. The
/// rest is for what neighbours tell, threads, and the journal. `None` if the system does not say.
pub fn memory_for_clients() -> Option<u64> {
    granted_bytes().map(|granted| granted / 4 * 3)
}

/// The memory that this process may have, with all others of the machine or the control group.
fn granted_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().flat_map(group_bytes).chain(machine).min()
}

/// The line `MemTotal:  16384 kB` of the machine.
fn total_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of a control group and of all around it, as its line `0::/a/b` or `4:memory:/a/b` names it.
fn group_bytes(line: &str) -> Vec<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let read = |group: &Path| {
        let group = group.strip_prefix("/").unwrap_or(group);
        fs::read_to_string(Path::new(root).join(group).join(file)).ok()?.trim().parse().ok()
    };
    Path::new(path).ancestors().filter_map(read).collect()
}

/// Clients are not bound by the threads that are granted, because other processes may take some of them, or give some
/// back: one that finds none is refused by itself.
fn warn_of_threads(config: &Config) {
    let asked = config.limits.connections_max;
    if let Some(room) = threads(config).filter(|room| room.clients() < u64::from(asked)) {
        log::warn!(
            "about {} clients will find a thread, not {asked} (--connections-max): the system grants {} {}",
            room.clients(),
            room.granted,
            room.what
        );
    }
}

fn threads(config: &Config) -> Option<Room> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_user = getrlimit(Resource::Nproc).current;
    let granted = threads_left(&groups, read).into_iter().chain(of_user).min()?;
    let what = "threads (raise the limit: ulimit -u, or pids.max of its control group)";
    Some(Room { what, granted, reserved: threads_reserved(config), kept_for: OTHERS, each: 1 })
}

fn threads_reserved(config: &Config) -> u64 {
    let neighbours = config.herd.neighbours(&config.name).len() as u64;
    OWN_THREADS + NEIGHBOUR_THREADS * neighbours + u64::from(config.limits.hello_pending_max) + extra(config)
}

/// What each control group of the process, and each that it is in, leaves of its limit. `groups` is
/// `/proc/self/cgroup`; where the file system of the groups is mounted elsewhere there is nothing to be known.
fn threads_left(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Vec<u64> {
    let number = |path: PathBuf| read(&path)?.trim().parse::<u64>().ok();
    let mut left = Vec::new();
    for line in groups.lines() {
        let root = match line.split(':').nth(1) {
            Some("") => "/sys/fs/cgroup",
            Some(kinds) if kinds.split(',').any(|kind| kind == "pids") => "/sys/fs/cgroup/pids",
            _ => continue,
        };
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        let group = Path::new(root).join(path.trim_start_matches('/'));
        for group in group.ancestors().take_while(|group| group.starts_with(root)) {
            if let Some(most) = number(group.join("pids.max")) {
                left.push(most.saturating_sub(number(group.join("pids.current")).unwrap_or(0)));
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_others_is_not_given_to_clients() {
        let room =
            |granted, reserved, each| Room { what: "", granted, reserved, kept_for: "", each }.clients();
        assert_eq!(room(20_000, 140, 1), 19_860);
        assert_eq!(room(65_530, 600, 4), 16_232);
        assert_eq!(room(100, 140, 1), 0);
    }

    #[test]
    fn memory_of_the_machine_is_read() {
        assert_eq!(total_bytes("MemFree: 5 kB\n"), None);
        assert_eq!(total_bytes("MemTotal:       16303428 kB\nMemFree: 5 kB\n"), Some(16_303_428 << 10));
        assert!(memory_for_clients().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn connections_fit_beside_what_clients_may_take() {
        let granted = granted_bytes().unwrap();
        for (output_bytes_max, each_kib) in [(0, 48), (64 * 1024, 64), (256 * 1024, 112), (1 << 30, 112)] {
            let left = |bytes_max| memory(output_bytes_max, bytes_max).unwrap().clients();
            let expected = (granted / 2 / 1024 - OWN_KIB) / each_kib;
            assert!(left(granted / 2).abs_diff(expected) <= 1, "of {granted} bytes");
            assert!(left(granted).abs_diff(granted / 16 / 1024 / each_kib) <= 1, "of {granted} bytes");
        }
    }

    #[test]
    fn control_groups_leave_threads() {
        let read = |path: &Path| {
            let text = match path.to_str().unwrap() {
                "/sys/fs/cgroup/a.slice/pids.max" => "500\n",
                "/sys/fs/cgroup/a.slice/pids.current" => "120\n",
                "/sys/fs/cgroup/a.slice/b.service/pids.max" => "max\n",
                "/sys/fs/cgroup/pids/docker/pids.max" => "100\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(threads_left("0::/a.slice/b.service\n", read), [380]);
        assert_eq!(threads_left("9:name=systemd:/\n8:cpu,pids:/docker\n0::/\n", read), [100]);
        assert_eq!(threads_left("7:memory:/a.slice\n", read), [0; 0]);
        assert_eq!(threads_left("", read), [0; 0]);
    }

    #[test]
    fn memory_for_tcp_is_the_number_from_which_on_there_is_pressure() {
        assert_eq!(tcp_bytes("287898\t383867\t575796\n", 4096), Some(383_867 << 12));
        for odd in ["", "1", "1 x 3", "1 18446744073709551615 3"] {
            assert_eq!(tcp_bytes(odd, 4096), None, "{odd}");
        }
        // A few clients may be owed what they may without that.
        assert_eq!(kernel_bytes_max(192 << 10, 1), 192 << 10);
        assert_eq!(kernel_bytes_max(usize::MAX, u32::MAX), KERNEL_BYTES_FLOOR);
    }
}
