//! What the system grants this process, and how many clients that leaves room for besides neighbours, links and log.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors of the server itself: standard streams, log and its successor, listeners, what each keeps in
/// spare, what `accept` takes before a connection is there, and a few that libraries open.
const OWN_DESCRIPTORS: u64 = 16;

/// Descriptors for each neighbour: our link, its link, and of each one more that is being made anew.
const NEIGHBOUR_DESCRIPTORS: u64 = 4;

/// Threads that refuse connections and keep some of them for a moment: two that accept, one that starts threads.
const REFUSERS: u64 = 3;

/// Refused connections that each of these keeps for a moment.
pub const REFUSED_MAX: usize = 32;

/// Threads of the server itself.
const OWN_THREADS: u64 = 8;

/// Threads for each neighbour: our link, its watcher, and the conversations of its link and the one before.
const NEIGHBOUR_THREADS: u64 = 4;

/// Mappings of memory of a thread: its stack, its signal stack, and a guard for each.
const THREAD_MAPPINGS: u64 = 4;

/// Mappings of the process without its threads, generously.
const OWN_MAPPINGS: u64 = 500;

/// What the system grants, and what is kept for others than clients.
struct Room {
    /// What it is, and how to get more of it.
    what: &'static str,
    granted: u64,
    reserved: u64,
    /// For each client.
    each: u64,
}

impl Room {
    fn clients(&self) -> u64 {
        self.granted.saturating_sub(self.reserved) / self.each
    }
}

/// Raises what the system lets every process raise, and returns how many clients may be connected: as many as were
/// asked for if there is room for them, else fewer, with a warning. There is always room for one.
pub fn connections_max(config: &Config, calls_network: bool) -> u32 {
    raise_open_files_limit();
    let asked = config.limits.connections_max;
    let rooms = [descriptors(config, calls_network), mappings(config)];
    let Some(least) = rooms.iter().flatten().min_by_key(|room| room.clients()) else { return asked };
    if least.clients() >= u64::from(asked) {
        return asked;
    }
    let lowered = least.clients().max(1) as u32;
    log::warn!(
        "only {lowered} clients can be connected, not {asked} (--connections-max): the system grants {} {}, and {} \
         of them are kept for neighbours, links and log",
        least.granted,
        least.what,
        least.reserved
    );
    lowered
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
        + REFUSERS * REFUSED_MAX as u64
        + calls;
    Some(Room { what: "open files (raise the limit: ulimit -n)", granted, reserved, each: 1 })
}

/// A thread that finds no memory mapping left for its own needs ends the process, so none is started that might.
fn mappings(config: &Config) -> Option<Room> {
    let granted = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let neighbours = config.herd.neighbours(&config.name).len() as u64;
    let threads = OWN_THREADS + NEIGHBOUR_THREADS * neighbours + u64::from(config.limits.hello_pending_max);
    let reserved = OWN_MAPPINGS + THREAD_MAPPINGS * threads;
    let what = "memory mappings, four for each thread (raise vm.max_map_count)";
    Some(Room { what, granted, reserved, each: THREAD_MAPPINGS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_others_is_not_given_to_clients() {
        let room = |granted, reserved, each| Room { what: "", granted, reserved, each }.clients();
        assert_eq!(room(20_000, 140, 1), 19_860);
        assert_eq!(room(65_530, 600, 4), 16_232);
        assert_eq!(room(100, 140, 1), 0);
    }
}
