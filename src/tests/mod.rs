//! Tests that concern more than one room.

mod allocations;
mod attributes;
mod busy;
mod canonical_lines;
mod convergence;
mod crowded;
mod durability;
pub(crate) mod events;
mod explain;
mod field;
mod finding;
pub(crate) mod free_address;
mod fuzz;
mod golden;
mod grammar;
pub(crate) mod harness;
mod http;
mod http_access;
mod http_requests;
#[cfg(feature = "interleavings")]
pub(crate) mod interleavings;
mod journal;
mod lifetimes;
mod limits;
mod logging;
mod merge;
mod mutants;
mod peers;
mod proxied;
mod pure;
mod resend;
mod shares;
mod stopping;
mod tidy;
mod tls;
mod transcripts;
mod trust;
