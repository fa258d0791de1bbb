//! Whether this machine has room for a suite. Asked before anything starts, answered with the limit to raise.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::options::{Name, Scale};
use crate::load;

/// Mappings of one thread: its stack, its guard, and what the allocator keeps for it.
const MAPPINGS_PER_THREAD: u64 = 4;

/// Mappings of a process without its connections, generously.
const OTHER_MAPPINGS: u64 = 1_000;

/// Threads of the machine that are not of the server under test, generously.
const OTHER_THREADS: u64 = 1_000;

/// The connections of the largest point of each suite.
pub(super) fn connections_max(name: Name, scale: Scale) -> u32 {
    match (name, scale) {
        (Name::Grid | Name::Idle | Name::Churn | Name::Http | Name::Events | Name::Tls, Scale::Quick) => {
            1_000
        }
        (Name::Crowds | Name::Mqtt, Scale::Quick) => 2_000,
        (Name::Memory, Scale::Quick) => 500,
        // One point of `memory` is more, and fails where there is no room for it.
        (Name::Grid | Name::Idle | Name::Churn | Name::Http, Scale::Full)
        | (Name::Memory | Name::Crowds | Name::Mqtt | Name::Events | Name::Tls, Scale::Full) => 10_000,
        (Name::Open | Name::Herd | Name::Places | Name::Logging | Name::Database | Name::Trees, _) => 200,
        (
            Name::Scale
            | Name::Durability
            | Name::Scheduling
            | Name::Line
            | Name::Growth
            | Name::Quick
            | Name::Full,
            _,
        ) => 0,
    }
}

/// Raises what may be raised, and says what else must be.
pub(super) fn check(suites: &[Name], scale: Scale) -> Result<(), String> {
    let connections = suites.iter().map(|&name| connections_max(name, scale)).max().unwrap_or(0);
    // The servers inherit this process's limits.
    load::make_room(connections + 1_000).map_err(|error| error.to_string())?;
    let limit = getrlimit(Resource::Nofile);
    // Refused or not: what was needed has been granted above.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let threads = u64::from(connections) + OTHER_THREADS;
    let wanted = [
        (
            "vm.max_map_count",
            number("/proc/sys/vm/max_map_count"),
            threads * MAPPINGS_PER_THREAD + OTHER_MAPPINGS,
        ),
        ("kernel.threads-max", number("/proc/sys/kernel/threads-max"), threads),
        ("kernel.pid_max", number("/proc/sys/kernel/pid_max"), threads),
        ("the limit on processes (ulimit -u)", getrlimit(Resource::Nproc).current, threads),
        ("the cgroup's pids.max", number("/sys/fs/cgroup/pids.max"), threads),
    ];
    too_low(&wanted).map_or(Ok(()), Err)
}

/// Each limit with its value, if it has one, and what is needed of it.
fn too_low(limits: &[(&str, Option<u64>, u64)]) -> Option<String> {
    let low = |(name, has, needs): &(&str, Option<u64>, u64)| {
        let has = has.filter(|has| has < needs)?;
        Some(format!("{name} is {has} and must be at least {needs}"))
    };
    let low: Vec<String> = limits.iter().filter_map(low).collect();
    (!low.is_empty()).then(|| format!("too few threads for the connections: {}", low.join("; ")))
}

/// The number in a file, if it is one: `max` is none.
fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_too_low_are_named() {
        assert_eq!(too_low(&[("a", Some(5), 5), ("b", None, 5)]), None);
        let told = too_low(&[("a", Some(4), 5), ("b", Some(1), 9)]).unwrap();
        assert!(told.ends_with("a is 4 and must be at least 5; b is 1 and must be at least 9"), "{told}");
    }
}
