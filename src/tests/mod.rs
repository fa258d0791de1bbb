//! Tests that concern more than one room.

mod allocations;
mod convergence;
mod field;
mod free_address;
mod fuzz;
mod golden;
mod grammar;
mod harness;
mod logging;
mod merge;
mod pure;
mod stopping;
mod tidy;
mod transcripts;
