//! The scheduling class that a server's threads are in, so that what it is compared with can be in the same.

use std::collections::BTreeMap;
use std::fs;
use std::thread::{Builder, scope};
use std::time::Duration;

use super::super::address::ALONE;
use super::super::bench::Bench;
use super::super::server::Start;
use super::super::variant::{Variant, is_program};
use crate::load::{self, Options};

/// How long a server is driven while its threads are looked at.
const WATCHED_FOR: Duration = Duration::from_millis(300);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The field of /proc/PID/task/TID/stat with the class, counted from the one behind the name.
const POLICY_FIELD: usize = 38;

/// A scheduling class that ordinary processes may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// What a thread is in that has said nothing.
    #[default]
    Other,
    /// Who wakes up does not take the processor from others.
    Batch,
    /// When nobody else wants to run.
    Idle,
}

impl Class {
    /// The class in which a variant does most of its work when it is driven like this.
    pub(super) fn of(bench: &Bench<'_>, variant: &Variant, load: &Options) -> Result<Class, String> {
        let servers = bench.start(variant, Start { shape: ALONE, extra: &[], cpu: None })?;
        let pid = servers.pids()[0];
        let Options { target, protocol, .. } = servers.options(0, variant);
        let load =
            Options { target, protocol, warm_up: Duration::ZERO, duration: WATCHED_FOR, ..load.clone() };
        let class = scope(|scope| {
            let driven = Builder::new().spawn_scoped(scope, || load::run(&load));
            let driven = driven.map_err(|error| error.to_string())?;
            let mut class = Class::default();
            while !driven.is_finished() {
                class = busiest(pid).unwrap_or(class);
                std::thread::sleep(LOOK_EVERY);
            }
            let outcome = driven.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome.map(|_| class).map_err(|error| error.to_string())
        });
        servers.stop()?;
        class
    }

    /// A variant in this class.
    pub(super) fn holds(self, mut variant: Variant) -> Result<Variant, String> {
        let word = match self {
            Class::Other => return Ok(variant),
            Class::Batch => "--batch",
            Class::Idle => "--idle",
        };
        if !is_program("chrt".as_ref()) {
            return Err(format!("chrt is missing, which starts {} in the server's class", variant.name));
        }
        variant.behind = ["chrt", word, "0"].map(str::to_owned).to_vec();
        Ok(variant)
    }
}

/// The class of the threads that have run the longest, all of one class together.
fn busiest(pid: u32) -> Option<Class> {
    let mut ran_ns: BTreeMap<Class, u64> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        // A thread may end meanwhile.
        let Some(class) = class(&read("stat")) else { continue };
        let ran = read("schedstat").split_whitespace().next().and_then(|ns| ns.parse().ok());
        *ran_ns.entry(class).or_default() += ran.unwrap_or(1);
    }
    ran_ns.into_iter().max_by_key(|(_, ns)| *ns).map(|(class, _)| class)
}

fn class(stat: &str) -> Option<Class> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(match fields.split_whitespace().nth(POLICY_FIELD)? {
        "3" => Class::Batch,
        "5" => Class::Idle,
        _ => Class::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::variant::relay;
    use super::*;

    #[test]
    fn the_class_stands_behind_whatever_name_a_thread_has() {
        let stat =
            |policy: u32| format!("7 (a (b) c) S {} {policy} 0 0", "0 ".repeat(POLICY_FIELD - 1).trim());
        assert_eq!(class(&stat(0)), Some(Class::Other));
        assert_eq!(class(&stat(3)), Some(Class::Batch));
        assert_eq!(class(&stat(5)), Some(Class::Idle));
        assert_eq!(class("7 (gone"), None);
    }

    #[test]
    fn a_class_is_held_by_what_starts_the_variant() {
        let relay = || relay("bin".as_ref());
        assert!(Class::Other.holds(relay()).unwrap().behind.is_empty());
        let held = if is_program("chrt".as_ref()) { Some(["chrt", "--batch", "0"]) } else { None };
        let behind = Class::Batch.holds(relay()).ok().map(|variant| variant.behind);
        assert_eq!(behind, held.map(|words| words.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_process_that_has_chosen_nothing_is_like_most() {
        assert!(busiest(std::process::id()).is_some());
        assert_eq!(busiest(u32::MAX), None);
    }
}
