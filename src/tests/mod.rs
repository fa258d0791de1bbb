//! Tests that concern more than one room.

mod allocations;
mod convergence;
mod field;
mod free_address;
mod golden;
mod grammar;
mod harness;
mod logging;
mod merge;
mod peers;
mod pure;
mod stopping;
mod tidy;
mod transcripts;
