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
#[path = "../talk.rs"]
mod talk;
mod times;
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
                flooding::a_dead_neighbour_stops_nobody
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
