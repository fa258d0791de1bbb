//! Tests that concern more than one room.

mod field;
mod harness;
mod logging;
mod tidy;
