//! Tests that concern more than one room.

mod logging;
mod tidy;
