//! Tests that concern more than one room.

mod allocations;
mod convergence;
mod grammar;
mod merge;
