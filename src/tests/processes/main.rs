//! Tests with real processes.

// Clippy counts only functions marked #[test] as tests, and everything in this target is one.
#![allow(clippy::unwrap_used)]

mod browser;
mod cli;
mod database;
mod database_cluster;
mod durability;
mod failures;
mod flood;
mod forgetting;
#[path = "../free_address.rs"]
mod free_address;
mod golden;
mod killing;
mod limits;
mod links;
mod log;
mod map;
mod mqtt;
mod mqtt_paho;
mod names;
mod programs;
mod proxies;
mod real;
mod rotation;
mod running;
mod scheduling;
mod scripts;
mod signals;
mod stopping;
mod supervised;
mod tls;
#[path = "../transcripts/mod.rs"]
mod transcripts;
mod twins;
mod vanished;
mod watching;
