//! The variants as real processes: what they answer, how they flood, how they come back and how they stop.

// Clippy counts only functions marked #[test] as tests, and everything in this target is one.
#![allow(clippy::unwrap_used)]

mod alone;
mod callers;
mod cuts;
#[path = "../../../../src/tests/free_address.rs"]
mod free_address;
mod golden;
mod herds;
mod http;
mod kinds;
mod mqtt;
mod processes;
mod relay;
mod reports;
mod served;
mod stopping;
#[path = "../talk.rs"]
mod talk;
#[path = "../threaded.rs"]
mod threaded;
#[path = "../../../../src/tests/transcripts/mod.rs"]
mod transcripts;
mod waiting;
