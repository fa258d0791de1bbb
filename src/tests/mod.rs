//! Tests that concern more than one room.

mod convergence;
mod field;
mod harness;
mod logging;
mod tidy;
