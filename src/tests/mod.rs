//! Tests that concern more than one room.

mod allocations;
mod convergence;
mod field;
mod grammar;
mod harness;
mod logging;
mod merge;
mod tidy;
