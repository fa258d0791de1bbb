//! The herds of other makers keep the rules that are ours too: each is started as it is measured, and spoken
//! to. What is not installed is skipped, and named; `bench/field/setup.sh` installs it.

// Clippy counts only functions marked #[test] as tests, and everything in this target is one.
#![allow(clippy::unwrap_used)]

mod clients;
mod flooding;
#[path = "../../../../src/tests/free_address.rs"]
mod free_address;
mod golden;
mod herd;
mod load;
mod mixed;
#[path = "../talk.rs"]
mod talk;
#[path = "../threaded.rs"]
mod threaded;
#[path = "../../../../src/tests/transcripts/mod.rs"]
mod transcripts;

use herd::Variant;

/// A module for every variant with a test for every check.
macro_rules! check_each {
    ($($variant:ident)*) => {
        $(mod $variant {
            check_each!(@tests $variant:
                clients::commands_and_errors
                clients::framing
                clients::times_and_skews
                clients::places
                flooding::news_reaches_everybody
                flooding::equal_times_settle
                flooding::what_is_sent_and_believed
                flooding::a_dead_neighbour_stops_no_other
                golden::transcripts_hold
                load::fifty_pipelining_clients_lose_nothing
            );
        })*
    };
    (@tests $variant:ident: $($group:ident :: $check:ident)*) => {
        $(#[test]
        fn $check() {
            if let Some(variant) = super::Variant::installed(stringify!($variant)) {
                super::$group::$check(variant);
            }
        })*
    };
}

check_each!(twisted asyncio node);

/// A module of tests in which two of ours are in a herd with one of each of two other makers.
macro_rules! check_mixed {
    ($module:ident: $one:ident $other:ident) => {
        mod $module {
            check_mixed!(@tests $one $other:
                every_server_knows_what_any_was_told
                a_classic_neighbour_that_was_away_is_told_what_it_missed
                a_stranger_elsewhere_is_not_believed
            );
        }
    };
    (@tests $one:ident $other:ident: $($check:ident)*) => {
        $(#[test]
        fn $check() {
            let installed = [stringify!($one), stringify!($other)].map(super::Variant::installed);
            if let [Some(one), Some(other)] = installed {
                super::mixed::$check([one, other]);
            }
        })*
    };
}

check_mixed!(mixed_python: twisted asyncio);
check_mixed!(mixed_node: node twisted);
